package httpconnect

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// request is a request to us, the proxy.
type request struct {
	target
	method      string
	minor       int
	credentials credentials
	body        Body
	options     []string // of Connection, as they were sent
	expects     bool     // 100-continue, before it sends the body
	upgrade     bool     // to another protocol
	handshake   *Handshake
	forward     []byte // the head for the server, in absolute-form
}

// parseRequest parses and checks the request head at the beginning of buf. It returns bridge.ErrShort, or a *refusal.
//
// We are a recipient here, and pass on what we have read to another one. What that one could read differently, so
// that it would see other requests or another destination than we do, is refused.
func parseRequest(buf []byte) (*request, int, error) {
	h, n, err := detect.ParseRequestHead(buf)
	switch {
	case errors.Is(err, bridge.ErrShort):
		return nil, 0, bridge.ErrShort
	case err != nil:
		return nil, 0, refuseHead(buf, err)
	}
	q, err := newRequest(buf[:n], h)
	if err != nil {
		return nil, 0, err
	}
	return q, n, nil
}

// refuseHead is the refusal of what is no request head.
func refuseHead(buf []byte, err error) error {
	bad := asMalformed(err)
	switch {
	case bad == nil:
		return badRequest("The request is malformed.")
	case bad.Offset >= MaxHead, bad.Field == "field line count":
		return refuse(statusHeadTooLarge, bridge.Limit, "The head of the request is too large.", err)
	case bad.Field == "HTTP-version" && isVersion(buf, bad.Offset):
		return refuse(statusVersion, bridge.Desynced, "This proxy speaks HTTP/1.0 and HTTP/1.1.", err)
	}
	return refuse(statusBadRequest, bridge.Desynced, "The request is malformed: "+bad.Field+".", err)
}

// isVersion reports whether the request line that is refused at the given offset does name a version of HTTP.
func isVersion(buf []byte, at int) bool {
	start := bytes.LastIndexByte(buf[:at], ' ') + 1
	return len(buf) > start+len("HTTP/") && string(buf[start:start+len("HTTP/")]) == "HTTP/" && isDigit(buf[start+len("HTTP/")])
}

// newRequest checks a head, of which raw are the bytes.
func newRequest(raw []byte, h *detect.RequestHead) (*request, error) {
	if h.Minor > 1 {
		return nil, refuse(statusVersion, bridge.Desynced, "This proxy speaks HTTP/1.0 and HTTP/1.1.", nil)
	}
	if err := checkSyntax(h); err != nil {
		return nil, err
	}
	t, err := parseTarget(h.Method, h.Target)
	if err != nil {
		return nil, err
	}
	if err := checkHost(h, t.form); err != nil {
		return nil, err
	}
	q := &request{target: t, method: h.Method, minor: h.Minor, handshake: newHandshake(h)}
	q.credentials = parseCredentials(h.Values("Proxy-Authorization"))
	q.expects = h.Minor > 0 && len(h.Values("Expect")) > 0
	if q.options, err = connectionOptions(h); err != nil {
		return nil, err
	}
	// RFC 9110 §7.8: "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
	q.upgrade = h.Minor > 0 && q.has("upgrade") && len(h.Values("Upgrade")) > 0
	if q.body, err = checkBody(h); err != nil {
		return nil, err
	}
	if t.form == absoluteForm {
		q.forward = q.appendForward(make([]byte, 0, len(raw)+64), raw, h)
	}
	return q, nil
}

// checkSyntax refuses what recipients mend in different ways (RFC 9112 §2.2, §5; RFC 9110 §5.5).
func checkSyntax(h *detect.RequestHead) error {
	bad := ""
	switch {
	case h.HasBareLF:
		bad = "a line ends in LF without CR"
	case h.HasBareCR:
		bad = "CR without LF"
	case h.HasNUL:
		bad = "NUL"
	case h.HasObsFold:
		bad = "a field is folded over lines"
	case h.SpaceBeforeColon:
		bad = "white space before a colon"
	case h.BadFieldName:
		bad = "field name"
	case slices.ContainsFunc(h.Fields, hasControl):
		bad = "control character"
	default:
		return nil
	}
	return badRequest("The request is malformed: " + bad + ".")
}

func hasControl(f detect.Field) bool {
	for i := range len(f.Value) {
		if isControl(f.Value[i]) {
			return true
		}
	}
	return false
}

// checkHost is RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
// message that lacks a Host header field and to any request message that contains more than one Host header field line
// or a Host header field with an invalid field value." A CONNECT may lack it: it is not passed on, and there are
// clients that leave it out.
func checkHost(h *detect.RequestHead, f form) error {
	hosts := h.Values("Host")
	switch {
	case len(hosts) == 0 && (h.Minor == 0 || f == authorityForm):
		return nil
	case len(hosts) != 1:
		return badRequest("A request has one Host field.")
	case !isHostValue(hosts[0]):
		return badRequest("The Host field is not host, host:port or [IPv6 address]:port.")
	}
	return nil
}

// isHostValue reports whether v is uri-host [ ":" port ]. The host may be empty (RFC 9110 §7.2).
func isHostValue(v string) bool {
	v = strings.TrimSuffix(v, ":")
	if v == "" {
		return true
	}
	_, _, withPort := detect.SplitAuthority(v)
	_, _, withoutPort := detect.SplitAuthority(v + ":80")
	return withPort || withoutPort
}

// connectionOptions returns the options of Connection. RFC 9110 §7.6.1: "A sender MUST NOT send a connection option
// corresponding to a header field that is intended for all recipients of the content". One that names what frames or
// routes the message would have us take that out, so that the server finds another end of it than we.
func connectionOptions(h *detect.RequestHead) ([]string, error) {
	options := elements(h.Values("Connection"))
	for _, o := range options {
		framing := slices.ContainsFunc(framingFields(), func(f string) bool { return strings.EqualFold(f, o) })
		if framing || !isToken(o) {
			return nil, badRequest("The Connection field holds what is no connection option.")
		}
	}
	return options, nil
}

// checkBody frames the body. A server may take what Trailer announces for the head's, so what must not be a trailer
// field is not announced either.
func checkBody(h *detect.RequestHead) (Body, error) {
	body, err := RequestBody(h)
	if bad := asMalformed(err); bad != nil {
		return Body{}, badRequest("The request is malformed: " + bad.Field + ".")
	}
	if slices.ContainsFunc(elements(h.Values("Trailer")), forbiddenTrailer) {
		return Body{}, badRequest("The request is malformed: Trailer.")
	}
	// RFC 9110 §9.3.6: "A CONNECT request message does not have content." Where one has, recipients differ about where
	// the tunnel begins.
	if h.Method == "CONNECT" && !body.Done() {
		return Body{}, badRequest("A CONNECT request has no content.")
	}
	return body, nil
}

// has reports whether Connection holds the option.
func (q *request) has(option string) bool {
	return slices.ContainsFunc(q.options, func(o string) bool { return strings.EqualFold(o, option) })
}

// persists reports whether the client's connection may serve another request. RFC 9112 §9.3: a proxy "MUST NOT maintain
// a persistent connection with an HTTP/1.0 client".
func (q *request) persists() bool { return q.minor > 0 && !q.has("close") }

// isRepeatable reports whether the request can be sent again without having another effect than once (RFC 9110 §9.2.2),
// and is all there.
func (q *request) isRepeatable() bool {
	return q.body.Done() && slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, q.method)
}
