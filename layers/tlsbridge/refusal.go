package tlsbridge

// Refusal is how a client shows that it does not accept the certificate that it was
// shown, as seen on the wire.
type Refusal string

// The refusals. Alerts have their names in RFC 8446 §6.2.
const (
	NotRefused           Refusal = ""
	UnknownCA            Refusal = "unknown_ca"
	CertificateUnknown   Refusal = "certificate_unknown"
	BadCertificate       Refusal = "bad_certificate"
	CertificateExpired   Refusal = "certificate_expired"
	CertificateRevoked   Refusal = "certificate_revoked"
	UnsupportedCert      Refusal = "unsupported_certificate"
	ECHRequired          Refusal = "ech_required" // it wants to come again without ECH (RFC 9849 §6.1.6)
	ClosedOnCertificate  Refusal = "closed"       // it ended the handshake without a word after the certificate
	SilentAfterHandshake Refusal = "silent"       // it finished the handshake, said nothing and left
)
