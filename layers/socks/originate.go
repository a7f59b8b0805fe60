package socks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// DialConfig is how Dial asks a SOCKS server. It is not changed after first use.
type DialConfig struct {
	// Proxy is the SOCKS server.
	Proxy bridge.Addr

	// Version is 5, or 4 for SOCKS4 with IPv4 addresses and SOCKS4A with names. Zero means 5.
	Version byte

	// User and Password are shown to a SOCKS5 server that asks for them (RFC 1929). When both are empty that is not
	// offered. A SOCKS4 server is shown the User, as user-id.
	User, Password string

	// Limits bounds the handshake: its Dial the server's reply to the request, which comes when the server has dialled,
	// and its Turn each other message.
	Limits bridge.Limits
}

// Dial returns the dialler that reaches hops through a SOCKS server, which next connects to. Nil for next means a
// net.Dialer. Names are handed on as they are: it is the server that resolves them.
//
// A server that refuses makes the dial fail with a *[Refusal]. What was said is in the flow's originated frames.
func Dial(next bridge.DialFunc, c DialConfig) bridge.DialFunc {
	return bridge.Originate(next, c.Proxy, c.Limits, c.originate)
}

// Refusal is a SOCKS server's answer to a request that it does not grant.
type Refusal struct {
	Version byte // 4 or 5
	Code    byte // a Rep4 or a Rep
}

func (r *Refusal) Error() string {
	if r.Version == version4 {
		return "refused: " + Rep4(r.Code).String()
	}
	return "refused: " + Rep(r.Code).String()
}

// reason says what a refusal is to a flow.
func (r *Refusal) reason() bridge.Reason {
	if r.Version == version4 {
		switch Rep4(r.Code) {
		case Rep4NoIdentd, Rep4UserMismatch:
			return bridge.Auth
		}
		return bridge.Unreachable
	}
	switch Rep(r.Code) {
	case RepNotAllowed:
		return bridge.Denied
	case RepConnectionRefused:
		return bridge.Refused
	case RepTTLExpired:
		return bridge.Timeout
	}
	return bridge.Unreachable
}

// rep is the code by which a SOCKS5 client is told of it.
func (r *Refusal) rep() Rep {
	if r.Version == version5 && Rep(r.Code) <= RepAddrTypeNotSupported {
		return Rep(r.Code)
	}
	return RepGeneralFailure
}

// originated is a handshake in which we are the client, and what was learnt from it.
type originated struct {
	DialConfig
	b         *bridge.Bridge
	frame     bridge.Frame
	handshake *Handshake
}

func (c DialConfig) originate(ctx context.Context, b *bridge.Bridge, hop bridge.Addr) (bridge.Frame, error) {
	if c.Version == 0 {
		c.Version = version5
	}
	h := &Handshake{Version: c.Version, Method: MethodNone, Cmd: CmdConnect}
	frame := bridge.Frame{Proto: protoOf(c.Version), Verb: bridge.VerbOriginate, Dst: hop, Detail: h}
	o := &originated{c, b, frame, h}
	err := o.connect(ctx, hop)
	return o.frame, err
}

// connect asks for the hop.
func (o *originated) connect(ctx context.Context, hop bridge.Addr) error {
	dst, err := destination(Addr{Name: hop.Host, Port: hop.Port})
	if err != nil {
		return err
	}
	o.handshake.Dst = Addr{Name: dst.Host, Port: dst.Port}
	if ip, ok := dst.IP(); ok {
		o.handshake.Dst = Addr{IP: ip, Port: dst.Port}
	}
	switch o.Version {
	case version4:
		return o.socks4(ctx)
	case version5:
		return o.socks5(ctx)
	}
	return bridge.Fails(bridge.Internal, bridge.ByMITM, fmt.Errorf("there is no version %d of SOCKS", o.Version))
}

// socks5 is RFC 1928.
func (o *originated) socks5(ctx context.Context) error {
	if err := o.negotiate(ctx); err != nil {
		return err
	}
	if o.handshake.Method == MethodUserPass {
		if err := o.authenticate(ctx); err != nil {
			return err
		}
	}
	request, err := AppendRequest(nil, Request{Cmd: CmdConnect, Dst: o.handshake.Dst})
	return o.ask(ctx, request, err, parseAnswer5)
}

// negotiate offers what we have, and hears what the server has chosen.
func (o *originated) negotiate(ctx context.Context) error {
	offer := []byte{MethodNoAuth}
	if o.User != "" || o.Password != "" {
		offer = append(offer, MethodUserPass)
	}
	o.handshake.Methods = offer
	greeting, err := AppendGreeting(nil, offer...)
	if err != nil {
		return err
	}
	if err := o.b.Write(ctx, bridge.Server, greeting); err != nil {
		return err
	}
	method, err := answered(ctx, o.b, methodOf(offer), pairLen)
	switch {
	case err != nil:
		return err
	case method == MethodNone:
		o.frame.Note = "no acceptable methods"
		return bridge.Fails(bridge.Auth, bridge.ByServer, fmt.Errorf("the server takes none of the methods %x", offer))
	}
	o.handshake.Method = method
	return nil
}

// authenticate shows user and password (RFC 1929).
func (o *originated) authenticate(ctx context.Context) error {
	o.frame.User = printable(o.User)
	who, err := AppendUserPass(nil, UserPass{o.User, o.Password})
	if err != nil {
		return bridge.Fails(bridge.Auth, bridge.ByMITM, err)
	}
	if err := o.b.Write(ctx, bridge.Server, who); err != nil {
		return err
	}
	status, err := answered(ctx, o.b, ParseStatus, pairLen)
	switch {
	case err != nil:
		return err
	case status != statusSuccess:
		o.frame.Note = fmt.Sprintf("authentication refused: status %02x", status)
		return bridge.Fails(bridge.Auth, bridge.ByServer, errors.New(o.frame.Note))
	}
	o.handshake.Authenticated = true
	return nil
}

// markOf4A is the address in a request of SOCKS4A: "0.0.0.x, with x nonzero, an inadmissible destination IP address".
var markOf4A = netip.AddrFrom4([4]byte{0, 0, 0, 1})

// socks4 is the memos' one request.
func (o *originated) socks4(ctx context.Context) error {
	o.frame.User = printable(o.User)
	dst := o.handshake.Dst
	q := detect.SOCKS4Request{Cmd: CmdConnect, DstPort: dst.Port, DstIP: dst.IP, UserID: o.User, Host: dst.Name}
	if dst.Name != "" {
		q.DstIP = markOf4A
	}
	request, err := AppendRequest4(nil, q)
	return o.ask(ctx, request, err, parseAnswer4)
}

// ask sends the request, unless there was an error in making it, and hears the reply.
func (o *originated) ask(ctx context.Context, request []byte, err error, reply bridge.Parser[answer]) error {
	if err != nil { // this version has no words for it
		return bridge.Fails(bridge.Unreachable, bridge.ByMITM, err)
	}
	if err := o.b.Write(ctx, bridge.Server, request); err != nil {
		return err
	}
	a, err := answered(ctx, o.b, reply, maxMessage, bridge.AwaitsDial())
	if err != nil {
		return err
	}
	o.handshake.Replied, o.handshake.Rep, o.handshake.Bnd = true, a.code, a.bnd
	if !a.granted {
		o.frame.Note = a.words
		refusal := &Refusal{o.Version, a.code}
		return bridge.Fails(refusal.reason(), bridge.ByServer, refusal)
	}
	return nil
}

// answered takes one message from the server.
func answered[M any](ctx context.Context, b *bridge.Bridge, p bridge.Parser[M], limit int, options ...bridge.TurnOption) (M, error) {
	m, n, err := bridge.Expect(ctx, b, bridge.Server, p, append(options, bridge.Max(limit))...)
	if err == nil {
		b.Take(bridge.Server, n)
	}
	return m, err
}
