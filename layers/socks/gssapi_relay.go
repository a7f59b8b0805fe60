package socks

import (
	"context"
	"errors"

	"github.com/bridgeio/bridgeio/bridge"
)

// gssapi relays RFC 1961: the tokens of a security context, and the protection level that the client asks for and the
// server grants. What follows is encapsulated, and goes on raw, unless the peers have agreed on no protection at all:
// the RFC has no such level, but level 00 is in use, and then the request comes as it is.
func (r *relayed) gssapi(ctx context.Context) error {
	// Each context is made of fresh nonces: what the client said in this one is of no use in another.
	r.b.NoRedial(errors.New("the client authenticates by GSSAPI"))
	if err := r.establish(ctx); err != nil {
		return err
	}
	if err := r.protect(ctx); err != nil {
		return err
	}
	r.handshake.Authenticated = true
	encapsulates, _, err := bridge.Expect(ctx, r.b, bridge.Client, parseEncapsulates)
	switch {
	case err != nil:
		return err
	case encapsulates:
		return r.encapsulated()
	}
	return nil
}

// establish relays the tokens up to and with the client's protection level.
//
// Who has the next word is known to the mechanism only: a client whose context is complete goes on, whether or not the
// server still has to confirm its last token (RFC 1961 §3.3). So messages pass as they come.
func (r *relayed) establish(ctx context.Context) error {
	for range maxGSSAPIFrames {
		side, err := r.nextGSSAPI(ctx)
		if err != nil {
			return err
		}
		switch {
		case side == bridge.Client && r.isData():
			return r.encapsulated()
		case side == bridge.Server && r.handshake.Tokens == 0:
			return r.uninspected("GSSAPI out of turn")
		}
		m, err := r.pass(ctx, side)
		switch {
		case err != nil:
			return err
		case m.Mtyp == GSSAPIAbort:
			return r.refused("GSSAPI refused by the " + side.String())
		case m.Mtyp == GSSAPIProtection && side == bridge.Client:
			return nil
		case m.Mtyp != GSSAPIAuth:
			return r.uninspected("GSSAPI out of turn")
		case side == bridge.Client && r.handshake.Tokens == 1:
			r.handshake.Mech = mechOf(m.Token)
		}
	}
	return r.uninspected("GSSAPI of more than %d tokens", maxGSSAPIFrames)
}

// protect relays the server's answer to the client's protection level, and the confirmations that may come before it.
func (r *relayed) protect(ctx context.Context) error {
	for range maxGSSAPIFrames {
		switch m, err := r.pass(ctx, bridge.Server); {
		case err != nil:
			return err
		case m.Mtyp == GSSAPIAbort:
			return r.refused("GSSAPI refused by the server")
		case m.Mtyp == GSSAPIProtection:
			return nil
		case m.Mtyp != GSSAPIAuth:
			return r.uninspected("GSSAPI out of turn")
		}
	}
	return r.uninspected("GSSAPI of more than %d tokens", maxGSSAPIFrames)
}

// pass relays one message of one side, and counts the tokens.
func (r *relayed) pass(ctx context.Context, side bridge.Side) (GSSAPIMessage, error) {
	m, err := bridge.Turn(ctx, r.b, side, ParseGSSAPI, bridge.Max(maxGSSAPI))
	if err == nil && m.Mtyp == GSSAPIAuth {
		r.handshake.Tokens++
	}
	return m, err
}

// isShort says whether there is no whole message yet, and may be one.
func isShort(buf []byte) bool {
	_, _, err := ParseGSSAPI(buf)
	return errors.Is(err, bridge.ErrShort)
}

// nextGSSAPI waits until a side has a whole message, or something that can't become one, or ended, and says which. Its
// turn then does not wait, but for the answer to a client that has ended.
func (r *relayed) nextGSSAPI(ctx context.Context) (bridge.Side, error) {
	limit := r.b.Limits().Turn
	tctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		client, server := r.b.Client, r.b.Server
		switch {
		case !isShort(client.Buffered()):
			return bridge.Client, nil
		case !isShort(server.Buffered()), server.End() != bridge.Open:
			return bridge.Server, nil
		case client.End() != bridge.Open && len(client.Buffered()) == 0 && r.handshake.Tokens > 0:
			return bridge.Server, nil // which may still answer
		case client.End() != bridge.Open:
			return bridge.Client, nil
		}
		if err := r.b.Wait(tctx); err != nil {
			if ctx.Err() == nil && tctx.Err() != nil {
				err = &bridge.Desync{Side: bridge.Client, Why: bridge.TimedOut}
			}
			return bridge.Client, err
		}
	}
}

// isData says whether the client's next message is encapsulated, which one is whose context gave it no choice to make.
func (r *relayed) isData() bool {
	buf := r.b.Client.Buffered()
	return len(buf) >= gssapiAbortLen && buf[0] == versionGSSAPI && buf[1] == GSSAPIData
}

// encapsulated ends the handshake where the request begins that only the two peers can read (RFC 1961 §5).
func (r *relayed) encapsulated() error {
	r.handshake.Encapsulated = true
	return r.uninspected("GSSAPI encapsulates what follows")
}

// parseEncapsulates looks at the first byte of what follows the authentication, and takes nothing.
func parseEncapsulates(buf []byte) (encapsulates bool, n int, err error) {
	switch {
	case len(buf) == 0:
		return false, 0, bridge.ErrShort
	case buf[0] != version5 && buf[0] != versionGSSAPI:
		return false, 0, malformed("socks5", "VER", 0)
	}
	return buf[0] == versionGSSAPI, 0, nil
}
