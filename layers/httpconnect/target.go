package httpconnect

import (
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// form is the form of a request-target (RFC 9112 §3.2).
type form uint8

const (
	originForm    form = iota // "/path?query", and asterisk-form: for a server
	absoluteForm              // "http://authority/path?query": for a proxy
	authorityForm             // "host:port": of CONNECT
)

// target is a request-target of a proxy's request, taken apart.
type target struct {
	form      form
	dst       bridge.Addr
	authority string // as it was sent, for Host
	origin    string // what the server is asked for, in origin-form or asterisk-form
}

// parseTarget takes a request-target apart. An error is a *refusal.
func parseTarget(method, text string) (target, error) {
	switch {
	case method == "CONNECT":
		return parseAuthority(text)
	case strings.HasPrefix(text, "/"), text == "*":
		return target{form: originForm, origin: text}, nil
	}
	return parseAbsolute(method, text)
}

// parseAuthority parses the target of CONNECT. RFC 9112 §3.2.3: "a client MUST send only the host and port".
func parseAuthority(text string) (target, error) {
	host, port, ok := detect.SplitAuthority(text)
	if !ok {
		return target{}, badRequest("CONNECT wants host:port, or [IPv6 address]:port.")
	}
	return target{form: authorityForm, dst: bridge.Addr{Host: host, Port: port}, authority: text}, nil
}

// parseAbsolute parses an absolute URI of the scheme http (RFC 3986 §4.3, RFC 9110 §4.2.1).
func parseAbsolute(method, text string) (target, error) {
	scheme, rest, found := strings.Cut(text, "://")
	switch {
	case !found:
		return target{}, badRequest("The request-target is neither an absolute URL nor a path.")
	case strings.EqualFold(scheme, "https"):
		return target{}, badRequest("https is reached by CONNECT, not by an absolute URL.")
	case !strings.EqualFold(scheme, "http"):
		return target{}, badRequest("This proxy serves the scheme http, and anything inside CONNECT.")
	case strings.Contains(rest, "#"): // an absolute-URI has no fragment
		return target{}, badRequest("A request-target has no fragment.")
	}
	authority, origin := rest, ""
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority, origin = rest[:end], rest[end:]
	}
	host, port, ok := detect.SplitAuthority(authority)
	if !ok {
		host, port, ok = detect.SplitAuthority(authority + ":80")
	}
	if !ok {
		// RFC 9110 §4.2.4 says of userinfo in a reference from an untrusted source to "treat its presence as an error".
		return target{}, badRequest("The authority of the URL is not host, host:port or [IPv6 address]:port.")
	}
	return target{absoluteForm, bridge.Addr{Host: host, Port: port}, authority, originOf(method, origin)}, nil
}

// originOf returns the origin-form of a path and query, which may be empty. RFC 9112 §3.2.1: "If the target URI's path
// component is empty, the client MUST send "/" as the path"; §3.2.4: the last proxy of an OPTIONS with an empty path
// and no query "MUST send a request-target of "*"".
func originOf(method, pathAndQuery string) string {
	switch {
	case pathAndQuery == "" && method == "OPTIONS":
		return "*"
	case !strings.HasPrefix(pathAndQuery, "/"):
		return "/" + pathAndQuery
	}
	return pathAndQuery
}
