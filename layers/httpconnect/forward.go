package httpconnect

import (
	"fmt"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

// appendForward appends the head as the server gets it: the request-target in origin-form, Host set to the authority,
// without the fields that are addressed to us, and all else byte for byte in order. raw is the head as it came.
func (q *request) appendForward(b, raw []byte, h *detect.RequestHead) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.%d\r\n", h.Method, q.origin, h.Minor)
	if len(h.Values("Host")) == 0 {
		b = fmt.Appendf(b, "Host: %s\r\n", q.authority)
	}
	options := false
	for _, f := range h.Fields {
		switch {
		case strings.EqualFold(f.Name, "Host"):
			b = q.appendHost(b, raw[f.Start:f.End], f)
		case strings.EqualFold(f.Name, "Connection"):
			if !options {
				b = q.appendOptions(b, f.Name)
			}
			options = true
		case q.isForUs(f.Name):
		default:
			b = append(b, raw[f.Start:f.End]...)
		}
	}
	return append(b, "\r\n"...)
}

// appendHost is RFC 9112 §3.2.2: "When a proxy receives a request with an absolute-form of request-target, the proxy
// MUST ignore the received Host header field (if any) and instead replace it with the host information of the
// request-target."
func (q *request) appendHost(b, raw []byte, f detect.Field) []byte {
	if f.Value == q.authority {
		return append(b, raw...)
	}
	return fmt.Appendf(b, "%s: %s\r\n", f.Name, q.authority)
}

// isForUs reports whether a field is not passed on: it is the proxy's, or Connection names it (RFC 9110 §7.6.1).
func (q *request) isForUs(name string) bool {
	if strings.EqualFold(name, "Upgrade") && q.upgrade {
		return false
	}
	return isProxyField(name) || q.has(name)
}

// appendOptions appends the Connection field of our own connection to the server: it ends when the client's does, and
// may be upgraded as the client asks for, which both are then (RFC 9110 §7.8).
func (q *request) appendOptions(b []byte, name string) []byte {
	var ours []string
	for _, o := range q.options {
		if q.minor > 0 && strings.EqualFold(o, "close") || q.upgrade && strings.EqualFold(o, "upgrade") {
			ours = append(ours, o)
		}
	}
	if len(ours) == 0 {
		return b
	}
	return fmt.Appendf(b, "%s: %s\r\n", name, strings.Join(ours, ", "))
}
