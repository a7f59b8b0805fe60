package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// A request is 64 bytes: a word that begins no protocol that a proxy might look for,
// how many bytes are wanted, padding. The answer is that many bytes of the pattern.
const requestSize = 64

const requestWord = "\xb1bench\r\n"

func appendRequest(b []byte, want int64) []byte {
	b = append(b, requestWord...)
	b = binary.BigEndian.AppendUint64(b, uint64(want))
	return append(b, make([]byte, requestSize-16)...)
}

func parseRequest(b []byte) (want int64, err error) {
	n := int64(binary.BigEndian.Uint64(b[8:16]))
	if string(b[:8]) != requestWord || n < 0 {
		return 0, fmt.Errorf("not a request: %x", b)
	}
	return n, nil
}

// A pattern is what an answer consists of, repeated. It does not compress, and no part
// of it looks like another.
type pattern []byte

func newPattern() pattern {
	p := make(pattern, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(p) // never fails
	return p
}

// writeTo writes the first n bytes of an answer.
func (p pattern) writeTo(w io.Writer, n int64) error {
	for n > 0 {
		part := p[:min(n, int64(len(p)))]
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}

// read reads an answer of n bytes through buf and compares each of them.
func (p pattern) read(r io.Reader, buf []byte, n int64) error {
	for at := int64(0); at < n; {
		got, err := r.Read(buf[:min(int64(len(buf)), n-at)])
		if !p.at(at, buf[:got]) {
			return fmt.Errorf("a wrong byte between %d and %d of the answer", at, at+int64(got))
		}
		at += int64(got)
		if err != nil && at < n {
			return fmt.Errorf("after %d of %d bytes: %w", at, n, err)
		}
	}
	return nil
}

func (p pattern) at(offset int64, b []byte) bool {
	for len(b) > 0 {
		from := int(offset % int64(len(p)))
		n := min(len(b), len(p)-from)
		if !bytes.Equal(b[:n], p[from:from+n]) {
			return false
		}
		b, offset = b[n:], offset+int64(n)
	}
	return true
}

// An origin answers requests on each of its connections until the client ends it. Each
// contender has one of its own: ports that wait for the end of one's connections are
// not in another's way.
type origin struct {
	pattern  pattern
	listener net.Listener
	tls      *tls.Config // nil: plain

	serving sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool
	broken  error // the first request that came through damaged
}

func newOrigin(p pattern, config *tls.Config) (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{pattern: p, listener: l, tls: config, conns: map[net.Conn]bool{}}
	o.serving.Go(o.accept)
	return o, nil
}

func (o *origin) addr() string { return o.listener.Addr().String() }

func (o *origin) accept() {
	for {
		c, err := o.listener.Accept()
		if err != nil {
			return // closed
		}
		o.mu.Lock()
		o.conns[c] = true
		o.mu.Unlock()
		o.serving.Go(func() { o.serve(c) })
	}
}

func (o *origin) serve(c net.Conn) {
	err := o.answer(c)
	c.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
	if err != nil && o.broken == nil {
		o.broken = fmt.Errorf("origin: %w", err)
	}
}

func (o *origin) answer(c net.Conn) error {
	if o.tls != nil {
		c = tls.Server(c, o.tls)
		defer c.Close()
	}
	var request [requestSize]byte
	for {
		switch n, err := io.ReadFull(c, request[:]); {
		case err != nil && n == 0:
			return nil // programs end their connections in many ways
		case err != nil:
			return err
		}
		n, err := parseRequest(request[:])
		if err != nil {
			return err
		}
		if o.pattern.writeTo(c, n) != nil {
			return nil // its reader misses the rest, and says so
		}
	}
}

// state returns how many connections are open, and what went wrong so far.
func (o *origin) state() (open int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns), o.broken
}

func (o *origin) close() {
	o.listener.Close()
	o.mu.Lock()
	for c := range o.conns {
		c.Close()
	}
	o.mu.Unlock()
	o.serving.Wait()
}
