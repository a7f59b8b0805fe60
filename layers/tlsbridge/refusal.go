package tlsbridge

import (
	"crypto/tls"
	"errors"
	"sync/atomic"

	"github.com/bridgeio/bridgeio/bridge"
)

// Refusal is how a client shows that it does not accept the certificate that it was
// shown, as seen on the wire.
type Refusal string

// The refusals. Alerts have their names in RFC 8446 §6.2. What an alert says besides is no
// refusal, and nor is a client that leaves before it has seen the certificate, or after it has
// resumed a session, for which it has accepted that before.
const (
	NotRefused           Refusal = ""
	UnknownCA            Refusal = "unknown_ca"
	CertificateUnknown   Refusal = "certificate_unknown"
	BadCertificate       Refusal = "bad_certificate"
	CertificateExpired   Refusal = "certificate_expired"
	CertificateRevoked   Refusal = "certificate_revoked"
	UnsupportedCert      Refusal = "unsupported_certificate"
	ECHRequired          Refusal = "ech_required" // it wants to come again without ECH (RFC 9849 §6.1.6)
	ClosedOnCertificate  Refusal = "closed"       // it left without a word, after the certificate and before it has finished the handshake
	SilentAfterHandshake Refusal = "silent"       // it finished the handshake and left; neither it nor the server said anything
)

// refusalByAlert returns what an alert says about the certificate.
func refusalByAlert(a Alert) Refusal {
	switch a {
	case 42:
		return BadCertificate
	case 43:
		return UnsupportedCert
	case 44:
		return CertificateRevoked
	case 45:
		return CertificateExpired
	case 46:
		return CertificateUnknown
	case 48:
		return UnknownCA
	case 121:
		return ECHRequired
	}
	return NotRefused
}

// refusal says whether a client's handshake failed by the client's not accepting the
// certificate. Some verify it again when they resume a session, in which it is not shown.
func (e *HandshakeError) refusal(shown bool) Refusal {
	switch {
	case e.HasAlert && e.Alert != closeNotify:
		return refusalByAlert(e.Alert)
	case shown && (e.HasAlert || e.End != bridge.Open):
		return ClosedOnCertificate
	}
	return NotRefused // it is late, or its messages are wrong
}

// notingUse makes config tell when its certificate is to be shown. Below TLS 1.3 crypto/tls
// asks for it before it knows whether a session is resumed.
func notingUse(config *tls.Config) *bool {
	used := new(bool)
	leaf := &config.Certificates[0]
	config.Certificates = nil
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		*used = true
		return leaf, nil
	}
	return used
}

// refusedInHandshake tells of a handshake that failed, if the client has refused.
func (r *relay) refusedInHandshake(err error, shown bool) {
	if failed := (*HandshakeError)(nil); errors.As(err, &failed) {
		if r.info.Refusal = failed.refusal(shown); r.info.Refusal != NotRefused && r.Refused != nil {
			r.Refused(r.b.Flow(), r.hello, r.info, r.info.Refusal)
		}
	}
}

// acceptance is what a client does with a certificate after the handshake: browsers, and
// clients that check their pins last, refuse only then. It lasts until the first sign.
type acceptance struct {
	settled atomic.Bool // nothing more is to be learnt
	excused atomic.Bool // to leave in silence means nothing: the client has resumed a session, or we said something to it
	refused func(Refusal)
}

// awaitAcceptance begins to wait for the first sign of a client that was shown the
// certificate, or has resumed a session: its silence means nothing then.
func (r *relay) awaitAcceptance(shown bool) *acceptance {
	r.info.later = new(atomic.Value)
	info, flow, hello, tell := r.info, r.b.Flow(), r.hello, r.Refused
	a := &acceptance{refused: func(how Refusal) {
		info.later.Store(how)
		if tell != nil {
			tell(flow, hello, info, how)
		}
	}}
	a.excused.Store(!shown)
	return a
}

// settle ends the waiting, and lets go of the flow's hello.
func (a *acceptance) settle() (refused func(Refusal)) {
	if !a.settled.Swap(true) {
		refused, a.refused = a.refused, nil
	}
	return refused
}

// hears notes that the client has sent application data.
func (a *acceptance) hears() {
	if a != nil && !a.settled.Load() {
		a.settle()
	}
}

// says notes that the client was sent application data, or an end. A client that leaves
// after that may have got what it came for.
func (a *acceptance) says() {
	if a != nil && !a.excused.Load() {
		a.excused.Store(true)
	}
}

// ends notes with which error the client's direction has ended, and whether the client has
// ended it.
func (a *acceptance) ends(err error, left bool) {
	if a == nil {
		return
	}
	refused := a.settle()
	if refused == nil {
		return
	}
	how := NotRefused
	if alert, alerted := alertOf(err); alerted {
		how = refusalByAlert(alert)
	} else if left && !a.excused.Load() {
		how = SilentAfterHandshake
	}
	if how != NotRefused {
		refused(how)
	}
}
