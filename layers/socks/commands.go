package socks

import (
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
)

// answer is what a reply of either version says.
type answer struct {
	code    byte
	granted bool
	words   string
	bnd     Addr
}

func parseAnswer5(buf []byte) (answer, int, error) {
	if n := refusalWithoutAddress(buf); n > 0 {
		return answer{code: buf[1], words: Rep(buf[1]).String()}, n, nil
	}
	p, n, err := ParseReply(buf)
	if err != nil {
		return answer{}, 0, err
	}
	return answer{byte(p.Rep), p.Rep == RepSucceeded, p.Rep.String(), p.Bnd}, n, nil
}

// refusalWithoutAddress returns the length of a refusal with ATYP 00, which is none of the RFC's: Tor, among others,
// fills a refusal with zeros, as many as an IPv4 address would take. As some send fewer, it is what there is of them:
// nothing that follows a refusal is waited for.
func refusalWithoutAddress(buf []byte) int {
	const head, filled = 4, 10
	if len(buf) < head || buf[0] != version5 || Rep(buf[1]) == RepSucceeded || buf[head-1] != 0 {
		return 0
	}
	return min(len(buf), filled)
}

func parseAnswer4(buf []byte) (answer, int, error) {
	p, n, err := ParseReply4(buf)
	if err != nil {
		return answer{}, 0, err
	}
	return answer{byte(p.Rep), p.Rep == Rep4Granted, p.Rep.String(), Addr{IP: p.DstIP, Port: p.DstPort}}, n, nil
}

// hasReply says whether a command is one whose first reply is known to be a Reply.
func hasReply(cmd byte) bool {
	switch cmd {
	case CmdConnect, CmdBind, CmdUDPAssociate, CmdResolve, CmdResolvePTR:
		return true
	}
	return false
}

// asked records a request. A destination is what CONNECT asks for: that of BIND is a peer to come, that of UDP
// ASSOCIATE the client's own, that of RESOLVE a question.
func (r *relayed) asked(cmd byte, dst Addr) {
	r.handshake.Cmd, r.handshake.Dst = cmd, dst
	if cmd == CmdConnect {
		r.frame.Dst = dst.Addr()
		return
	}
	r.b.NoRedial(fmt.Errorf("what command %02x has begun is bound to its connection", cmd))
}

// reply relays the reply to a request, and for BIND the second one.
func (r *relayed) reply(ctx context.Context, p bridge.Parser[answer]) error {
	a, err := r.hear(ctx, p, bridge.AwaitsDial())
	if err != nil {
		return err
	}
	if err := r.answered(a); err != nil || r.handshake.Cmd != CmdBind {
		return err
	}
	return r.awaitPeer(ctx, p)
}

// answered records the reply to a request.
func (r *relayed) answered(a answer) error {
	r.handshake.Bnd = a.bnd
	if !a.granted {
		return r.refused(a.words)
	}
	switch bnd := a.bnd.Addr(); r.handshake.Cmd {
	case CmdBind:
		r.frame.Note = "BIND at " + bnd.String()
	case CmdUDPAssociate:
		r.frame.Note = "UDP ASSOCIATE at " + bnd.String() + ": the datagrams go past us"
	case CmdResolve:
		r.frame.Note = "RESOLVE to " + bnd.Host
	case CmdResolvePTR:
		r.frame.Note = "RESOLVE_PTR to " + bnd.Host
	}
	return nil
}

// hear relays a reply and records its code.
func (r *relayed) hear(ctx context.Context, p bridge.Parser[answer], within bridge.TurnOption) (answer, error) {
	a, err := bridge.Turn(ctx, r.b, bridge.Server, p,
		bridge.Max(maxMessage), within, bridge.Class(func(a answer) any { return a.code }))
	if err == nil {
		r.handshake.Replied, r.handshake.Rep = true, a.code
	}
	return a, err
}

// errNobody is a BIND that nobody has connected to.
var errNobody = errors.New("nobody has connected")

// awaitPeer relays the second reply to a BIND. RFC 1928 §6: it "occurs only after the anticipated incoming connection
// succeeds or fails". That is up to somebody else, so it may take as long as silence may last.
//
// Who has connected is then the destination: it is with him that the client speaks.
func (r *relayed) awaitPeer(ctx context.Context, p bridge.Parser[answer]) error {
	a, err := r.hear(ctx, p, bridge.Within(r.b.Limits().Idle))
	desync := (*bridge.Desync)(nil)
	switch {
	case errors.As(err, &desync) && desync.Why == bridge.TimedOut:
		return bridge.Fails(bridge.Idle, bridge.ByMITM, errNobody)
	case err != nil:
		return err
	case !a.granted:
		return r.refused(r.frame.Note + ": " + a.words)
	}
	r.handshake.Peer = a.bnd
	r.frame.Dst = a.bnd.Addr()
	r.frame.Note += ", reached from " + r.frame.Dst.String()
	return nil
}

// granted goes on behind a request that was granted.
func (r *relayed) granted(ctx context.Context, next bridge.Handler) error {
	switch r.handshake.Cmd {
	case CmdBind:
		return r.reversed(ctx, next)
	case CmdUDPAssociate:
		return r.unseen(ctx)
	case CmdResolve, CmdResolvePTR:
		// The answer was all. As after a refusal, the peers may still say something that nobody expects.
		return bridge.RelayRefused(ctx, r.b)
	}
	return next(ctx, r.b)
}

// errUnseen is a flow that can't be inspected where everything must be.
var errUnseen = errors.New("what can't be inspected is not let through")

// unseen hands on a flow that goes on in order, and has nothing for the next layer.
func (r *relayed) unseen(ctx context.Context) error {
	if r.b.Limits().Fail == bridge.FailClosed {
		return bridge.Fails(bridge.Block, bridge.ByMITM, errUnseen)
	}
	return bridge.Last(ctx, r.b)
}
