package interop

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// detected is what a line of mitm detect --pcap says.
var detected = regexp.MustCompile(`(?m)^tcp 127\.0\.0\.1:(\d+) > 127\.0\.0\.1:(\d+) first=(\w+) client: (.*?)( server: (\w+).*)?$`)

// What tcpdump captured of clients that nobody here wrote is named, flow by flow, and tshark says the same of those that
// it knows.
func TestDetectNamesTheFlowsOfACapture(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	port := reserve(t)
	sshd, err := peers.Dropbear(port, "alice", password(t, "-6", "s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	start(t, sshd)
	m := startMitm(t, s.listen()...)
	w := tapWire(t, s.plain, s.tls, port)

	curl(t, s.http("/status?plain"))
	curl(t, "--http2", "--cacert", s.root, s.https("/status?secret"))
	succeed(t, "openssl", "s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", s.tls), "-servername", "app.test", "-tls1_2", "-brief")
	greeted(t, at(port))
	file := w.file(t, m)

	flows := detectFlows(t, file)
	want := []struct {
		port   int
		first  string
		client string // begins with
		server string
		tshark string // one of its columns, by its heuristics alone
	}{
		{s.plain, "client", `http version="1.1" verb="GET"`, "", "HTTP"},
		{s.tls, "client", `tls version="1.3" host="localhost" alpn="h2,http/1.1" ja3="`, "", "TLSv1.3"},
		{s.tls, "client", `tls version="1.2" host="app.test" ja3="`, "", "TLSv1.2"},
		{port, "server", "silent", "ssh", "SSH"},
	}
	if len(flows) != len(want) {
		t.Fatalf("%d flows, want %d: %q", len(flows), len(want), flows)
	}
	for i, tt := range want {
		got := flows[i]
		if got[2] != fmt.Sprint(tt.port) || got[3] != tt.first || !strings.HasPrefix(got[4], tt.client) || got[6] != tt.server {
			t.Errorf("flow %d is %q, want %+v", i+1, got[0], tt)
		}
		columns := tshark(t, file, "-d", fmt.Sprintf("tcp.port==%d,http", s.plain), "-d", fmt.Sprintf("tcp.port==%d,tls", s.tls),
			"-d", fmt.Sprintf("tcp.port==%d,ssh", port), "-Y", "tcp.port=="+got[1], "-T", "fields", "-e", "_ws.col.Protocol")
		if !strings.Contains(columns, tt.tshark+"\n") {
			t.Errorf("tshark says of flow %d, %q, only %q", i+1, got[0], columns)
		}
	}

	// Another program's pcapng of the same packets holds the same flows.
	ng := filepath.Join(t.TempDir(), "wire.pcapng")
	succeed(t, "tshark", "-n", "-r", file, "-F", "pcapng", "-w", ng)
	for i, got := range detectFlows(t, ng) {
		if got[0] != flows[i][0] {
			t.Errorf("in pcapng flow %d is %q, in pcap %q", i+1, got[0], flows[i][0])
		}
	}
}

// detectFlows has the command name the flows of TCP in a capture, in the order in which they began.
func detectFlows(t *testing.T, file string) [][]string {
	t.Helper()
	stdout, stderr, code := command(t, t.TempDir(), "detect", "--pcap", file)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return detected.FindAllStringSubmatch(stdout, -1)
}

// greeted waits for a server's greeting, says nothing, and hangs up.
func greeted(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(runTimeout)); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatalf("the greeting is %q, %v", line, err)
	}
}
