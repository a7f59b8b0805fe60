package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// tiny is a scale for proxies inside of this process.
var tiny = scale{Rounds: 1, Bytes: 4 << 20, Conns: 20, Requests: 64, Handshakes: 4, Names: 4, Flows: [3]int{10, 15, 20}, Looks: 1}

// through starts an origin and, in front of it, a proxy whose way from the origin to
// the client is as given, and which the test's own process pays for.
func through(t *testing.T, fromOrigin func(io.Writer, io.Reader)) *target {
	t.Helper()
	o, err := newOrigin(newPattern(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var flows sync.WaitGroup
	flows.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			flows.Go(func() { hand(c, o.addr(), fromOrigin) })
		}
	})
	t.Cleanup(func() { l.Close(); flows.Wait() })
	return &target{proxy: l.Addr().String(), front: direct, origin: o, usage: account(ownGroup(t))}
}

// hand is one flow of the proxy. It ends when the client does.
func hand(c net.Conn, origin string, fromOrigin func(io.Writer, io.Reader)) {
	defer c.Close()
	s, err := net.Dial("tcp", origin)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { fromOrigin(c, s); c.Close() })
	io.Copy(s, c)
	s.Close()
	back.Wait()
}

// ownGroup returns the group of a process that lives as long as the test: whose CPU is
// counted does not matter where only the bytes do.
func ownGroup(t *testing.T) int {
	t.Helper()
	return shell(t, "echo ready >&2; exec sleep 600", "", 1).Pid()
}

func faithful(w io.Writer, r io.Reader) { io.Copy(w, r) }

// damaging changes one byte after the first few answers.
func damaging(w io.Writer, r io.Reader) {
	io.CopyN(w, r, 300)
	var b [1]byte
	io.ReadFull(r, b[:])
	b[0]++
	w.Write(b[:])
	io.Copy(w, r)
}

// stingy ends the client's connection in the middle of an answer.
func stingy(w io.Writer, r io.Reader) { io.CopyN(w, r, 300) }

func TestEveryLoadNoticesWhatDoesNotComeThrough(t *testing.T) {
	loads := map[string]load{
		"relay": relay(2), "segments": segments(2), "latency": latency, "requests": requests(2), "idle": idle(0),
	}
	proxies := map[string]struct {
		way  func(io.Writer, io.Reader)
		want string // of the error; "": none
	}{
		"one that hands everything on": {faithful, ""},
		"one that changes a byte":      {damaging, "a wrong byte between"},
		"one that ends too early":      {stingy, "read answer: after"},
	}
	for proxy, p := range proxies {
		for name, load := range loads {
			if name == "idle" && proxy != "one that hands everything on" {
				continue // two small answers end before the damage
			}
			t.Run(name+" through "+proxy, func(t *testing.T) {
				_, err := load(t.Context(), through(t, p.way), tiny)
				if (err == nil) != (p.want == "") || err != nil && !strings.Contains(err.Error(), p.want) {
					t.Errorf("error %v, want %q", err, p.want)
				}
			})
		}
	}
}

func TestEachConnectionIsChecked(t *testing.T) {
	early := func(w io.Writer, r io.Reader) { io.CopyN(w, r, 100) }
	for name, load := range map[string]load{"connections": connections, "idle": idle(0)} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t.Context(), through(t, faithful), tiny); err != nil {
				t.Error(err)
			}
			if _, err := load(t.Context(), through(t, early), tiny); err == nil {
				t.Error("no error from a proxy that hands on 100 bytes of each connection")
			}
		})
	}
}

func TestABridgeThatBridgesNothingIsNoticed(t *testing.T) {
	certs, err := newCertificates()
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOrigin(newPattern(), certs.originConfig(tls.X25519))
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	direct := &target{proxy: o.addr(), front: direct, origin: o, shake: certs.shakeAsGo(tls.X25519, false), usage: account(ownGroup(t))}
	if _, err := handshakes(t.Context(), direct, tiny); err == nil || !strings.Contains(err.Error(), "the origin's own certificate") {
		t.Errorf("handshakes without a proxy: %v", err)
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	var heard sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	silent := func(_ io.Writer, r io.Reader) { heard.Do(cancel); io.Copy(io.Discard, r) }
	if _, err := latency(ctx, through(t, silent), tiny); err == nil {
		t.Error("no error from a load whose answers never come")
	}
}

func TestTheOriginSaysThatARequestWasDamaged(t *testing.T) {
	for name, sent := range map[string]string{
		"another word": strings.Repeat("x", requestSize),
		"half of one":  string(appendRequest(nil, 5)[:30]),
	} {
		t.Run(name, func(t *testing.T) {
			o, err := newOrigin(newPattern(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer o.close()
			c, err := net.Dial("tcp", o.addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, sent)
			c.(*net.TCPConn).CloseWrite()
			if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
				t.Errorf("the answer is %d bytes, %v", n, err)
			}
			err = poll(t.Context(), time.Millisecond, time.Minute, func() (bool, error) {
				open, err := o.state()
				return open == 0, err
			})
			if err == nil {
				t.Error("the origin has nothing to say")
			}
		})
	}
}

func TestThePatternIsReadInAnyPieces(t *testing.T) {
	p := newPattern()
	const n = 3<<20 + 5
	var sent strings.Builder
	if err := p.writeTo(&sent, n); err != nil || sent.Len() != n {
		t.Fatalf("writeTo() wrote %d bytes, %v", sent.Len(), err)
	}
	for name, r := range map[string]io.Reader{
		"whole":                              strings.NewReader(sent.String()),
		"half":                               iotest.HalfReader(strings.NewReader(sent.String())),
		"with the end beside the last bytes": iotest.DataErrReader(strings.NewReader(sent.String())),
	} {
		if err := p.read(r, make([]byte, 70001), n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.read(strings.NewReader(sent.String()[1:]), make([]byte, 100), 10); err == nil {
		t.Error("no error from an answer that lacks its first byte")
	}
}
