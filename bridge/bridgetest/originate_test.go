package bridgetest_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// gate asks a server to be let through.
func gate(ctx context.Context, b *bridge.Bridge, hop bridge.Addr) (bridge.Frame, error) {
	frame := bridge.Frame{Proto: "gate", Verb: bridge.VerbOriginate, Dst: hop}
	if err := b.Write(ctx, bridge.Server, []byte("to "+hop.String()+"\n")); err != nil {
		return frame, err
	}
	answer, n, err := bridge.Expect(ctx, b, bridge.Server, oneLine)
	if err != nil {
		return frame, err
	}
	b.Take(bridge.Server, n)
	if answer != "pass" {
		return frame, bridge.Fails(bridge.Denied, bridge.ByServer, errors.New(answer))
	}
	return frame, nil
}

func oneLine(buf []byte) (string, int, error) {
	end := bytes.IndexByte(buf, '\n')
	if end < 0 {
		return "", 0, bridge.ErrShort
	}
	return string(buf[:end]), end + 1, nil
}

// through is the dialler of gate.
func through(next bridge.DialFunc) bridge.DialFunc {
	return bridge.Originate(next, bridge.Addr{Host: "192.0.2.1", Port: 1}, bridge.Limits{}, gate)
}

func TestOriginate(t *testing.T) {
	asked := bridgetest.C("to example.com:80\n")
	flow := bridgetest.Originate(t, through, "example.com:80", bridgetest.Script{asked, bridgetest.S("pass\n")}, bridge.EOF)
	if got := flow.Originated(); len(got) != 1 || got[0].Proto != "gate" {
		t.Errorf("originated %+v", got)
	}
	bridgetest.Originate(t, through, "example.com:80", bridgetest.Script{asked, bridgetest.S("halt\n")}, bridge.Denied)
}

// Each of these diallers has one fault.
func TestOriginateFindsFaults(t *testing.T) {
	wraps := func(change func(net.Conn) net.Conn) func(bridge.DialFunc) bridge.DialFunc {
		return func(next bridge.DialFunc) bridge.DialFunc {
			return through(func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
				c, err := next(ctx, hop, f)
				return change(c), err
			})
		}
	}
	for _, tt := range []struct {
		name   string
		dial   func(bridge.DialFunc) bridge.DialFunc
		answer string
		reason bridge.Reason
	}{
		{"it loses what comes behind the handshake", func(next bridge.DialFunc) bridge.DialFunc {
			return func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
				var below net.Conn
				_, err := through(func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
					c, err := next(ctx, hop, f)
					below = c
					return c, err
				})(ctx, hop, f)
				return below, err
			}
		}, "pass\n", bridge.EOF},
		{"it says something else", func(next bridge.DialFunc) bridge.DialFunc {
			return func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
				return through(next)(ctx, bridge.Addr{Host: "example.net", Port: 80}, f)
			}
		}, "pass\n", bridge.EOF},
		{"it leaves the connection open", wraps(func(c net.Conn) net.Conn { return leaky{c} }), "halt\n", bridge.Denied},
		{"it gives another reason", through, "halt\n", bridge.Auth},
		{"it succeeds", through, "pass\n", bridge.Denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if run(t.Name(), func(t *testing.T) {
				bridgetest.Originate(t, tt.dial, "example.com:80", bridgetest.Script{
					bridgetest.C("to example.com:80\n"), bridgetest.S(tt.answer),
				}, tt.reason)
			}) {
				t.Error("nothing was found")
			}
		})
	}
}

type leaky struct{ net.Conn }

func (leaky) Close() error { return nil }
