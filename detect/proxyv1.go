package detect

import (
	"bytes"
	"net/netip"
	"strings"
)

// parseProxyV1 parses the human-readable header (§2.1).
func parseProxyV1(buf []byte) (*ProxyHeader, int, error) {
	r := scanProxyV1(buf)
	if !r.isComplete() {
		return nil, 0, r.err("proxy1")
	}
	h := &ProxyHeader{Version: 1, Command: ProxyProxied}
	line := proxyV1Line{text: string(buf[:r.n-len("\r\n")]), pos: len(proxyV1Signature)}
	switch protocol := line.word("protocol"); protocol {
	case "TCP4":
		h.Family, h.Transport = ProxyInet, ProxyStream
		line.addresses(h, netip.Addr.Is4)
	case "TCP6":
		h.Family, h.Transport = ProxyInet6, ProxyStream
		line.addresses(h, netip.Addr.Is6)
	case "UNKNOWN":
		// §2.1: "the receiver must ignore anything presented before the CRLF is found".
	default:
		line.fail("protocol", len(proxyV1Signature))
	}
	if line.bad.field != "" {
		return nil, 0, line.bad.err("proxy1")
	}
	return h, r.n, nil
}

// scanProxyV1 finds the end of the line, which must be CR LF.
func scanProxyV1(b []byte) result {
	for i := range min(len(b), len(proxyV1Signature)) {
		if b[i] != proxyV1Signature[i] {
			return bad("signature", i)
		}
	}
	line := b[:min(len(b), maxProxyV1)]
	end := bytes.IndexAny(line, "\r\n")
	switch {
	case end < 0 || end == len(line)-1 && line[end] == '\r':
		return shortWithin(maxProxyV1, max(len(line)+1, len("PROXY UNKNOWN\r\n")))
	case line[end] == '\n':
		return bad("line end", end)
	case line[end+1] != '\n':
		return bad("line end", end+1)
	}
	return complete(end + 2)
}

// proxyV1Line reads the words of a line. After the first one that cannot be it goes on, but bad stays.
type proxyV1Line struct {
	text string
	pos  int // of the next word
	bad  result
}

func (l *proxyV1Line) fail(field string, at int) {
	if l.bad.field == "" {
		l.bad = bad(field, at)
	}
}

// word returns the text up to the next space or the end of the line.
func (l *proxyV1Line) word(field string) string {
	if l.pos > len(l.text) {
		l.fail(field, len(l.text))
		return ""
	}
	word, _, _ := strings.Cut(l.text[l.pos:], " ")
	l.pos += len(word) + 1
	return word
}

// addresses reads the four words after TCP4 and TCP6.
func (l *proxyV1Line) addresses(h *ProxyHeader, ofFamily func(netip.Addr) bool) {
	src := l.address("source address", ofFamily)
	dst := l.address("destination address", ofFamily)
	h.Src = netip.AddrPortFrom(src, l.port("source port"))
	h.Dst = netip.AddrPortFrom(dst, l.port("destination port"))
	if l.pos <= len(l.text) {
		l.fail("line end", l.pos-1)
	}
}

func (l *proxyV1Line) address(field string, ofFamily func(netip.Addr) bool) netip.Addr {
	at := l.pos
	word := l.word(field)
	a, err := netip.ParseAddr(word)
	if err != nil || !ofFamily(a) || !isCanonical(a, word) {
		l.fail(field, at)
		return netip.Addr{}
	}
	return a
}

// isCanonical says whether a sender's inet_ntop could have written the address so. Both cases of hexadecimal digits are
// legal (§2.1). C libraries write the last 32 bits of some IPv6 addresses as a dotted quad, where netip does not.
func isCanonical(a netip.Addr, text string) bool {
	if a.Zone() != "" {
		return false
	}
	return strings.EqualFold(a.String(), text) || a.Is6() && strings.Contains(text, ".")
}

func (l *proxyV1Line) port(field string) uint16 {
	at := l.pos
	word := l.word(field)
	port, ok := parsePort(word)
	if !ok || word[0] == '0' && word != "0" {
		l.fail(field, at)
	}
	return port
}
