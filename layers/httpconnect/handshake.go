package httpconnect

import "github.com/bridgeio/bridgeio/detect"

// Handshake is what was said about a tunnel, or with a request. It is the Detail of the frames of this package. Its
// strings come from the wire.
type Handshake struct {
	Method          string // of the last request
	Target          string // its request-target
	Host            string
	UserAgent       string
	ProxyConnection string
	Scheme          string // of Proxy-Authorization, in lower case; the credentials are not kept
	Requests        int    // relayed: how many CONNECT requests there were
	Status          int    // relayed: of the last response, 0 without one
}

func newHandshake(h *detect.RequestHead) *Handshake {
	return &Handshake{
		Method:          h.Method,
		Target:          h.Target,
		Host:            first(h.Values("Host")),
		UserAgent:       first(h.Values("User-Agent")),
		ProxyConnection: first(h.Values("Proxy-Connection")),
		Scheme:          parseCredentials(h.Values("Proxy-Authorization")).scheme,
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
