package interop

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// One file holds a flow three times, each as a conversation on an interface of its own, and
// the keys for two of them.
func TestViewsAreReadAndDecryptedByStrangers(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, tt := range []struct {
		name string
		mitm []string
		curl func(m *mitm) []string
	}{
		{"TLS 1.3 and HTTP/2, relayed", []string{"--connect", s.target()}, func(m *mitm) []string {
			return []string{"--tlsv1.3", "--http2", "--connect-to", "::" + m.addrs[0]}
		}},
		{"TLS 1.2 and HTTP/1.1, below SOCKS5", nil, func(m *mitm) []string {
			return []string{"--tls-max", "1.2", "--http1.1", "-x", "socks5h://" + m.addrs[0]}
		}},
		{"TLS 1.3 and HTTP/1.1, below CONNECT", nil, func(m *mitm) []string {
			return []string{"--tlsv1.3", "--http1.1", "-x", "http://" + m.addrs[0]}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := startMitm(t, s.listen(append(tt.mitm, "--portmap", fmt.Sprintf("%d:80", s.tls), "-w", peers.Here+"/t.pcapng", "--format", "pcapng", "--views", "decrypted,client,server")...)...)
			curl(t, append(tt.curl(m), "--cacert", m.root, s.https("/status?planted"))...)
			flow := m.flow(t)
			m.finish(t)
			file := filepath.Join(m.Dir, "t.pcapng")
			packets := readViews(t, file, m, s)
			checkPackets(t, file, packets)
			for _, view := range []string{"decrypted", "client", "server"} {
				checkView(t, packets, view, flow)
			}
			checkSecrets(t, file, func(file string) []viewPacket { return readViews(t, file, m, s) })
		})
	}
}

// viewPacket is what tshark says of a packet.
type viewPacket struct {
	iface, ipSum, tcpSum, expert, analysis, malformed, comment string
	uri, status, tls                                           string
}

// readViews has tshark read all packets. It is told where TLS is, and not to guess HTTP:
// what it has taken for HTTP because of a CONNECT it does not look for HTTP in once more.
func readViews(t *testing.T, file string, m *mitm, s site) []viewPacket {
	t.Helper()
	args := []string{
		"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-E", "occurrence=a", "--disable-heuristic", "http_tcp",
		"-d", fmt.Sprintf("tcp.port==%s,tls", portOf(t, m.addrs[0])), "-d", fmt.Sprintf("tcp.port==%d,tls", s.tls),
	}
	for _, field := range []string{
		"frame.interface_name", "ip.checksum.status", "tcp.checksum.status", "_ws.expert.severity", "tcp.analysis.flags", "_ws.malformed", "frame.comment",
		"http.request.uri", "http2.headers.path", "http.response.code", "http2.headers.status", "tls.record.length",
	} {
		args = append(args, "-e", field)
	}
	var packets []viewPacket
	for line := range strings.Lines(tshark(t, file, args...)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		packets = append(packets, viewPacket{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7] + f[8], f[9] + f[10], f[11]})
	}
	return packets
}

// checkPackets holds that nobody objects to the file.
func checkPackets(t *testing.T, file string, packets []viewPacket) {
	t.Helper()
	const good, worst = "1", "8388608" // PI_ERROR of Wireshark's proto.h
	for i, p := range packets {
		if p.ipSum != good || p.tcpSum != good || strings.Contains(p.expert, worst) || p.analysis != "" || p.malformed != "" {
			t.Errorf("tshark objects to packet %d: %+v", i+1, p)
		}
	}
	if got := strings.Count(succeed(t, "tcpdump", "-n", "-r", file), " IP "); got != len(packets) || got == 0 {
		t.Errorf("tcpdump reads %d packets, tshark %d", got, len(packets))
	}
	info := succeed(t, "capinfos", "-M", file)
	for _, want := range []string{`File type: +pcapng\n`, fmt.Sprintf(`Number of packets: +%d\n`, len(packets)), `Capture application: +mitm `, `Number of interfaces in file: +3\n`, `Name = client\n`} {
		if !regexp.MustCompile(want).MatchString(info) {
			t.Errorf("capinfos lacks %q:\n%s", want, info)
		}
	}
	if got := succeed(t, "tshark", "-r", file, "-q", "-z", "hosts"); !regexp.MustCompile(`127\.0\.0\.1\s+localhost\n`).MatchString(got) {
		t.Errorf("the server has no name:\n%s", got)
	}
}

// checkView holds that a view shows the request and its answer, and says whose they are.
func checkView(t *testing.T, packets []viewPacket, view string, flow peers.Flow) {
	t.Helper()
	var requests, answers, encrypted int
	var comments []string
	for _, p := range packets {
		if p.iface != view {
			continue
		}
		requests += strings.Count(p.uri, "/status?planted")
		answers += strings.Count(p.status, "200")
		encrypted += len(p.tls)
		if p.comment != "" {
			comments = append(comments, p.comment)
		}
	}
	if requests != 1 || answers != 1 || (encrypted > 0) != (view != "decrypted") {
		t.Errorf("%s: %d requests and %d answers, want one each; TLS in it: %v", view, requests, answers, encrypted > 0)
	}
	if len(comments) != 1 {
		t.Fatalf("%s: comments %q, want one", view, comments)
	}
	words := strings.Fields(comments[0])
	wanted := []string{"flow=" + flow.ID, "view=" + view}
	if view == "decrypted" {
		wanted = append(
			wanted, "target="+flow.Target, "path="+flow.Path, "action="+flow.Action, "alpn="+flow.TLS.Client.ALPN, "ja4="+flow.TLS.Client.JA4,
			"leaf_sha256="+flow.TLS.Certificate.LeafSHA256, "verdict="+flow.TLS.Certificate.Verdict,
		)
	}
	for _, want := range wanted {
		if !slices.Contains(words, want) {
			t.Errorf("%s: comment %q lacks %s", view, words, want)
		}
	}
}

// checkSecrets holds that it is the secrets in the file by which it is decrypted: they are
// lines as other programs write them, and it is not without them.
func checkSecrets(t *testing.T, file string, read func(file string) []viewPacket) {
	t.Helper()
	keys, lines := writeFile(t, "keys", secretsIn(t, file)), 0
	for line := range strings.Lines(secretsIn(t, file)) {
		if lines++; !keyLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("the secrets have the line %q", line)
		}
	}
	if lines < 2 {
		t.Errorf("%d lines of secrets", lines)
	}
	// Debian's editcap can't extract them yet, and tshark extracts those of TLS 1.2.
	extracted := filepath.Join(filepath.Dir(keys), "extracted")
	succeed(t, "tshark", "-q", "-r", file, "--export-tls-session-keys", extracted)
	text, err := os.ReadFile(extracted)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(secretsIn(t, file)) {
		if strings.HasPrefix(line, "CLIENT_RANDOM ") && !strings.Contains(string(text), line) {
			t.Errorf("tshark extracts\n%s, which lacks\n%s", text, line)
		}
	}
	bare := filepath.Join(filepath.Dir(keys), "bare.pcapng")
	again := filepath.Join(filepath.Dir(keys), "again.pcapng")
	succeed(t, "editcap", "--discard-all-secrets", file, bare)
	succeed(t, "editcap", "--inject-secrets", "tls,"+keys, bare, again)
	for file, want := range map[string]int{bare: 1, again: 3} {
		seen := 0
		for _, p := range read(file) {
			seen += strings.Count(p.uri, "/status?planted")
		}
		if seen != want {
			t.Errorf("%s: the request is seen %d times, want %d", filepath.Base(file), seen, want)
		}
	}
}

// secretsIn returns the lines of all Decryption Secrets Blocks of a pcapng file.
func secretsIn(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for len(b) >= 12 {
		size := binary.LittleEndian.Uint32(b[4:])
		if binary.LittleEndian.Uint32(b) == 10 && string(b[8:12]) == "KSLT" {
			lines.Write(b[16 : 16+binary.LittleEndian.Uint32(b[12:])])
		}
		b = b[size:]
	}
	return lines.String()
}
