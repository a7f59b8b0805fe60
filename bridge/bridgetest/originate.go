package bridgetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Originate plays the handshake of a dialler with the server that it asks to be brought to hop, in every way in which
// it can go. dial makes the dialler of one that connects to that server. In the script the C steps are what the server
// must get, and the S steps what it says. reason is why the dial fails; bridge.EOF is that it succeeds.
//
// The server says its messages whole, with more behind the last one, which must be what is first read of the
// connection, and byte by byte; and it ends, resets, and falls silent after each of its bytes, which must make the dial
// fail and leave nothing open. Originate returns the flow of the play in which nothing goes wrong.
func Originate(t *testing.T, dial func(next bridge.DialFunc) bridge.DialFunc, hop string, script Script, reason bridge.Reason) *bridge.Flow {
	t.Helper()
	to, err := bridge.ParseAddr(hop)
	if err != nil {
		t.Fatal(err)
	}
	o := &origination{dial: dial, hop: to, script: script, reason: reason, says: len(script.heard(bridge.Client))}
	var flow *bridge.Flow
	play := func(name string, p serverPlay) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			t.Helper()
			f, err := o.play(t, p)
			if flow == nil {
				flow = f
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	whole := serverPlay{after: o.says, says: "more behind it"}
	play("in whole messages", whole)
	play("without more behind it", serverPlay{after: o.says})
	whole.chunk = 1
	play("byte by byte", whole)
	for at := range o.says {
		for _, how := range []bridge.End{bridge.Open, bridge.Clean, bridge.Reset} {
			if t.Failed() {
				return flow // the others are likely to say the same
			}
			play(fmt.Sprintf("%s after %d of the server's bytes", how, at), serverPlay{after: at, how: how})
		}
	}
	return flow
}

// origination is a handshake of ours with a server.
type origination struct {
	dial   func(next bridge.DialFunc) bridge.DialFunc
	hop    bridge.Addr
	script Script
	reason bridge.Reason
	says   int // how many bytes the server says
}

// serverPlay is what the server does after some of its bytes.
type serverPlay struct {
	after int
	how   bridge.End // Open: nothing, for ever
	says  string     // after all of them
	chunk int        // reads and writes are of so many bytes; 0: of any
}

// play performs the handshake once.
func (o *origination) play(t *testing.T, p serverPlay) (*bridge.Flow, error) {
	theirs, ours := Pipe(64 << 10)
	conn := net.Conn(ours)
	if p.chunk > 0 {
		conn = Chunked(ours, p.chunk)
	}
	heard := make(chan error, 1)
	go func() { heard <- o.serve(theirs, p) }()

	f := (&bridge.Bridge{Client: bridge.NewStream(ours)}).Flow()
	c, err := o.dial(func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return conn, nil })(t.Context(), o.hop, f)
	if complete := p.after == o.says; !complete || o.reason != bridge.EOF {
		err = o.failed(p, err, ours)
		theirs.Close()
		if why := <-heard; complete {
			err = errors.Join(err, why)
		}
		return f, err
	}
	if err != nil {
		theirs.Close()
		return f, errors.Join(err, <-heard)
	}
	defer theirs.Close()
	defer c.Close()
	return f, errors.Join(<-heard, passes(c, theirs, p.says))
}

// failed checks the error of a dial that must fail.
func (o *origination) failed(p serverPlay, err error, ours *Conn) error {
	if err == nil {
		return errors.New("the dial succeeded")
	}
	if !errors.Is(ours.SetDeadline(time.Time{}), net.ErrClosed) {
		return fmt.Errorf("the conn is left open, of a dial that failed: %w", err)
	}
	want := o.reason
	if p.after < o.says {
		want = map[bridge.End]bridge.Reason{bridge.Open: bridge.Timeout, bridge.Clean: bridge.PeerClosed, bridge.Reset: bridge.PeerClosed}[p.how]
	}
	// Part of a refusal may be enough to know it.
	if reason, _ := bridge.ReasonOf(err); reason != want && reason != o.reason {
		return fmt.Errorf("failed by %s: %w; want %s", reason, err, want)
	}
	return nil
}

// serve is the server. Of what it did not come to, nothing is an error.
func (o *origination) serve(c *Conn, p serverPlay) error {
	left := p.after
	for _, step := range o.script {
		if step.from == bridge.Client {
			got := make([]byte, len(step.heard))
			if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, step.heard) {
				return fmt.Errorf("the server heard %q, %w; want %q", got[:n], err, step.heard)
			}
			continue
		}
		data := step.data[:min(left, len(step.data))]
		if left -= len(data); left == 0 && p.after == o.says {
			data = append(bytes.Clone(data), p.says...)
		}
		if _, err := c.Write(data); err != nil {
			return err
		}
		if left == 0 {
			break
		}
	}
	switch p.how {
	case bridge.Clean:
		return c.CloseWrite()
	case bridge.Reset:
		return c.Reset()
	}
	return nil
}

// passes checks a connection that was made: what the server has said already comes first, and then what both say.
func passes(c net.Conn, server *Conn, first string) error {
	hears := func(c net.Conn, want string) error {
		c.SetReadDeadline(time.Now().Add(time.Second))
		got := make([]byte, len(want))
		if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
			return fmt.Errorf("read %q, %w; want %q", got[:n], err, want)
		}
		return nil
	}
	if err := hears(c, first); err != nil {
		return fmt.Errorf("what came with the handshake: %w", err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%d bytes and %w that nobody has sent", n, err)
	}
	c.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(server, tunnelled[1]); err != nil {
		return err
	}
	if err := hears(c, tunnelled[1]); err != nil {
		return err
	}
	if _, err := io.WriteString(c, tunnelled[0]); err != nil {
		return err
	}
	return hears(server, tunnelled[0])
}
