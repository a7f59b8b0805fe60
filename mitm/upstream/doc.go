// Package upstream reaches servers through a proxy: a SOCKS5 or SOCKS4 server, an HTTP proxy, or an HTTP proxy that is
// itself reached over TLS.
//
//	proxy, err := upstream.Parse("socks5://alice:secret@proxy.example:1080")
//	…
//	bridge := &bridge.Proxy{Handler: chain, Dial: proxy.Dialer(nil, nil, bridge.Limits{})}
//
// A proxy is a dialler and no destination: clients go on saying what they want, and what they say is handed on to the
// proxy as it is. It is the proxy that resolves names.
//
// How the proxies are spoken with is in layers/socks and layers/httpconnect; the certificate of an HTTPS proxy is
// verified as layers/tlsbridge does. There is no list of proxies, no automatic configuration, and no proxy of the
// environment's: what is dialled is what was named.
package upstream
