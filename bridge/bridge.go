package bridge

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// DialFunc connects the server side of a flow to its hop. It is called again by
// Redial, with a flow whose Server is the address that was reached, and must then
// reach the very same one.
type DialFunc func(ctx context.Context, hop Addr, f *Flow) (net.Conn, error)

// Bridge is a client's stream and a server's stream, and what can be done with the
// pair. Server is nil until it is dialled. A Bridge made by hand needs its Client
// only; a Proxy makes one for each conn that it accepts.
type Bridge struct {
	Client, Server *Stream

	// DialFunc connects the server side; nil means a net.Dialer.
	DialFunc DialFunc

	// Observer is told what happens; nil means nobody.
	Observer *Observer

	limits   *Limits
	flow     *Flow
	hop      Addr
	bottom   bottom
	uncut    func() bool // keeps the end of the context from cutting the flow
	last     Handler     // of the outermost chain
	tail     bool        // Relay leaves the relay to the Proxy
	relay    *relay      // the one that it left
	redo     redo
	passed   [2]bool // the end of this side's direction was passed on
	watched  [2]bool // While reads this side: nobody else may
	firstEnd Party   // who ended a direction first
	asked    bool    // the observer was asked for a tap
	tap      func(Side, []byte)
	kept     kept
	base     int    // number of frames when the running layer began
	layer    string // the name of the running layer
}

// SetLimits replaces the limits of the bridge; without, they are the defaults.
func (b *Bridge) SetLimits(l Limits) {
	l = l.WithDefaults()
	b.limits = &l
}

// Limits returns the bridge's limits, with defaults filled in.
func (b *Bridge) Limits() Limits {
	if b.limits == nil {
		b.SetLimits(Limits{})
	}
	return *b.limits
}

// Flow returns the record of the conversation.
func (b *Bridge) Flow() *Flow {
	if b.flow == nil {
		b.flow = newFlow(b.Client, time.Now())
	}
	return b.flow
}

// Push adds a frame to the flow and shows it to the observer.
func (b *Bridge) Push(frame Frame) {
	b.Flow().Push(frame)
	b.Observer.frame(b.flow, frame)
}

// Hop returns where the server side is, or will be, connected; zero when nobody has
// said so yet.
func (b *Bridge) Hop() Addr { return b.hop }

// SetHop says where the server side is to be connected. It has no effect on a server
// side that is connected already.
func (b *Bridge) SetHop(hop Addr) {
	b.hop = hop
	b.Flow().setHop(hop)
}

func (b *Bridge) side(s Side) *Stream {
	if s == Client {
		return b.Client
	}
	return b.Server
}

// errNoHop is a server side that is needed and that nobody has named.
var errNoHop = errors.New("no destination is known")

// Dial connects the server side to the hop, within Limits.Dial. It does nothing when
// the server side is connected.
func (b *Bridge) Dial(ctx context.Context) error {
	if b.Server != nil {
		return nil
	}
	if b.hop.IsZero() {
		return Fails(Unreachable, ByMITM, errNoHop)
	}
	ctx, cancel := context.WithTimeout(ctx, b.Limits().Dial)
	defer cancel()
	dial := b.DialFunc
	if dial == nil {
		dial = dialTCP
	}
	f := b.Flow()
	f.dials()
	c, err := dial(ctx, b.hop, f)
	for _, frame := range f.Originated() {
		b.Observer.frame(f, frame)
	}
	if err != nil {
		return &DialError{b.hop, err}
	}
	if !b.bottom.dialled(c) {
		return Fails(Shutdown, ByMITM, errShutdown)
	}
	b.Server = NewStream(c)
	b.flow.setServer(AddrOf(c.RemoteAddr()))
	return nil
}

// dialTCP is the DialFunc of a bridge that has none. On a redial the hop's name is
// not resolved again.
func dialTCP(ctx context.Context, hop Addr, f *Flow) (net.Conn, error) {
	if server := f.Server(); !server.IsZero() {
		hop = server
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", hop.String())
}

// closeServer closes the server side and forgets it.
func (b *Bridge) closeServer() {
	b.bottom.close(Server)
	b.Server = nil
	b.passed[Client] = false
}

// bottom is what was accepted and dialled for a flow, below all layers. It is the one
// part of a Bridge that others than the flow's goroutine may touch, to cut the flow.
type bottom struct {
	mu    sync.Mutex
	conns [2]net.Conn // by Side; nil when there is none, or none any more
	cut   bool
}

func (b *bottom) accepted(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[Client] = c
}

// dialled adds the conn of the server side. It closes it and returns false when the
// flow has been cut.
func (b *bottom) dialled(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut {
		c.Close()
		return false
	}
	b.conns[Server] = c
	return true
}

// conn returns one side's conn, which is nil when it was cut.
func (b *bottom) conn(s Side) net.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns[s]
}

// close closes one side's conn, once.
func (b *bottom) close(s Side) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeLocked(s)
}

func (b *bottom) closeLocked(s Side) {
	if c := b.conns[s]; c != nil {
		b.conns[s] = nil
		c.Close()
	}
}

// cutAll closes both conns, whatever is being done with them: a layer that waits for
// one of them, and for no context, fails.
func (b *bottom) cutAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = true
	b.closeLocked(Client)
	b.closeLocked(Server)
}

// Replace puts c, which a layer has made on top of that side's stream, in the
// stream's place. For the server side redo makes the same again on top of a fresh
// conn, for Redial; nil means that this can't be done.
func (b *Bridge) Replace(s Side, c net.Conn, redo func(context.Context, net.Conn) (net.Conn, error)) {
	if s == Client {
		b.Client = NewStream(c)
		b.passed[Client] = false
		return
	}
	b.Server = NewStream(c)
	b.passed[Server] = false
	b.redo.wrapped(redo)
}

// Pass passes n buffered bytes of one side to the other, and dials the server first
// when that is needed. Outside of Turn, what is passed can't be said again by Redial.
func (b *Bridge) Pass(ctx context.Context, from Side, n int) error {
	if n > 0 && from == Client {
		b.redo.spoil(errors.New("bytes were passed on outside of a turn"))
	}
	return b.pass(ctx, from, n)
}

func (b *Bridge) pass(ctx context.Context, from Side, n int) error {
	if err := b.Dial(ctx); err != nil {
		return err
	}
	s := b.side(from)
	if err := b.say(By(from), from.Other(), s.Buffered()[:n]); err != nil {
		return err
	}
	s.Discard(n)
	return nil
}

// Write sends bytes of our own to one side, as the other side's.
func (b *Bridge) Write(ctx context.Context, to Side, p []byte) error {
	if to == Server {
		if err := b.Dial(ctx); err != nil {
			return err
		}
		b.redo.spoil(errors.New("a layer wrote to the server"))
	}
	return b.say(ByMITM, to, p)
}

// Take removes n buffered bytes of one side: a message that was for us.
func (b *Bridge) Take(from Side, n int) {
	s := b.side(from)
	b.Observer.message(b.Flow(), Message{b.layer, By(from), ByMITM, s.Buffered()[:n]})
	s.Discard(n)
}

// say sends p to a side and shows it: before, since the answer could otherwise be shown
// first.
func (b *Bridge) say(from Party, to Side, p []byte) error {
	if b.asked {
		b.show(to.Other(), p)
	} else {
		b.keep(to.Other(), p)
		b.Observer.message(b.Flow(), Message{b.layer, from, By(to), p})
	}
	return b.send(to, p)
}

// send writes to one side, within Limits.Turn. A write that times out ends the flow.
func (b *Bridge) send(to Side, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	s := b.side(to)
	if limit := b.Limits().Turn; limit != forever {
		s.SetWriteDeadline(time.Now().Add(limit))
		defer s.SetWriteDeadline(time.Time{})
	}
	if _, err := s.Write(p); err != nil {
		return writeFailure(to, err)
	}
	return nil
}

func writeFailure(to Side, err error) error {
	var errno syscall.Errno
	switch {
	case isInterrupt(err):
		return Fails(Timeout, By(to), err)
	case errors.As(err, &errno):
		return Fails(Resets, By(to), err) // ETIMEDOUT and EHOSTUNREACH end a conn, too
	}
	return Fails(Internal, By(to), err)
}

// passEnd ends the other side's direction as this side has ended its own, once. When
// that fails, the other side is gone, which reading from it tells.
func (b *Bridge) passEnd(from Side) {
	if b.passed[from] {
		return
	}
	b.passed[from] = true
	b.noteEnd(from)
	b.side(from.Other()).EndWrite(b.side(from).End())
}

// noteEnd remembers who ended a direction first.
func (b *Bridge) noteEnd(s Side) {
	if b.firstEnd == "" {
		b.firstEnd = By(s)
	}
}

// Tap says that application data begins: from now on what moves is shown to the
// observer, which is asked once. Relay calls it; a layer that looks into application
// data calls it earlier.
func (b *Bridge) Tap() {
	if b.asked {
		return
	}
	b.asked = true
	b.Flow().kept.Store(int64(b.kept.client))
	if b.tap = b.Observer.tap(b.Flow()); b.tap != nil {
		for _, said := range b.kept.all {
			b.tap(said.from, said.data)
		}
	}
	b.kept = kept{}
}

// Keep says that what is passed on from here is the beginning of the conversation, of which
// it is not known yet what it will be. The observer is asked later, by Tap, and is then
// shown this first. A layer calls it whose protocol begins in the clear and may change to
// TLS. Of more than 64 KiB nothing is kept.
func (b *Bridge) Keep() { b.kept.on = !b.asked }

// kept is what the observer is to be shown once it was asked.
type kept struct {
	on     bool
	all    []said
	size   int
	client int // of size, what the client has said
}

type said struct {
	from Side
	data []byte
}

const maxKept = 64 << 10

func (b *Bridge) keep(from Side, p []byte) {
	k := &b.kept
	if !k.on {
		return
	}
	b.flow.moved[from].Add(int64(len(p)))
	if k.size += len(p); k.size > maxKept {
		k.all, k.client = nil, 0
		return
	}
	k.all = append(k.all, said{from, bytes.Clone(p)})
	if from == Client {
		k.client += len(p)
	}
}

// show counts and shows application data.
func (b *Bridge) show(from Side, p []byte) {
	b.flow.moved[from].Add(int64(len(p)))
	if b.tap != nil {
		b.tap(from, p)
	}
}

// Restart ends the flow and begins a new one on the same client stream: without a
// hop, without a server side, with the frames of the layers outside of the one that
// calls it.
func (b *Bridge) Restart() {
	now := time.Now()
	old := b.Flow()
	b.closeServer()
	b.Observer.close(old, Outcome{Reason: EOF, EndedBy: ByMITM, Duration: now.Sub(old.start)})
	b.flow = old.next(min(b.base, old.depth()), now)
	b.hop, b.redo = Addr{}, redo{}
	b.asked, b.tap, b.kept, b.firstEnd = false, nil, kept{}, ""
	b.Observer.open(b.flow)
}
