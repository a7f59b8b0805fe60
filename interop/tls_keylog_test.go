package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A wire is a capture of what passes on loopback, raw.
type wire struct {
	*peers.Process
	mark *net.UDPConn
}

// tapWire captures what goes to TCP ports and comes from them. It takes root.
func tapWire(t *testing.T, ports ...int) *wire {
	t.Helper()
	mark, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mark.Close() })
	filter := fmt.Sprintf("udp port %d", mark.LocalAddr().(*net.UDPAddr).Port)
	for _, port := range ports {
		filter += fmt.Sprintf(" or tcp port %d", port)
	}
	return &wire{mark: mark, Process: start(t, peers.Program{
		Name:  "tcpdump",
		Args:  []string{"-i", "lo", "-n", "-s", "0", "-U", "--immediate-mode", "-B", "16384", "-Z", "root", "-w", peers.Here + "/wire.pcap", filter},
		Ready: func(stderr string) bool { return strings.Contains(stderr, "listening on lo") },
	})}
}

// file returns the capture's name once all that has passed so far is in it: a datagram is
// sent after it, and is in it too.
func (w *wire) file(t *testing.T, m *mitm) string {
	t.Helper()
	last := []byte("that was all, until " + m.addrs[0])
	if _, err := w.mark.WriteToUDP(last, w.mark.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.Dir, "wire.pcap")
	m.eventually(t, "the end of the capture", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && bytes.Contains(text, last)
	})
	return file
}

// keyLine is a line of a key log (RFC 9850).
var keyLine = regexp.MustCompile(`^(CLIENT_RANDOM|(CLIENT|SERVER)_(HANDSHAKE|TRAFFIC)_(TRAFFIC_)?SECRET(_0)?|EXPORTER_SECRET|EARLY_EXPORTER_SECRET|CLIENT_EARLY_TRAFFIC_SECRET) [0-9a-f]{64} ([0-9a-f]{64}|[0-9a-f]{96})$`)

// With mitm's key log a stranger reads both sides of a capture that is not mitm's.
func TestTLSTheKeyLogDecryptsBothSides(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, tt := range []struct {
		name string
		args []string // of curl
		keys func(file string) ([]string, func(peers.Program) peers.Program)
	}{
		{"TLS 1.3 and HTTP/2, --keylog", []string{"--tlsv1.3", "--http2"}, byFlag},
		{"TLS 1.2 and HTTP/1, --keylog", []string{"--tls-max", "1.2", "--http1.1"}, byFlag},
		{"TLS 1.3 and HTTP/1, SSLKEYLOGFILE", []string{"--tlsv1.3", "--http1.1"}, byEnvironment},
		{"TLS 1.2 and HTTP/2, SSLKEYLOGFILE", []string{"--tls-max", "1.2", "--http2"}, byEnvironment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			keys := filepath.Join(t.TempDir(), "keys.log")
			flags, change := tt.keys(keys)
			m := startMitmAs(t, change, s.listen(append(flags, "--connect", s.target())...)...)
			port, err := strconv.Atoi(portOf(t, m.addrs[0]))
			if err != nil {
				t.Fatal(err)
			}
			w := tapWire(t, port, s.tls)
			url := fmt.Sprintf("https://localhost:%d/status?%d", port, port)
			curl(t, append(tt.args, "--cacert", m.root, url)...)
			m.flow(t)
			checkKeyLog(t, keys)

			file := w.file(t, m)
			read := func(more ...string) []string {
				args := append([]string{"-d", fmt.Sprintf("tcp.port==%d,tls", port), "-d", fmt.Sprintf("tcp.port==%d,tls", s.tls)}, more...)
				return strings.Fields(tshark(t, file, append(args, "-Y", fmt.Sprintf("tcp.port in {%d, %d} && (http.request.uri || http2.headers.path)", port, s.tls),
					"-T", "fields", "-e", "tcp.dstport", "-e", "http.request.uri", "-e", "http2.headers.path")...))
			}
			path := fmt.Sprintf("/status?%d", port)
			got := strings.Join(read("-o", "tls.keylog_file:"+keys), " ")
			if got != fmt.Sprintf("%d %s %d %s", port, path, s.tls, path) {
				t.Errorf("tshark shows the requests %q, want %s to port %d and then to %d", got, path, port, s.tls)
			}
			if without := read(); len(without) > 0 {
				t.Errorf("tshark shows %q without the keys", without)
			}
		})
	}
}

func byFlag(file string) ([]string, func(peers.Program) peers.Program) {
	return []string{"--keylog", file}, ofOneAuthority
}

func byEnvironment(file string) ([]string, func(peers.Program) peers.Program) {
	return nil, func(p peers.Program) peers.Program {
		p.Env = append(p.Env, "SSLKEYLOGFILE="+file)
		return ofOneAuthority(p)
	}
}

// checkKeyLog wants nothing but good lines, of two handshakes, in a file that only its
// owner can read.
func checkKeyLog(t *testing.T, file string) {
	t.Helper()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v, want mode 0600", file, info.Mode(), err)
	}
	randoms := map[string]bool{}
	for line := range strings.Lines(contents(t, file)) {
		if !keyLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("the key log has the line %q", line)
			continue
		}
		randoms[strings.Fields(line)[1]] = true
	}
	if len(randoms) != 2 {
		t.Errorf("the key log is of %d handshakes, want 2", len(randoms))
	}
}
