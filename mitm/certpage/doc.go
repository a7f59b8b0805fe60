// Package certpage serves the certificate of the authority that clients must trust, over plain HTTP, with
// instructions how to install it.
//
//	handler := certpage.Handler(authority.Certificate())
//	err := certpage.Serve(ctx, listener, handler)
//
// The paths are
//
//	/                the page, as HTML; as text with /?text or for those who prefer text/plain
//	/ca.cer          the certificate as DER
//	/ca.pem          the certificate as PEM (RFC 7468)
//	/polarproxy.cer  as /ca.cer: where clients of PolarProxy look for it
//
// A client that does not trust the authority yet can't be served over TLS, so anybody on the way could put another
// certificate in its place: the page shows the fingerprint, to be compared with what the proxy prints when it starts.
//
// The handler is made of a certificate, so that no key can be served by mistake. The page needs no script and loads
// nothing.
package certpage
