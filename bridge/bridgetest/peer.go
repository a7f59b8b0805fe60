package bridgetest

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/bridgeio/bridgeio/bridge"
)

// ending is what a peer does when it has done its acts.
type ending uint8

const (
	follows ending = iota // it ends its direction once the other peer has ended, or a RST came
	closes                // it ends its direction once it has heard everything
	cuts                  // it ends its direction at once
	resets                // it sends a RST
)

// part is what one peer does.
type part struct {
	acts       []act
	ending     ending
	everything int  // how many bytes are all that it is to hear
	told       int  // how many of them are from us
	deaf       bool // it does not read
	chunks     func() (size func() int)
}

// peerConn is what a peer needs of its conn.
type peerConn interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// peer plays a part on a conn.
type peer struct {
	part
	conn  peerConn
	chunk func() int

	mu    sync.Mutex
	cond  *sync.Cond
	got   []byte
	sent  int
	end   bridge.End // how what it reads has ended
	err   error      // what it can't understand
	reset bool       // a write was told of a RST
	over  bool       // nothing more is read
	ended chan struct{}
}

func newPeer(p part, c peerConn) *peer {
	peer := &peer{part: p, conn: c, chunk: p.chunks(), ended: make(chan struct{})}
	peer.cond = sync.NewCond(&peer.mu)
	return peer
}

// play plays the part, and closes the conn.
func (p *peer) play() {
	defer close(p.ended)
	defer p.conn.Close()
	reading := make(chan struct{})
	if p.deaf {
		close(reading)
	} else {
		go p.listen(reading)
	}
	defer func() { <-reading }()
	if !p.speak() {
		p.until(func() bool { return p.over })
		p.conn.CloseWrite()
		return
	}
	switch p.ending {
	case resets:
		p.conn.SetLinger(0)
		p.conn.Close()
		return
	case closes:
		p.until(func() bool { return p.over || len(p.got) >= p.everything })
	case follows:
		p.until(func() bool { return p.over })
	}
	p.conn.CloseWrite()
	p.until(func() bool { return p.over })
}

// speak writes what the part says, each time when enough was heard. It returns false when the conn has ended before.
func (p *peer) speak() bool {
	for _, a := range p.acts {
		p.until(func() bool { return p.over || p.deaf || len(p.got) >= a.after })
		if p.heardLess(a.after) {
			return false
		}
		for data := a.data; len(data) > 0; {
			n := min(len(data), p.chunk())
			p.writes(n)
			if _, err := p.conn.Write(data[:n]); err != nil {
				p.failed(err)
				return false
			}
			data = data[n:]
		}
	}
	return true
}

func (p *peer) writes(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += n
}

// failed notes what a write was told of, which reads are then not told of any more.
func (p *peer) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset = p.reset || errors.Is(err, syscall.ECONNRESET)
}

func (p *peer) heardLess(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got) < n
}

func (p *peer) until(happened func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !happened() {
		p.cond.Wait()
	}
}

// listen reads until nothing more comes.
func (p *peer) listen(done chan<- struct{}) {
	defer close(done)
	buf := make([]byte, 32<<10)
	for {
		n, err := p.conn.Read(buf)
		p.heard(buf[:n], err)
		if err != nil {
			return
		}
	}
}

func (p *peer) heard(data []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, data...)
	switch {
	case err == nil, errors.Is(err, net.ErrClosed): // closed by us, after a RST of ours
	case errors.Is(err, io.EOF):
		p.end = bridge.Clean
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		p.end = bridge.Reset
	default:
		p.err = err
	}
	p.over = p.over || err != nil
	p.cond.Broadcast()
}

// dismiss ends a peer that does not notice that the flow is over.
func (p *peer) dismiss() {
	p.mu.Lock()
	p.over = p.over || p.deaf
	p.cond.Broadcast()
	p.mu.Unlock()
	if p.deaf {
		p.conn.Close()
	}
}

// report returns what the peer has got and how that ended.
func (p *peer) report() (got []byte, end bridge.End, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reset {
		return p.got, bridge.Reset, p.err
	}
	return p.got, p.end, p.err
}

// hasSent returns how many bytes the peer has written or is writing.
func (p *peer) hasSent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// waitedFor returns how much the peer had to hear before its last act.
func (p *peer) waitedFor() int {
	if len(p.acts) == 0 {
		return 0
	}
	return p.acts[len(p.acts)-1].after
}
