package socks

import (
	"context"
	"errors"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// reversed goes on behind a BIND. The roles of the two peers are open: the one who has connected, who is at the
// server's side, may be the client of the protocol that they speak.
//
// To bridge TLS the client must be at the client's side, as it is in a data connection of FTP, whoever has connected.
// A ClientHello of the other side goes on as it is, with a frame that says so. Everything else is the next layer's.
func (r *relayed) reversed(ctx context.Context, next bridge.Handler) error {
	hello, err := r.serversHello(ctx)
	switch {
	case err != nil:
		return err
	case hello.Kind != detect.Match:
		return next(ctx, r.b)
	}
	r.b.Push(bridge.Frame{
		Proto: hello.Info.Protocol,
		Verb:  bridge.VerbPass,
		SNI:   hello.Info.Host,
		Note:  "the TLS client is at the server's side",
	})
	return r.unseen(ctx)
}

// serversHello waits until somebody speaks or ends, and says whether it is the server, with a ClientHello. Silence may
// last as long as in a relay, a hello that does not come to its end as long as a detection.
func (r *relayed) serversHello(ctx context.Context) (detect.Verdict, error) {
	limits, tls := r.b.Limits(), detect.TLS()
	deadline := time.Now().Add(limits.Idle)
	begun := false
	for {
		client, server := r.b.Client, r.b.Server
		if len(client.Buffered()) > 0 || client.End() != bridge.Open {
			return detect.Verdict{}, nil
		}
		v := tls.Detect(detect.Input{Client: server.Buffered(), ClientEnded: server.End() != bridge.Open})
		if v.Kind != detect.NeedMore || server.End() != bridge.Open {
			return v, nil
		}
		if !begun && len(server.Buffered()) > 0 {
			begun, deadline = true, time.Now().Add(limits.Detect)
		}
		switch err := r.waitUntil(ctx, deadline); {
		case errors.Is(err, errSilence) && begun:
			return detect.Verdict{}, nil
		case err != nil:
			return detect.Verdict{}, err
		}
	}
}

// errSilence is a BIND behind which nobody speaks.
var errSilence = errors.New("nothing was said")

func (r *relayed) waitUntil(ctx context.Context, deadline time.Time) error {
	wctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := r.b.Wait(wctx)
	if err != nil && wctx.Err() != nil && ctx.Err() == nil {
		return bridge.Fails(bridge.Idle, bridge.ByMITM, errSilence)
	}
	return err
}
