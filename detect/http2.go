package detect

// http2Preface begins a connection whose client knows beforehand that the server speaks HTTP/2 (RFC 9113 §3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// HTTP2 detects the client connection preface of HTTP/2, all 24 bytes of it.
func HTTP2() Detector {
	return Func("http2", len(http2Preface), func(client []byte) Verdict {
		switch hasPrefix(client, http2Preface) {
		case NoMatch:
			return No()
		case NeedMore:
			return More(len(http2Preface))
		}
		return Yes(Info{Protocol: "http2", Version: "2"})
	})
}
