package bridge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// via is a server that brings us to others.
var via = bridge.Addr{Host: "192.0.2.9", Port: 9}

// ask says where we want to go, and hears a line.
func ask(ctx context.Context, b *bridge.Bridge, hop bridge.Addr) (bridge.Frame, error) {
	frame := bridge.Frame{Proto: "asked", Verb: bridge.VerbOriginate, Dst: hop}
	if err := b.Write(ctx, bridge.Server, []byte(hop.String()+"\n")); err != nil {
		return frame, err
	}
	answer, n, err := bridge.Expect(ctx, b, bridge.Server, line, bridge.Max(64))
	if err != nil {
		return frame, err
	}
	b.Take(bridge.Server, n)
	if frame.Note = answer; answer != "yes" {
		return frame, bridge.Fails(bridge.Denied, bridge.ByServer, errors.New("it says "+answer))
	}
	return frame, nil
}

// serve answers what is asked first on each conn with the same text.
func (p *pair) serve(text string) bridge.DialFunc {
	return func(ctx context.Context, to bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		c, err := p.dial(ctx, to, f)
		if err == nil {
			io.WriteString(p.server(), text)
		}
		return c, err
	}
}

func TestOriginateSpeaksBeforeAnybodyElse(t *testing.T) {
	p := newPair(1 << 10)
	var told []string
	p.Observer = &bridge.Observer{Frame: func(_ *bridge.Flow, frame bridge.Frame) { told = append(told, frame.Proto) }}
	p.DialFunc = bridge.Originate(p.serve("yes\nwelcome"), via, bridge.Limits{}, ask)
	p.Push(bridge.Frame{Proto: "outer", Dst: bridge.Addr{Host: "example.com", Port: 443}})
	if err := p.Dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	hear(t, p.server(), hop.String()+"\n")
	hear(t, p.Server, "welcome")
	say(t, p.Server, "thanks")
	hear(t, p.server(), "thanks")
	if err := p.Server.EndWrite(bridge.Clean); err != nil {
		t.Error(err)
	}
	hearEnd(t, p.server(), io.EOF)
	if !slices.Equal(p.dialled, []bridge.Addr{via}) {
		t.Errorf("dialled %v, want %v", p.dialled, via)
	}

	f := p.Flow()
	if got := f.Originated(); len(got) != 1 || got[0].Dst != hop || got[0].Note != "yes" {
		t.Errorf("originated %+v", got)
	}
	if !slices.Equal(told, []string{"outer", "asked"}) {
		t.Errorf("the observer was told of %q", told)
	}
	if f.Path() != "outer" || f.Target().Host != "example.com" {
		t.Errorf("path %s to %s, want only what the client has spoken", f.Path(), f.Target())
	}
	if text, err := f.MarshalJSON(); err != nil || !strings.Contains(string(text), `"originated":[{"proto":"asked","verb":"originate"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestOriginateReturnsTheConnItselfWhereNothingIsLeft(t *testing.T) {
	p := newPair(1 << 10)
	var dialled net.Conn
	next := p.serve("yes\n")
	dial := bridge.Originate(func(ctx context.Context, to bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		var err error
		dialled, err = next(ctx, to, f)
		return dialled, err
	}, bridge.Addr{}, bridge.Limits{}, ask)
	c, err := dial(t.Context(), hop, p.Flow())
	if err != nil || c != dialled {
		t.Errorf("dialled %v, got %v, %v", dialled, c, err)
	}
	if !slices.Equal(p.dialled, []bridge.Addr{hop}) {
		t.Errorf("dialled %v, want the hop where there is no other address", p.dialled)
	}
}

func TestARedialOriginatesAnew(t *testing.T) {
	p := newPair(1 << 10)
	p.DialFunc = bridge.Originate(bridge.Originate(p.serve("yes\nyes\n"), via, bridge.Limits{}, ask), hop, bridge.Limits{}, ask)
	p.SetHop(bridge.Addr{Host: "example.com", Port: 443})
	if err := p.Dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Redial(t.Context()); err != nil {
		t.Fatal(err)
	}
	hear(t, p.server(), hop.String()+"\nexample.com:443\n")
	if got := p.Flow().Originated(); len(got) != 2 || got[0].Dst != hop || got[1].Dst.Host != "example.com" {
		t.Errorf("originated %+v, want the outer one and then the inner", got)
	}
	if !slices.Equal(p.dialled, []bridge.Addr{via, via}) {
		t.Errorf("dialled %v", p.dialled)
	}
}

func TestWhyNothingWasOriginated(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		name   string
		fails  error
		says   string
		then   func(net.Conn) error
		reason bridge.Reason
		by     bridge.Party
		text   string
	}{
		{"refused", refused, "", nil, bridge.Refused, bridge.ByServer, "dial 192.0.2.9:9: connection refused"},
		{
			"one of our own rules",
			bridge.Fails(bridge.Loop, bridge.ByMITM, errors.New("that is us")), "", nil,
			bridge.Loop, bridge.ByMITM, "dial 192.0.2.9:9: that is us",
		},
		{"a refusal", nil, "no\n", nil, bridge.Denied, bridge.ByServer, "through 192.0.2.9:9: it says no"},
		{"malformed", nil, "y!", nil, bridge.Desynced, bridge.ByServer, "through 192.0.2.9:9: server: malformed: shouting"},
		{"too long", nil, strings.Repeat("y", 65), nil, bridge.Limit, bridge.ByServer, "through 192.0.2.9:9: server: too long: over 64 bytes"},
		{"silence", nil, "y", nil, bridge.Timeout, bridge.ByServer, "through 192.0.2.9:9: server: timed out"},
		{"an early end", nil, "y", func(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() }, bridge.PeerClosed, bridge.ByServer, "through 192.0.2.9:9: server: ended: EOF"},
		{"a reset", nil, "y", func(c net.Conn) error { return c.(interface{ Reset() error }).Reset() }, bridge.PeerClosed, bridge.ByServer, "through 192.0.2.9:9: read tcp 192.0.2.1:50000->198.51.100.1:443: connection: connection reset by peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(1 << 10)
				p.fails = tt.fails
				next := func(ctx context.Context, to bridge.Addr, f *bridge.Flow) (net.Conn, error) {
					c, err := p.serve(tt.says)(ctx, to, f)
					if err == nil && tt.then != nil {
						time.AfterFunc(time.Second, func() { tt.then(p.server()) })
					}
					return c, err
				}
				p.DialFunc = bridge.Originate(next, via, bridge.Limits{}, ask)
				err := p.Dial(t.Context())
				wantReason(t, err, tt.reason, tt.by)
				if want := "dial 192.0.2.80:1080: " + tt.text; err == nil || err.Error() != want {
					t.Errorf("error %q, want %q", err, want)
				}
				if desync := (*bridge.Desync)(nil); errors.As(err, &desync) {
					t.Errorf("the error holds %v, by which a chain would go on raw", desync)
				}
				if p.Server != nil || len(p.Flow().Originated()) != len(p.servers) {
					t.Errorf("server side %v, originated %+v", p.Server, p.Flow().Originated())
				}
				if len(p.servers) > 0 && tt.name != "a reset" {
					hear(t, p.server(), hop.String()+"\n")
					p.server().SetReadDeadline(time.Now().Add(time.Second))
					if n, err := p.server().Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the conn was left open: %d, %v", n, err)
					}
				}
			})
		})
	}
}

func TestOriginateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			within func(context.Context) (context.Context, context.CancelFunc)
			is     error
			reason bridge.Reason
		}{
			{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			}, context.Canceled, bridge.Internal},
			{"too late", func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			}, nil, bridge.Timeout},
		} {
			p := newPair(1 << 10)
			dial := bridge.Originate(p.dial, via, bridge.Limits{}, ask)
			ctx, cancel := tt.within(t.Context())
			began := time.Now()
			_, err := dial(ctx, hop, p.Flow())
			cancel()
			if reason, _ := bridge.ReasonOf(err); reason != tt.reason || tt.is != nil && !errors.Is(err, tt.is) || time.Since(began) != time.Second {
				t.Errorf("%s: %v (%s) after %s", tt.name, err, reason, time.Since(began))
			}
		}
	})
}
