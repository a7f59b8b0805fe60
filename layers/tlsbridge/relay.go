package tlsbridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Action is what becomes of a flow that begins with a hello.
type Action uint8

const (
	Inspect Action = iota // it is decrypted
	Pass                  // it goes through as it is
	Block                 // it ends, with the alert access_denied
)

// Minter makes the certificates that clients are shown. It is called from many
// goroutines.
type Minter interface {
	// Mint returns the certificate, with its key, to show in the place of the
	// server's; and a word for the flow's record on what verifying that came to. The
	// certificate is not modified, and may be shared.
	Mint(ctx context.Context, server *Snapshot, hello *detect.ClientHello) (leaf *tls.Certificate, verdict string, err error)
}

// Config is how Relay works. Only Minter is required. It is not changed after first use.
type Config struct {
	Minter Minter

	// Hello shakes hands with servers; nil means Mirror().
	Hello ServerHandshaker

	// Policy says what to do with a flow, and by which rule, a word for its record; nil
	// means to inspect all of them. It is called on the flow's goroutine, before
	// anything is dialled.
	Policy func(*bridge.Flow, *detect.ClientHello) (action Action, rule string)

	// Port is the one to dial when nothing but the hello says where to; zero means 443.
	Port uint16

	// NoSNI is the name that a client wants to speak with which sends no server_name: the one
	// to dial when nothing else says where to, and the one that the server's certificate is
	// verified for. The server is sent none either. Empty means that it is not known.
	NoSNI string

	// Limiter bounds the handshakes that compute at once; nil means NewLimiter(0) for
	// this layer alone.
	Limiter *Limiter

	// Memory keeps what earlier handshakes with a server taught; nil means a NewMemory
	// for this layer alone.
	Memory *Memory

	// MutualTLS says what becomes of a flow whose server asks for a client certificate
	// that ClientCertificate has not got.
	MutualTLS MutualTLS

	// ClientCertificate returns the certificate to show to this server, and nil when
	// there is none for it. Nil means that there are none.
	ClientCertificate func(server *Snapshot) *tls.Certificate

	// Refused is told that a client has not accepted what it was shown, or looks as if.
	// It is called on the flow's goroutines, and must not block. Nil: nobody is told.
	Refused func(*bridge.Flow, *detect.ClientHello, Info, Refusal)

	// Tickets lets clients resume their sessions; nil means that none does.
	Tickets *Tickets

	// Sessions lets sessions with servers be resumed where the client tries to resume
	// its own; nil means that none is.
	Sessions *Sessions

	// ECHKeys take the Encrypted Client Hello off that was made for one of them (RFC
	// 9849); the server is then shown the inner hello.
	ECHKeys []tls.EncryptedClientHelloKey

	// KeyLog gets the secrets of both sides (RFC 9850), a line with each Write, which
	// is called from many goroutines; nil: nobody does.
	KeyLog io.Writer
}

// Info is the Detail of the frames of this package. What did not come about is zero.
type Info struct {
	Client, Server Leg
	ClientJA3      string   // of the hello that the client sent
	ClientJA4      string   // likewise
	ServerJA3      string   // of the hello that the server was sent
	ServerJA4      string   // likewise
	Rung           string   // what is different between the two: "faithful" is nothing
	ECH            string   // of the client's hello: "offered" (real or GREASE), "accepted" with one of ECHKeys; "": none
	Refusal        Refusal  // how the client has refused the certificate in the handshake; see Refused
	ServerLeaf     LeafHash // of the certificate that the server showed
	MintedLeaf     LeafHash // of the one that the client was shown
	ClientSubject  string   // of the certificate that the client showed, which verified (RFC 2253); see TerminateConfig
	Verdict        string   // the Minter's
	Rule           string   // the Policy's; "": it has not said

	later *atomic.Value // the Refusal that came after the handshake
}

// LeafHash is the SHA-256 of a certificate.
type LeafHash [sha256.Size]byte

// String returns the hash in hex, and nothing for that of no certificate.
func (h LeafHash) String() string {
	if h == (LeafHash{}) {
		return ""
	}
	return hex.EncodeToString(h[:])
}

// Refused returns how the client has refused the certificate, in the handshake or, so far,
// after it.
func (i *Info) Refused() Refusal {
	if i.Refusal == NotRefused && i.later != nil {
		how, _ := i.later.Load().(Refusal)
		return how
	}
	return i.Refusal
}

// Relay returns the layer that bridges TLS: the client's hello is held back until the
// handshake with the server is finished, and the client's is then finished with what the
// server chose. What comes out on both sides is decrypted.
//
// A bridge without a hop is connected to the server_name of the hello.
func Relay(c Config) bridge.Layer {
	if c.Hello == nil {
		c.Hello = Mirror()
	}
	if c.Port == 0 {
		c.Port = 443
	}
	if c.Limiter == nil {
		c.Limiter = NewLimiter(0)
	}
	if c.Memory == nil {
		c.Memory = NewMemory()
	}
	return bridge.Layer{Name: protoTLS, Handle: c.handle}
}

func (c Config) handle(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
	first, err := expectHello(ctx, b, parseOpening)
	if err != nil {
		return err
	}
	r := &relay{Config: c, b: b, hello: first.hello, frame: bridge.Frame{Proto: protoTLS, Verb: bridge.VerbRelay}}
	if r.hello == nil {
		return r.unseen(ctx, "SSLv2 hello", nil)
	}
	r.openECH()
	r.frame.SNI = r.hello.ServerName
	r.info.ClientJA3, r.info.ClientJA4 = r.hello.JA3(), r.hello.JA4()
	if err := r.destine(ctx); err != nil {
		return err
	}
	switch action := r.action(); {
	case action == Pass:
		return r.pass(ctx, r.info.Rule)
	case action == Block:
		r.push(r.info.Rule)
		err := bridge.Fails(bridge.Block, bridge.ByMITM, errors.New("the policy blocks this hello"))
		return r.refuse(ctx, accessDenied, err)
	case r.hello.HasEarlyData:
		// crypto/tls refuses 0-RTT data that it has no keys for (RFC 8446 §4.2.10).
		return r.unseen(ctx, "early data", nil)
	}
	if bridged, err := r.bridge(ctx); !bridged {
		return err
	}
	return next(ctx, b)
}

// relay is one flow in the layer.
type relay struct {
	Config
	b     *bridge.Bridge
	hello *detect.ClientHello
	frame bridge.Frame
	info  Info

	lesson lesson // what is known of the server
}

// openECH puts the inner hello in the place of one that was made for one of our keys.
func (r *relay) openECH() {
	if !r.hello.HasECH {
		return
	}
	r.info.ECH = "offered"
	if inner := OpenECH(r.hello, r.ECHKeys); inner != nil {
		r.info.ECH, r.hello = "accepted", inner
	}
}

func (r *relay) action() Action {
	if r.Policy == nil {
		return Inspect
	}
	action, rule := r.Policy(r.b.Flow(), r.hello)
	r.info.Rule = rule
	return action
}

// destine sets the hop when the hello is all that names one.
func (r *relay) destine(ctx context.Context) error {
	if r.b.Server != nil || !r.b.Hop().IsZero() {
		return nil
	}
	name := cmp.Or(r.hello.ServerName, r.NoSNI)
	if name == "" {
		err := bridge.Fails(bridge.Unreachable, bridge.ByMITM, errors.New("no destination is known, and the hello names none"))
		return r.refuse(ctx, unrecognizedName, err)
	}
	r.frame.Dst = bridge.Addr{Host: name, Port: r.Port}
	r.b.SetHop(r.frame.Dst)
	return nil
}

// bridge takes both sides through their handshakes and puts the decrypted streams in
// their place. When that can't be done, the flow has been seen to otherwise.
func (r *relay) bridge(ctx context.Context) (bridged bool, err error) {
	r.lesson = r.Memory.recall(r.lessonKey())
	if why := r.lesson.rescue; why != "" && r.b.Limits().Fail != bridge.FailClosed {
		return false, r.pass(ctx, rescued+why+", as before")
	}
	server, err := r.reach(ctx)
	if err != nil {
		return false, r.serverFailed(ctx, err)
	}
	client, err := r.answerClient(ctx, server)
	if err != nil {
		return false, r.clientFailed(err)
	}
	r.frame.ALPN, r.frame.Decrypted = server.shown.ALPN, true
	r.b.Replace(bridge.Client, client, nil)
	late := server.conn()
	r.awaitLateQuestion(late)
	r.b.Replace(bridge.Server, late, r.redo(server.shown.Chain[0].Raw))
	r.push("")
	return true, nil
}

// reach takes the server's side through its handshake: to its end, or to where the server
// asks for what only the client has. Then it makes the client's certificate.
func (r *relay) reach(ctx context.Context) (server *serverSide, err error) {
	err = r.b.While(ctx, bridge.Client, func(while context.Context) (err error) {
		if err = r.b.Dial(while); err != nil {
			return err
		}
		if server, err = r.climb(ctx, while); err != nil {
			return err
		}
		return r.mint(while, server)
	})
	if err != nil && server != nil {
		server.abandon(err)
	}
	return server, err
}

// answerClient takes the client's side through its handshake, pinned to the server's; and
// what is left of that to its end, if the server waits for the client.
func (r *relay) answerClient(ctx context.Context, server *serverSide) (*conn, error) {
	config, limit := pinned(server.shown, server.leaf), r.b.Limits().Turn
	config.KeyLogWriter, config.EncryptedClientHelloKeys = r.KeyLog, r.ECHKeys
	if r.Tickets != nil {
		r.Tickets.bind(config, bondOf(server.shown, r.info.Verdict, server.leaf))
	}
	if server.question != nil {
		server.question.askAs(config)
		limit = max(limit, askPatience)
	}
	used := notingUse(config)
	client, leg, err := serve(ctx, r.b, r.Limiter, limit, config)
	shown := *used && !leg.Resumed
	if err != nil {
		server.abandon(err)
		r.refusedInHandshake(err, shown)
		return nil, err
	}
	r.info.Client = leg
	client.acceptance = r.awaitAcceptance(shown)
	if server.question == nil {
		return client, nil
	}
	return client, r.passAnswer(ctx, server, client)
}

// lessonKey is what is remembered of the server by.
func (r *relay) lessonKey() lessonKey {
	f := r.b.Flow()
	return hashed[lessonKey](f.Client().Host, f.Target().String(), r.hello.ServerName, r.info.ClientJA4, groupsOf(r.hello))
}

// name is whom the server's certificate is verified for. Certificates have no final dot.
func (r *relay) name() string {
	if name := cmp.Or(r.hello.ServerName, r.NoSNI); name != "" {
		return strings.TrimSuffix(name, ".")
	}
	return r.b.Flow().Target().Host
}

// mint makes the client's certificate, within the time of a turn: the client waits.
func (r *relay) mint(ctx context.Context, server *serverSide) error {
	ctx, cancel := context.WithTimeout(ctx, r.b.Limits().Turn)
	defer cancel()
	shown := server.shown
	r.info.Server, r.info.Rung = shown.Leg, shown.Rung
	r.info.ServerJA3, r.info.ServerJA4 = fingerprints(shown.Sent)
	r.info.ServerLeaf = sha256.Sum256(shown.Chain[0].Raw)
	err := contained(func() (err error) {
		server.leaf, r.info.Verdict, err = r.Minter.Mint(ctx, shown, r.hello)
		return err
	})
	if err != nil {
		return fmt.Errorf("mint certificate: %w", err)
	}
	r.info.MintedLeaf = sha256.Sum256(server.leaf.Certificate[0])
	return nil
}

// push shows what the layer learnt.
func (r *relay) push(note string) {
	r.frame.Note = note
	info := r.info
	r.frame.Detail = &info
	r.b.Push(r.frame)
}
