package tlsbridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// Leg is what was agreed on with one peer.
type Leg struct {
	Version     uint16
	CipherSuite uint16
	Group       tls.CurveID // of the key exchange; 0: it had none
	ALPN        string      // "" when none was chosen
	Resumed     bool        // the peer has not shown its certificate, but a ticket of an earlier session
}

// Snapshot is what a server's handshake came to. The client's is pinned to it.
type Snapshot struct {
	Leg

	// Name is whom the client wants to speak with: the server_name of its hello, else
	// the host of the target, which may be an IP address. Minters verify the chain
	// for it. It may be empty.
	Name string

	Chain      []*x509.Certificate // as the server sent it, leaf first; not verified
	OCSPStaple []byte              // nil when it sent none

	Sent []byte // the hello that the server was sent, a handshake message; nil: unknown
	Rung string // what is different in it from the client's: "faithful" is nothing
}

// ServerHandshaker shakes hands with a server in a client's name.
type ServerHandshaker interface {
	// Handshake runs the handshake over c, on the goroutine that calls it, and offers
	// nothing that the client's hello does not. It must not verify the chain. The
	// Snapshot's Name is filled in by the caller, and so is its Group when it is 0.
	//
	// An *Unbridgeable error says that the client's own hello might succeed where
	// this handshake could not.
	Handshake(ctx context.Context, c net.Conn, o *Offer) (Session, *Snapshot, error)
}

// Offer is what a server is offered in a client's name.
type Offer struct {
	Hello   *detect.ClientHello // the client's
	Changes Changes             // what has to be different from it

	// Certificate is asked when the server wants a client certificate, once what the
	// server has chosen is known; it may take as long as a person needs. A nil
	// certificate means to go on without one. Nil means that there is nobody to ask:
	// the server is told nothing, and the handshake fails as an *Unbridgeable.
	Certificate func(*CertificateRequest) (*tls.Certificate, error)

	// Sessions has the tickets of earlier sessions of this client with this server;
	// nil means that none is resumed. It is for this handshake alone.
	Sessions utls.ClientSessionCache

	KeyLog io.Writer // gets the secrets (RFC 9850); nil: nobody does
}

// CertificateRequest is a server's wish for a client certificate (RFC 8446 §4.3.2, RFC
// 5246 §7.4.4).
type CertificateRequest struct {
	Server  *Snapshot             // without its Name
	CAs     [][]byte              // the authorities that it names: DER of their names
	Schemes []tls.SignatureScheme // what it accepts as a signature
}

// Unbridgeable is a server side that cannot be bridged for a reason that is ours.
type Unbridgeable struct {
	Reason string // a few words for the flow's record
	Err    error
}

func (u *Unbridgeable) Error() string {
	if u.Err == nil {
		return u.Reason
	}
	return u.Reason + ": " + u.Err.Error()
}

func (u *Unbridgeable) Unwrap() error { return u.Err }

// GoHello returns the ServerHandshaker that sends the hello of Go, as utls makes it
// (HelloGolang), cut down to what the client offers: versions, cipher suites below TLS
// 1.3, groups, ALPN and server_name.
func GoHello() ServerHandshaker { return goHello{} }

type goHello struct{}

func (goHello) Handshake(ctx context.Context, c net.Conn, offered *Offer) (Session, *Snapshot, error) {
	hello := offered.Hello
	o, possible := offerOf(hello)
	if !possible {
		return nil, nil, &Unbridgeable{Reason: "the hello offers nothing that is known here"}
	}
	var soFar utls.ConnectionState
	config := o.config(hello)
	config.KeyLogWriter = offered.KeyLog
	config.VerifyConnection = func(state utls.ConnectionState) error {
		soFar = state
		return nil
	}
	config.GetClientCertificate = func(wanted *utls.CertificateRequestInfo) (*utls.Certificate, error) {
		if offered.Certificate == nil {
			return nil, &Unbridgeable{Reason: clientCertificate, Err: errClientCertificate}
		}
		o.less = false // what the server says from here on is about the certificate
		ours, err := offered.Certificate(&CertificateRequest{goSnapshot(soFar), wanted.AcceptableCAs, schemes(wanted)})
		return forUTLS(ours), err
	}
	u := utls.UClient(c, config, utls.HelloGolang)
	if err := u.HandshakeContext(ctx); err != nil {
		return nil, nil, o.failed(err)
	}
	shown := goSnapshot(u.ConnectionState())
	// The hello and its keys, 8 KB of them for a hybrid share, would stay for the life of the flow.
	u.HandshakeState = utls.PubClientHandshakeState{}
	return u, shown, nil
}

func goSnapshot(state utls.ConnectionState) *Snapshot {
	return &Snapshot{
		Leg:        Leg{Version: state.Version, CipherSuite: state.CipherSuite, ALPN: state.NegotiatedProtocol},
		Chain:      state.PeerCertificates,
		OCSPStaple: state.OCSPResponse,
		Rung:       "go",
	}
}

func schemes(wanted *utls.CertificateRequestInfo) []tls.SignatureScheme {
	all := make([]tls.SignatureScheme, len(wanted.SignatureSchemes))
	for i, s := range wanted.SignatureSchemes {
		all[i] = tls.SignatureScheme(s)
	}
	return all
}

// forUTLS is a certificate in the type of utls, in which an empty one means none.
func forUTLS(c *tls.Certificate) *utls.Certificate {
	if c == nil {
		return &utls.Certificate{}
	}
	return &utls.Certificate{Certificate: c.Certificate, PrivateKey: c.PrivateKey, Leaf: c.Leaf}
}

// config makes the offer. utls changes its Config: there is one for each handshake.
func (o offer) config(hello *detect.ClientHello) *utls.Config {
	return &utls.Config{
		ServerName:             sni(hello),
		NextProtos:             hello.ALPN,
		MinVersion:             o.min,
		MaxVersion:             o.max,
		CipherSuites:           o.suites,
		CurvePreferences:       o.groups,
		InsecureSkipVerify:     true, // a Minter judges the chain, and mirrors what is wrong with it
		SessionTicketsDisabled: true,
		Renegotiation:          utls.RenegotiateNever,
	}
}

// failed tells apart what the client's own hello would have changed.
func (o offer) failed(err error) error {
	switch a, _ := alertOf(err); a {
	case handshakeFailure, protocolVersion, insufficient:
		if o.less {
			return &Unbridgeable{Reason: "no common parameters", Err: err}
		}
	}
	return err
}

// sni returns the name to send as server_name: the client's, if it sent one. RFC 6066
// §3: "Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
func sni(hello *detect.ClientHello) string {
	if _, err := netip.ParseAddr(hello.ServerName); err == nil {
		return ""
	}
	return hello.ServerName
}
