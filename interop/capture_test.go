package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// finish ends the command before the test does, so that its files are whole.
func (m *mitm) finish(t *testing.T) {
	t.Helper()
	if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
		t.Fatalf("mitm ended with exit code %d, %v, want 0", code, err)
	}
}

// tshark reads a capture and returns what it prints.
func tshark(t *testing.T, file string, args ...string) string {
	t.Helper()
	return succeed(t, "tshark", append([]string{"-n", "-r", file}, args...)...)
}

// checkCapture holds that the foreign readers take a capture as it is: each packet
// whole and with good checksums, and nothing of TLS in it. It returns the number of
// packets.
func checkCapture(t *testing.T, file string) int {
	t.Helper()
	checked := []string{"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:TRUE"}
	all := strings.Count(tshark(t, file, "-T", "fields", "-e", "frame.number"), "\n")
	good := tshark(t, file, append(checked, "-Y", `(ipv6 || ip.checksum.status == "Good") && tcp.checksum.status == "Good"`, "-T", "fields", "-e", "frame.number")...)
	if n := strings.Count(good, "\n"); n != all || all == 0 {
		t.Errorf("%d of %d packets have good checksums", n, all)
	}
	// A reset is a warning, and stands for what happened.
	const bad = `_ws.malformed || _ws.short || (_ws.expert.severity >= "Warning" && !tcp.connection.rst) || tcp.analysis.flags || tls.record || tcp.payload matches "^[\\x14-\\x17]\\x03[\\x00-\\x04]"`
	if got := tshark(t, file, append(checked, "-Y", bad)...); got != "" {
		t.Errorf("tshark objects to\n%s", got)
	}
	if n := len(regexp.MustCompile(`(?m)^\S+ IP6? `).FindAllString(succeed(t, "tcpdump", "-n", "-r", file), -1)); n != all {
		t.Errorf("tcpdump reads %d packets, tshark %d", n, all)
	}
	info := succeed(t, "capinfos", "-M", "-t", "-E", "-c", "-l", file)
	kinds := []string{`File type: +pcap\n`, `Packet size limit: +file hdr: 262144 bytes\n`}
	if strings.HasSuffix(file, ".pcapng") {
		kinds = []string{`File type: +pcapng\n`}
	}
	for _, want := range append(kinds, `File encapsulation: +ether\n`, fmt.Sprintf(`Number of packets: +%d\n`, all)) {
		if !regexp.MustCompile(want).MatchString(info) {
			t.Errorf("capinfos lacks %q:\n%s", want, info)
		}
	}
	return all
}

// Flows of each kind in one capture; some to a server on a port that tshark knows HTTP by.
func TestForeignReadersTakeTheCapture(t *testing.T) {
	t.Parallel()
	known, root := startKnownPort(t)
	s := startSite(t)
	m := startMitm(t, s.listen("--trust", root, "-w", peers.Here+"/t.pcap")...)
	fetched := func(args ...string) peers.Flow {
		curl(t, append([]string{"--cacert", m.root, "-o", os.DevNull}, args...)...)
		return m.flow(t)
	}
	fetched("--http2", "-x", "socks5://"+m.addrs[0], "https://"+known+"/two")
	fetched("--http1.1", "-x", "http://"+m.addrs[0], "https://"+known+"/one")
	fetched("-x", "http://"+m.addrs[0], s.http("/never-encrypted"))
	large := fetched("--http2", "-x", "socks5h://"+m.addrs[0], s.https("/large"))
	fetched("--http1.1", "-x", "http://"+m.addrs[0], "-d", strings.Repeat("x", 100_000), s.https("/upload"))
	m.finish(t)
	file := m.Dir + "/t.pcap"

	checkCapture(t, file)
	if got := tshark(t, file, "-Y", "frame.time_delta < 0"); got != "" {
		t.Errorf("flows that did not overlap are not in the order of time:\n%s", got)
	}
	seen := tshark(t, file, "-Y", "http.request || http2.headers.method")
	for _, want := range []string{`HTTP2 \d+ HEADERS\[1\]: GET /two`, `HTTP \d+ GET /one HTTP/1\.1`, `HTTP \d+ POST /upload HTTP/1\.1`} {
		if !regexp.MustCompile(want).MatchString(seen) {
			t.Errorf("tshark shows no %s:\n%s", want, seen)
		}
	}
	if got := tshark(t, file, "-Y", `frame contains "never-encrypted"`); got != "" {
		t.Errorf("what was not decrypted is in the capture:\n%s", got)
	}
	// 8443 is shown as 8080, on which HTTP is expected without TLS.
	if got := tshark(t, file, "-Y", "tcp.port == 8443"); got != "" {
		t.Errorf("the port of TLS is in the capture:\n%s", got)
	}
	// HTTP/2 is known by its port only, so it is shown on one of HTTP's.
	if got := payload(t, file, "tcp.srcport == 80 && tcp.dstport == "+portOf(t, large.Client)); got != large.Bytes.FromServer {
		t.Errorf("%d bytes of the large file's flow are in the capture, want %d", got, large.Bytes.FromServer)
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// payload sums up the bytes in the segments that the filter lets through.
func payload(t *testing.T, file, filter string) int64 {
	t.Helper()
	var sum int64
	for word := range strings.FieldsSeq(tshark(t, file, "-Y", filter, "-T", "fields", "-e", "tcp.len")) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func TestTheCaptureMayBeAPipe(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen("-w", "-")...)
	curl(t, "--http1.1", "--cacert", m.root, "-x", "http://"+m.addrs[0], s.https("/status?piped"))
	inspected("connect>tls(http/1.1)", s.target(), "http/1.1").check(t, m.flow(t))
	m.finish(t)
	res := run(t, m.Stdout(), "tshark", "-n", "-r", "-", "-Y", "http")
	if res.Code != 0 || !strings.Contains(res.Stdout, "GET /status?piped HTTP/1.1") || !strings.Contains(res.Stdout, "200 OK") {
		t.Errorf("tshark: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}

// startKnownPort serves HTTP/2 and HTTP/1 over TLS on port 8443 of a loopback address
// that is ours alone, and returns the address, and a file with its root.
func startKnownPort(t *testing.T) (addr, root string) {
	t.Helper()
	ln := listenKnownPort(t, 8443)
	host, _, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	leaf, root := issue(t, host)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	srv.Listener.Close()
	srv.Listener = ln
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{keyPair(t, leaf)}}
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return ln.Addr().String(), root
}

// listenKnownPort listens at an address at random, so that the port need not be.
func listenKnownPort(t *testing.T, port int) net.Listener {
	t.Helper()
	var err error
	for range 20 {
		var ln net.Listener
		ln, err = net.Listen("tcp4", fmt.Sprintf("127.%d.%d.%d:%d", 1+rand.IntN(250), rand.IntN(250), 2+rand.IntN(250), port))
		if err == nil {
			return ln
		}
	}
	t.Fatal(err)
	return nil
}
