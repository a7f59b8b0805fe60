package httpconnect

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// DialConfig is how Dial asks an HTTP proxy. It is not changed after first use.
type DialConfig struct {
	// Proxy is the HTTP proxy.
	Proxy bridge.Addr

	// User and Password are shown as Basic credentials (RFC 7617), unless both are empty.
	User, Password string

	// OnDemand shows the credentials only to a proxy that has answered 407 and takes Basic, on another connection, so
	// that the end of that answer need not be waited for. Else they are in each request, which saves the question.
	OnDemand bool

	// Header has more fields for the request, as an http.Header does. They are written in the order of their names.
	Header map[string][]string

	// Limits bounds the handshake: its Dial the proxy's response, which comes when the proxy has dialled, and its Turn
	// the writing of the request.
	Limits bridge.Limits
}

// Dial returns the dialler that reaches hops through an HTTP proxy, by CONNECT (RFC 9110 §9.3.6). The proxy is what next
// connects to; nil means a net.Dialer. Where next puts TLS on its connections it is an HTTPS proxy. Names are handed on
// as they are: it is the proxy that resolves them.
//
// A proxy that refuses makes the dial fail with a *[Refusal]. What was said is in the flow's originated frames.
func Dial(next bridge.DialFunc, c DialConfig) bridge.DialFunc {
	with := bridge.Originate(next, c.Proxy, c.Limits, c.originate)
	if !c.OnDemand || !c.hasCredentials() {
		return with
	}
	bare := c
	bare.User, bare.Password = "", ""
	without := bridge.Originate(next, c.Proxy, c.Limits, bare.originate)
	return func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		conn, err := without(ctx, hop, f)
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) && refusal.takesBasic() {
			return with(ctx, hop, f)
		}
		return conn, err
	}
}

func (c DialConfig) hasCredentials() bool { return c.User != "" || c.Password != "" }

// Refusal is an HTTP proxy's answer to a CONNECT that it does not grant.
type Refusal struct {
	Status  int
	Reason  string   // the proxy's words for it; they come from the wire
	Schemes []string // with status 407: the authentication schemes that the proxy takes, from the wire
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("refused: %d", r.Status)
	if r.Reason != "" {
		text += fmt.Sprintf(" %q", r.Reason)
	}
	if len(r.Schemes) > 0 {
		text += fmt.Sprintf(", it takes %q", r.Schemes)
	}
	return text
}

func (r *Refusal) takesBasic() bool {
	return r.Status == statusProxyAuth && slices.ContainsFunc(r.Schemes, func(s string) bool { return strings.EqualFold(s, "Basic") })
}

func newRefusal(h *ResponseHead) *Refusal {
	r := &Refusal{Status: h.Status, Reason: h.Reason}
	if h.Status == statusProxyAuth {
		r.Schemes = schemes(h.Values("Proxy-Authenticate"))
	}
	return r
}

// schemes returns the schemes of challenges (RFC 9110 §11.6.1), which are in a list, as are the parameters of each: what
// has no "=" in its first word begins a challenge.
func schemes(fields []string) []string {
	var all []string
	for _, element := range elements(fields) {
		if scheme, _, _ := strings.Cut(element, " "); isToken(scheme) {
			all = append(all, scheme)
		}
	}
	return all
}

// reason says what a refusal is to a flow.
func (r *Refusal) reason() bridge.Reason {
	const unavailableForLegalReasons = 451 // RFC 7725 §3
	switch r.Status {
	case statusProxyAuth:
		return bridge.Auth
	case statusForbidden, unavailableForLegalReasons:
		return bridge.Denied
	case statusRequestTimeout, statusGatewayTimeout:
		return bridge.Timeout
	}
	return bridge.Unreachable
}

// originate asks for a tunnel to the hop.
func (c DialConfig) originate(ctx context.Context, b *bridge.Bridge, hop bridge.Addr) (bridge.Frame, error) {
	h := &Handshake{Method: "CONNECT", Target: hop.String(), Host: hop.String()}
	frame := bridge.Frame{Proto: "connect", Verb: bridge.VerbOriginate, Dst: hop, Detail: h}
	request, err := c.request(hop)
	if err != nil {
		return frame, err
	}
	if c.hasCredentials() {
		frame.User, h.Scheme = printable(c.User), "basic"
	}
	if err := b.Write(ctx, bridge.Server, request); err != nil {
		return frame, err
	}
	h.Requests++
	for range maxRequests {
		head, n, err := bridge.Expect(ctx, b, bridge.Server, ParseResponseHead, bridge.AwaitsDial())
		if err != nil {
			return frame, err
		}
		b.Take(bridge.Server, n)
		switch h.Status = head.Status; {
		case head.class() == 2:
			// RFC 9110 §9.3.6: a client "MUST ignore any Content-Length or Transfer-Encoding header fields received in
			// a successful response to CONNECT".
			return frame, nil
		case head.class() != 1 || head.Status == 101: // CONNECT asks for no other protocol
			frame.Note = fmt.Sprintf("refused: %d", head.Status)
			refusal := newRefusal(head)
			return frame, bridge.Fails(refusal.reason(), bridge.ByServer, refusal)
		}
	}
	return frame, desync(bridge.Server, bridge.TooLong, errors.New("no end of interim responses"))
}

// request returns the request for a tunnel. RFC 9112 §3.2.3: "a client MUST send only the host and port of the tunnel
// destination"; §3.2: Host is the same.
func (c DialConfig) request(hop bridge.Addr) ([]byte, error) {
	authority := hop.String()
	if _, _, ok := detect.SplitAuthority(authority); !ok {
		return nil, bridge.Fails(bridge.DNS, bridge.ByMITM, fmt.Errorf("%q is not a host and a port", authority))
	}
	request := fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n", authority)
	if c.hasCredentials() {
		value, err := basic(c.User, c.Password)
		if err != nil {
			return nil, bridge.Fails(bridge.Auth, bridge.ByMITM, err)
		}
		request = fmt.Appendf(request, "Proxy-Authorization: Basic %s\r\n", value)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Header)) {
		for _, value := range c.Header[name] {
			if !isExtra(name, value) {
				return nil, bridge.Fails(bridge.Internal, bridge.ByMITM, fmt.Errorf("%q is no field for a CONNECT request", name))
			}
			request = fmt.Appendf(request, "%s: %s\r\n", name, value)
		}
	}
	return append(request, "\r\n"...), nil
}

// isExtra reports whether a field may be added to a request that we make. It must not change where the head ends, or
// whom it is for.
func isExtra(name, value string) bool {
	framing := slices.ContainsFunc(framingFields(), func(f string) bool { return strings.EqualFold(f, name) })
	return isToken(name) && !framing && !hasControl(detect.Field{Value: value})
}

// basic returns the credentials of Basic. RFC 7617 §2: "a user-id containing a colon character is invalid", and user-id
// and password "MUST NOT contain any control characters".
func basic(user, password string) (string, error) {
	if strings.Contains(user, ":") {
		return "", errors.New("a colon in the user name, which Basic has no place for")
	}
	text := user + ":" + password
	for i := range len(text) {
		if c := text[i]; isControl(c) || c == '\t' {
			return "", errors.New("a control character in user name or password")
		}
	}
	return base64.StdEncoding.EncodeToString([]byte(text)), nil
}
