package interop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A front is one of the listeners of an openFronts.
type front int

const (
	autoFront front = iota
	socksFront
	connectFront
)

// startFronts starts a mitm with a listener of each kind.
func startFronts(t *testing.T, args ...string) *mitm {
	t.Helper()
	return startMitm(t, append([]string{"--listen", "127.0.0.1:0", "--socks", "127.0.0.1,0", "--httpconnect", "127.0.0.1,0"}, args...)...)
}

// serves wants a good request through each listener to be answered.
func (m *mitm) serves(t *testing.T) {
	t.Helper()
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	for f, scheme := range map[front]string{autoFront: "http", socksFront: "socks5", connectFront: "http"} {
		tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: scheme, Host: m.addrs[f]}), DisableKeepAlives: true}
		res, err := (&http.Client{Transport: tr, Timeout: runTimeout}).Get(origin.URL)
		if err != nil {
			t.Errorf("a good request through listener %d: %v", f, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("a good request through listener %d: %s", f, res.Status)
		}
	}
}

// stays wants the process to be as before: it serves, it has the descriptors that it
// had, it complains of nothing, and nothing that a peer said reached a terminal.
func (m *mitm) stays(t *testing.T, descriptors int) {
	t.Helper()
	m.serves(t)
	m.settles(t, descriptors)
	for _, r := range m.Stdout() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%q is in the flow lines", r)
			break
		}
	}
	for line := range strings.Lines(m.Stderr()) {
		var record struct{ Level string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Level != "INFO" {
			t.Errorf("on stderr: %s", line)
		}
	}
}

// getWith is a request for a proxy with some more head.
func getWith(head string) string {
	return "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\n" + head
}

// record is a TLS record of handshake bytes.
func record(fragment string) string { return "\x16\x03\x01" + port16(len(fragment)) + fragment }

// bigHello is a ClientHello of so many bytes, most of them padding (RFC 7685), in many
// records.
func bigHello(size int) string {
	const head = "\x03\x03" + "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr" + "\x00" + "\x00\x02\x13\x01" + "\x01\x00"
	body := size - len("\x01") - 3
	extensions := body - len(head) - 2
	var padding strings.Builder
	for left := extensions; left > 0; { // an extension holds less than 64 KiB
		n := min(left, 0x4000)
		padding.WriteString("\x00\x15" + port16(n-4) + strings.Repeat("\x00", n-4))
		left -= n
	}
	message := "\x01" + string([]byte{byte(body >> 16), byte(body >> 8), byte(body)}) + head + port16(extensions) + padding.String()
	var b strings.Builder
	for fragment := range slices.Chunk([]byte(message), 2000) {
		b.WriteString(record(string(fragment)))
	}
	return b.String()
}

func TestBadInputIsAnsweredAsDocumentedAndLeavesNothing(t *testing.T) {
	m := startFronts(t)
	m.serves(t)
	before := m.descriptors(t)
	const (
		bad   = "HTTP/1.1 400 Bad Request\r\n"
		large = "HTTP/1.1 431 "

		serverHello = "\x16\x03\x03" // a name that is none is no name, so TLS is for the proxy
		fill        = "X-Fill: 0123456789012345678901234567890123456789012345678901234567\r\n"
	)
	head := strings.Repeat(fill, 1600) // 100 KiB
	for _, tt := range []struct {
		name   string
		to     front
		say    string
		want   string // how the answer begins; "" is none at all
		reason string
	}{
		// SOCKS
		{"SOCKS of no version", socksFront, "\x06\x01\x00", "", "desync"},
		{"SOCKS5 without a method", socksFront, "\x05\x00", "\x05\xff", "desync"},
		{"SOCKS5 without a method, on the automatic chain", autoFront, "\x05\x00", "", "desync"},
		{"SOCKS5 with GSSAPI alone", autoFront, "\x05\x01\x01", "\x05\xff", "auth"},
		{"SOCKS5 with another version in its request", autoFront, "\x05\x01\x00\x04\x01\x00\x01", "\x05\x00\x05\x01", "desync"},
		{"SOCKS5 with an unknown address type", autoFront, "\x05\x01\x00\x05\x01\x00\x05\x7f\x00\x00\x01\x00\x09", "\x05\x00\x05\x08", "desync"},
		{"SOCKS5 BIND", autoFront, "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x09", "\x05\x00\x05\x07", "denied"},
		{"SOCKS5 UDP ASSOCIATE", autoFront, "\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x09", "\x05\x00\x05\x07", "denied"},
		{"SOCKS5 with a command of nobody's", socksFront, "\x05\x01\x00\x05\xf0\x00\x01\x7f\x00\x00\x01\x00\x09", "\x05\x00\x05\x07", "denied"},
		{"SOCKS5 with an empty name", socksFront, "\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", "\x05\x00\x05\x04", "dns"},
		{"SOCKS5 with a NUL in the name", autoFront, ask5Name("a\x00.test", 80), "\x05\x00\x05\x04", "dns"},
		{"SOCKS5 with escapes in the name", autoFront, ask5Name("\x1b]0;owned\x07\x1b[2J", 80), "\x05\x00\x05\x04", "dns"},
		{"SOCKS5 with line breaks in the name", autoFront, ask5Name("a\r\n00:00:00 forged", 80), "\x05\x00\x05\x04", "dns"},
		{"SOCKS5 to port 0", autoFront, ask5Name("127.0.0.1", 0), "\x05\x00\x05", "unreachable refused"},
		{"SOCKS4 BIND", autoFront, "\x04\x02\x00\x09\x7f\x00\x00\x01\x00", "\x00\x5b", "denied"},
		{"SOCKS4 with another command", socksFront, "\x04\x07\x00\x09\x7f\x00\x00\x01\x00", "\x00\x5b", "denied desync"},
		{"SOCKS4 with a user of 100 KiB", socksFront, "\x04\x01\x00\x09\x7f\x00\x00\x01" + strings.Repeat("u", 100<<10), "\x00\x5b", "limit desync"},
		{"SOCKS4 with a user of 100 KiB, on the automatic chain", autoFront, "\x04\x01\x00\x09\x7f\x00\x00\x01" + strings.Repeat("u", 100<<10), "", "limit desync"},
		{"SOCKS4a with escapes in name and user", socksFront, "\x04\x01\x00\x50\x00\x00\x00\x01\x1b[31m\x00\x1b[2J\x00", "\x00\x5b", "dns"},

		// HTTP
		{"a request for a server", autoFront, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 421 ", "desync"},
		{"a request for a server, to an HTTP proxy", connectFront, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 421 ", "desync"},
		{"a NUL in the head", autoFront, getWith("X: a\x00b\r\n\r\n"), bad, "desync"},
		{"a bare CR", autoFront, getWith("X: a\rb\r\n\r\n"), bad, "desync"},
		{"lines that end in LF", autoFront, strings.ReplaceAll(getWith("\r\n"), "\r\n", "\n"), bad, "desync"},
		{"a folded field", autoFront, getWith("X: a\r\n b\r\n\r\n"), bad, "desync"},
		{"white space before a colon", autoFront, getWith("Content-Length : 5\r\n\r\nhello"), bad, "desync"},
		{"a head of 100 KiB", autoFront, getWith(head + "\r\n"), large, "limit"},
		{"a head without end", connectFront, getWith(head), large, "limit"},
		{"a field name without end", autoFront, getWith(strings.Repeat("n", 100<<10)), large, "limit"},
		{"a request line of 100 KiB", connectFront, "GET http://127.0.0.1/" + strings.Repeat("p", 100<<10), large, "limit"},
		{"Content-Length with Transfer-Encoding", autoFront, getWith("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), bad, "desync"},
		{"Transfer-Encoding with Content-Length", connectFront, getWith("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), bad, "desync"},
		{"two lengths", autoFront, getWith("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), bad, "desync"},
		{"a length with a sign", autoFront, getWith("Content-Length: +5\r\n\r\nhello"), bad, "desync"},
		{"a list of lengths", autoFront, getWith("Content-Length: 5, 5\r\n\r\nhello"), bad, "desync"},
		{"chunked twice", autoFront, getWith("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), bad, "desync"},
		{"chunked in two fields", autoFront, getWith("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"), bad, "desync"},
		{"a vertical tab before chunked", autoFront, getWith("Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"), bad, "desync"},
		{"a coding that is not chunked", autoFront, getWith("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), bad, "desync"},
		{"chunked in HTTP/1.0", autoFront, "GET http://127.0.0.1:9/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad, "desync"},
		{"Connection that hides Content-Length", autoFront, getWith("Connection: content-length\r\nContent-Length: 5\r\n\r\nhello"), bad, "desync"},
		{"no Host", autoFront, "GET http://127.0.0.1:9/ HTTP/1.1\r\n\r\n", bad, "desync"},
		{"two Hosts", autoFront, getWith("Host: elsewhere\r\n\r\n"), bad, "desync"},
		{"a Host that is none", autoFront, "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: a b/c\r\n\r\n", bad, "desync"},
		{"userinfo in the URL", autoFront, "GET http://user:pass@127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n", bad, "desync"},
		{"a URL of another scheme", autoFront, "GET gopher://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n", bad, "desync"},
		{"a version that is not ours", connectFront, "GET http://127.0.0.1:9/ HTTP/1.2\r\nHost: x\r\n\r\n", "HTTP/1.1 505 ", "desync"},
		{"HTTP/2 without TLS", connectFront, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 ", "desync"},
		{"HTTP/2 without TLS, on the automatic chain", autoFront, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "desync"},
		{"CONNECT to port 0", autoFront, askConnect("127.0.0.1", 0), bad, "desync"},
		{"CONNECT to port 99999", autoFront, askConnect("127.0.0.1", 99999), bad, "desync"},
		{"CONNECT without a port", autoFront, "CONNECT 127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n", bad, "desync"},
		{"CONNECT to a path", autoFront, "CONNECT http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n", bad, "desync"},
		{"CONNECT to a name with NUL", connectFront, askConnect("a\x00b", 443), bad, "desync"},
		{"CONNECT to a name with escapes", connectFront, askConnect("\x1b[2Jx", 443), bad, "desync"},
		{"CONNECT with content", autoFront, "CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", bad, "desync"},
		{"CONNECT to a name that has no place in DNS", autoFront, askConnect("a..b", 443), "HTTP/1.1 ", "dns desync"},
		{"no HTTP, to an HTTP proxy", connectFront, "\x16\x03\x01\x00\x00", bad, "desync"},

		// TLS
		{"a record that says nothing", autoFront, "\x16\x03\x01\x00\x00", "", "desync"},
		{"garbage after the record header", autoFront, record("\xff\xff\xff\xff\xff\xff\xff\xff"), "", "desync"},
		{"garbage inside the hello", autoFront, record("\x01\x00\x00\x40" + strings.Repeat("\xff", 64)), "", "desync"},
		{"a hello that lies about its lengths", autoFront, record("\x01\x00\x00\x2a\x03\x03" + strings.Repeat("r", 32) + "\xff\x00\x00\x00\x00\x00\x00\x00"), "", "desync"},
		{"a hello of 70 KiB in many records", autoFront, bigHello(70 << 10), "", "limit desync"},
		{"a hello in one-byte records", autoFront, record("\x01") + strings.Repeat(record("\x00"), 200), "", "limit desync"},
		{"an alert before a hello", autoFront, "\x15\x03\x01\x00\x02\x02\x28", "", "desync"},
		{"a hello of SSL 2", autoFront, "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + strings.Repeat("x", 37), "", "desync"},
		{"a server name with escapes", autoFront, hello(t, "\x1b]0;owned\x07\x1b[2J"), serverHello, "peer_closed reset tls_client"},
		{"a server name of 10,000 letters", autoFront, hello(t, strings.Repeat("a", 10000)), serverHello, "peer_closed reset tls_client"},

		// Others
		{"a PROXY header from nobody", autoFront, "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + askConnect("127.0.0.1", 9), "", "desync"},
		{"a protocol that leads nowhere", autoFront, "SSH-2.0-OpenSSH_9.2\r\n", "", "desync"},
		{"noise", autoFront, strings.Repeat("\x00\xff\x1b[2J", 5000), "", "desync"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call(t, m.addrs[tt.to])
			c.trySay(tt.say)
			got := ""
			if tt.want == serverHello {
				got = c.first(len(tt.want)) // the proxy would wait for the rest of the handshake
			} else {
				got = c.end()
			}
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("answered %.200q, want %q", got, tt.want)
			}
			c.Close()
			f := m.ended(t, c, strings.Fields(tt.reason)...)
			if f.Error == "" {
				t.Error("the flow log has no word about it")
			}
		})
	}
	m.stays(t, before)
}
