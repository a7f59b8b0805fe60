package tlsbridge

import "crypto/tls"

// fingerprints returns the JA3 and JA4 of a hello that was sent, a handshake message.
func fingerprints(sent []byte) (ja3, ja4 string) {
	if sent == nil {
		return "", ""
	}
	hello, err := parseMessage(sent, tls.VersionTLS10)
	if err != nil {
		return "", "" // so crafted that nobody will ask for it
	}
	return hello.JA3(), hello.JA4()
}
