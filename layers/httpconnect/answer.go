package httpconnect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// established grants a CONNECT. It has no fields: a 2xx to CONNECT needs none (RFC 9110 §9.3.6), and there are clients
// that take them for the beginning of the tunnel.
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// Answer is a response of our own: a status, and one line of text for whoever reads it.
type Answer struct {
	Status int
	Line   string // without line end
	Realm  string // of Proxy-Authenticate: Basic, with status 407
	Close  bool   // the connection ends after it

	// NoContent leaves the text out, for a HEAD request, whose client reads none (RFC 9110 §9.3.2).
	NoContent bool
}

// AppendAnswer appends a to b.
func AppendAnswer(b []byte, a Answer) []byte {
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\n", a.Status, statusText(a.Status))
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\n"...)
	b = fmt.Appendf(b, "Content-Length: %d\r\n", len(a.Line)+len("\n"))
	if a.Status == statusProxyAuth {
		// RFC 9110 §11.7.1, RFC 7617 §2.
		b = fmt.Appendf(b, "Proxy-Authenticate: Basic realm=%s, charset=\"UTF-8\"\r\n", quoted(a.Realm))
	}
	if a.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	if !a.NoContent {
		b = append(append(b, a.Line...), '\n')
	}
	return b
}

// quoted is a quoted-string (RFC 9110 §5.6.4) of what may stand in one.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case !isControl(c):
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// The statuses that we answer with (RFC 9110 §15, RFC 6585 §5).
const (
	statusBadRequest     = 400
	statusForbidden      = 403
	statusProxyAuth      = 407
	statusRequestTimeout = 408
	statusMisdirected    = 421
	statusHeadTooLarge   = 431
	statusBadGateway     = 502
	statusGatewayTimeout = 504
	statusVersion        = 505
)

func statusText(status int) string {
	switch status {
	case statusBadRequest:
		return "Bad Request"
	case statusForbidden:
		return "Forbidden"
	case statusProxyAuth:
		return "Proxy Authentication Required"
	case statusRequestTimeout:
		return "Request Timeout"
	case statusMisdirected:
		return "Misdirected Request"
	case statusHeadTooLarge:
		return "Request Header Fields Too Large"
	case statusBadGateway:
		return "Bad Gateway"
	case statusGatewayTimeout:
		return "Gateway Timeout"
	case statusVersion:
		return "HTTP Version Not Supported"
	}
	return "Status " + strconv.Itoa(status)
}

// refusal is a request that is answered by us, which ends the flow.
type refusal struct {
	status int
	line   string // for the client
	reason bridge.Reason
	err    error // what led to it; nil when the line says it
}

func (r *refusal) Error() string {
	if r.err != nil {
		return fmt.Sprintf("answered %d: %v", r.status, r.err)
	}
	return fmt.Sprintf("answered %d: %s", r.status, strings.TrimSuffix(r.line, "."))
}

func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, reason bridge.Reason, line string, err error) *refusal {
	return &refusal{status, line, reason, err}
}

// badRequest is a request that we do not serve, or that two recipients could read differently.
func badRequest(line string) error { return refuse(statusBadRequest, bridge.Desynced, line, nil) }

// badGateway is a server that can't be reached, or whose response can't be passed on.
func badGateway(reason bridge.Reason, line string, err error) error {
	return refuse(statusBadGateway, reason, line, err)
}

// undialled maps the error of a dial by its reason, never by its text.
func undialled(dst bridge.Addr, err error) error {
	reason, _ := bridge.ReasonOf(err)
	switch reason {
	case bridge.Denied, bridge.Block:
		return refuse(statusForbidden, reason, "This proxy does not let you reach "+dst.String()+".", err)
	case bridge.Loop:
		return refuse(statusForbidden, reason, dst.String()+" is this proxy.", err)
	case bridge.Timeout:
		return refuse(statusGatewayTimeout, reason, dst.String()+" does not answer.", err)
	case bridge.Refused:
		return badGateway(reason, dst.String()+" refused the connection.", err)
	case bridge.DNS:
		return badGateway(reason, "The name in "+dst.String()+" does not resolve.", err)
	}
	return badGateway(reason, dst.String()+" can't be reached.", err)
}

// asRefusal returns the refusal in err, if there is one.
func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	return r, errors.As(err, &r)
}
