package tlsbridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// MutualTLS says what becomes of a flow whose server asks for a client certificate. The
// client's key is its own: nobody else can sign with it.
type MutualTLS uint8

const (
	MutualRescue MutualTLS = iota // its hello goes through raw
	MutualAsk                     // the client is asked: without a certificate it stays inspected; with one it ends, and the next is rescued
	MutualNone                    // the server is told that there is none
)

// clientCertificate is why a flow is rescued whose client may have one.
const clientCertificate = "client certificate"

var (
	errClientCertificate = errors.New("the server asks for a client certificate")
	errHasCertificate    = errors.New("the client has a certificate for the server: its next flow is passed on")
)

// askPatience is how long a client may take that is asked for a certificate: a person may
// have to choose one, and to find the PIN.
const askPatience = 2 * time.Minute

// certificate is what a handshake with the server does that is asked for one. It runs on
// that handshake's goroutine; ask leads to whoever waits for it.
func (r *relay) certificate(ask asker) asker {
	return func(wanted *CertificateRequest) (*tls.Certificate, error) {
		wanted.Server.Name = r.name()
		if r.ClientCertificate != nil {
			if ours := r.ClientCertificate(wanted.Server); ours != nil {
				return ours, nil
			}
		}
		switch r.MutualTLS {
		case MutualNone:
			return nil, nil
		case MutualAsk:
			return ask(wanted)
		}
		// In TLS 1.3 an empty answer would seem to succeed, and the refusal would come
		// only with the first read.
		return nil, &Unbridgeable{Reason: clientCertificate, Err: errClientCertificate}
	}
}

// askAs makes config ask the client as the server has asked. The authorities are no more
// than names: nothing is verified here.
func (q *question) askAs(config *tls.Config) {
	config.ClientAuth = tls.RequestClientCert
	config.SessionTicketsDisabled = true // a resumed session would not be asked
	config.ClientCAs = x509.NewCertPool()
	for _, name := range q.CAs {
		config.ClientCAs.AddCert(&x509.Certificate{Raw: name, RawSubject: name})
	}
}

// passAnswer tells the server what the client has answered: that it has no certificate.
// A client that has one has proved that to us, and the server wants the proof for itself:
// the flow ends, and the next one is rescued.
func (r *relay) passAnswer(ctx context.Context, server *serverSide, client *conn) error {
	if len(client.tls.(*tls.Conn).ConnectionState().PeerCertificates) > 0 {
		server.abandon(errHasCertificate)
		r.Memory.learn(r.lessonKey(), lesson{rescue: clientCertificate})
		r.push(errHasCertificate.Error())
		// A reset, because browsers answer that with another attempt.
		return bridge.Final(bridge.Fails(bridge.Resets, bridge.ByMITM, errHasCertificate))
	}
	server.question.answer <- answer{}
	err := r.b.While(ctx, bridge.Client, func(ctx context.Context) error {
		_, err := server.wait(ctx)
		return err
	})
	if err == nil {
		return nil
	}
	if failed := (*HandshakeError)(nil); errors.As(err, &failed) {
		r.push("the server does not go on without a client certificate")
		return bridge.Final(failed.failure())
	}
	r.push("the client left before the server had its answer")
	return err
}

const extPostHandshakeAuth = 49

// awaitLateQuestion has a connection remembered as one to rescue when the server asks for a
// client certificate after the handshake (RFC 8446 §4.6.2): it can't be answered. utls says
// no more of that than that the message was unexpected.
func (r *relay) awaitLateQuestion(server *conn) {
	if _, offered := r.hello.Extension(extPostHandshakeAuth); !offered {
		return
	}
	memory, key := r.Memory, r.lessonKey()
	server.failed = func(err error) {
		if strings.Contains(err.Error(), "tls: unexpected message") {
			memory.learn(key, lesson{rescue: clientCertificate})
		}
	}
}
