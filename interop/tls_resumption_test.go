package interop

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A resuming is a server that says whether the session was resumed, and a mitm.
type resuming struct {
	m       *mitm
	known   *issuer
	trust   string // file with its certificate
	version string // of TLS
}

func (r *resuming) start(t *testing.T, port int, more ...string) *peers.Process {
	t.Helper()
	return nginxOn(t, port, r.known.server(t), nil, append(more, "ssl_protocols TLSv"+r.version+";",
		`location / { return 200 "reused=$ssl_session_reused\n"; }`)...)
}

// An answer is what s_client has to say of a connection.
type answer struct {
	resumed bool   // by the client's own account
	server  string // by the server's: "r" or "."
	cert    string // that the session is of
}

// openssl asks for the page with s_client. It takes up the session in one file, unless it
// is "", and leaves the one that it is given in the other.
func (r *resuming) openssl(t *testing.T, port int, in, out string) answer {
	t.Helper()
	args := []string{
		"s_client", "-ign_eof", "-connect", at(port), "-servername", "localhost", "-verify_return_error",
		"-CAfile", r.m.root, "-proxy", r.m.addrs[0], "-sess_out", out,
	}
	if in != "" {
		args = append(args, "-sess_in", in)
	}
	res := run(t, "GET / HTTP/1.0\r\n\r\n", "openssl", args...)
	found := regexp.MustCompile(`(?s)(-----BEGIN.*?-----END CERTIFICATE-----).*\n(New|Reused), TLSv.*reused=(.)`).FindStringSubmatch(res.Stdout)
	if res.Code != 0 || found == nil {
		t.Fatalf("openssl %q: exit code %d\n%s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return answer{found[2] == "Reused", found[3], found[1]}
}

// check wants the next flows to be inspected, and each to be resumed or not on both sides.
func (r *resuming) check(t *testing.T, resumed ...bool) {
	t.Helper()
	flows := r.m.flows(t, r.m.read+len(resumed))[r.m.read:]
	r.m.read += len(resumed)
	for i, f := range flows {
		if f.Action != "inspect" || f.TLS.Client.Version != r.version || f.TLS.Client.Resumed != resumed[i] || f.TLS.Server.Resumed != resumed[i] {
			t.Errorf("flow %+v, %+v, want one of TLS %s, resumed on both sides: %v", f, f.TLS, r.version, resumed[i])
		}
	}
}

func eachVersion(t *testing.T, test func(t *testing.T, r *resuming)) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	root := writeFile(t, "root.pem", known.pem)
	for _, version := range []string{"1.2", "1.3"} {
		t.Run("TLS "+version, func(t *testing.T) {
			t.Parallel()
			test(t, &resuming{startTLSMitm(t, root), known, root, version})
		})
	}
}

// s_client takes up its session again and again, and so does mitm with the server. With
// another certificate of the server there is nothing to take up.
func TestTLSSessionsAreResumedOnBothSides(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *resuming) {
		port := reserve(t)
		server := r.start(t, port)
		session := filepath.Join(t.TempDir(), "session")
		first := r.openssl(t, port, "", session)
		if first.resumed || first.server != "." {
			t.Errorf("the first handshake is %+v, want a full one", first)
		}
		r.check(t, false)
		for range 3 {
			if again := r.openssl(t, port, session, session); !again.resumed || again.server != "r" || again.cert != first.cert {
				t.Errorf("a later handshake is %+v, want one that is resumed, of the certificate of the first", again)
			}
			r.check(t, true)
		}

		server.Stop()
		r.start(t, port)
		changed := r.openssl(t, port, session, session)
		if changed.resumed || changed.server != "." || changed.cert == first.cert {
			t.Errorf("with another certificate of the server the handshake is %+v, want a full one", changed)
		}
		r.check(t, false)
		if again := r.openssl(t, port, session, session); !again.resumed || again.server != "r" || again.cert != changed.cert {
			t.Errorf("the handshake after that is %+v, want one that is resumed", again)
		}
		r.check(t, true)
	})
}

// Other clients resume as well: curl within one run, Python with a session of its own.
func TestTLSCurlAndPythonResume(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *resuming) {
		port := reserve(t)
		r.start(t, port)
		url := "https://" + at(port) + "/"
		// A new connection for each.
		if r.version == "1.3" { // of TLS 1.2 it does not keep them
			got := curl(t, "--http1.1", "-H", "Connection: close", "--cacert", r.m.root, "-x", "http://"+r.m.addrs[0], url, url, url)
			if want := "reused=.\nreused=r\nreused=r\n"; got != want {
				t.Errorf("curl gets %q, want %q", got, want)
			}
			r.check(t, false, true, true)
		}
		_, address, _ := strings.Cut(r.m.addrs[0], ":")
		got := succeed(t, "/usr/bin/python3", "-c", pythonResumes, address, fmt.Sprint(port), r.m.root)
		if want := "False reused=.\nTrue reused=r\n"; got != want {
			t.Errorf("Python says %q, want %q", got, want)
		}
		r.check(t, false, true)
	})
}

const pythonResumes = `
import socket, ssl, sys
proxy, port, root = sys.argv[1:]
context = ssl.create_default_context(cafile=root)
session = None
for _ in range(2):
    plain = socket.create_connection(("127.0.0.1", int(proxy)))
    plain.sendall(b"CONNECT localhost:%s HTTP/1.1\r\nHost: x\r\n\r\n" % port.encode())
    while not plain.recv(1, socket.MSG_PEEK): pass
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += plain.recv(1)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while data := s.recv(4096):
            page += data
        print(s.session_reused, page.decode().split("\r\n\r\n")[1], end="")
        session = s.session
`

// A replica takes the tickets of another, and shows the server a hello that has none: that
// one's are not shared. A stranger takes none.
func TestTLSReplicasTakeEachOthersTickets(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *resuming) {
		port := reserve(t)
		r.start(t, port)
		session := filepath.Join(t.TempDir(), "session")
		first := r.openssl(t, port, "", session)
		replica := &resuming{startTLSMitm(t, r.trust), r.known, r.trust, r.version}
		if got := replica.openssl(t, port, session, session); !got.resumed || got.server != "." || got.cert != first.cert {
			t.Errorf("a replica's handshake is %+v, want one that is resumed with the client alone", got)
		}
		stranger := &resuming{startMitm(t, "--listen", "127.0.0.1:0", "--trust", r.trust), r.known, r.trust, r.version}
		if got := stranger.openssl(t, port, session, session); got.resumed || got.server != "." {
			t.Errorf("a stranger's handshake is %+v, want a full one", got)
		}
		stranger.check(t, false)
	})
}
