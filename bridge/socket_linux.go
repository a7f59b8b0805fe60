package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// socket is a TCP or Unix socket that can be waited for without a buffer, and
// spliced.
type socket struct{ raw syscall.RawConn }

// socket returns the Stream's conn as a socket, or nil. Only the conns of package net
// themselves count: a wrapper may have to see the bytes.
func (s *Stream) socket() *socket {
	var c syscall.Conn
	switch conn := s.conn.(type) {
	case *net.TCPConn:
		c = conn
	case *net.UnixConn:
		c = conn
	default:
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return &socket{raw}
}

func readFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// readBorrowed waits until the socket is readable and reads into a buffer that it
// borrows only then. The attempt and the wait are one call of the RawConn: readiness
// is signalled by edges, and one that comes between two calls would be lost.
func (s *socket) readBorrowed() (buf []byte, n int, err error) {
	waitErr := s.raw.Read(func(fd uintptr) bool {
		buf = borrow()
		if n, err = readFD(fd, buf); err == syscall.EAGAIN {
			giveBack(buf)
			buf = nil
			return false
		}
		return true
	})
	if waitErr != nil {
		return nil, 0, waitErr
	}
	n, err = eof(n, syscallError("read", err))
	return buf, n, err
}

func (s *socket) tryRead(p []byte) (n int, err error) {
	waitErr := s.raw.Read(func(fd uintptr) bool {
		n, err = readFD(fd, p)
		return true
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err == syscall.EAGAIN:
		return 0, ErrWouldBlock
	}
	return eof(n, syscallError("read", err))
}

func (s *socket) awaitRead() error {
	var peek [1]byte
	var err error
	waitErr := s.raw.Read(func(fd uintptr) bool {
		_, _, err = syscall.Recvfrom(int(fd), peek[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err != syscall.EAGAIN && err != syscall.EINTR
	})
	if waitErr != nil {
		return waitErr
	}
	return syscallError("recvfrom", err)
}

func syscallError(call string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call, err)
}

// spliceAfter is how much a direction must have moved before it is spliced: two
// system calls more per message do not pay for a short conversation.
const spliceAfter = 256 << 10

// moveUntapped copies at first, and splices a direction that moves much.
func (r *relay) moveUntapped(from Side, src, dst *Stream) error {
	in, out := src.socket(), dst.socket()
	if in == nil || out == nil {
		return r.copy(from, src, dst, forever64)
	}
	if err := r.copy(from, src, dst, spliceAfter); err != nil {
		return err
	}
	pipes.enter()
	defer pipes.leave()
	err := r.splice(from, src, dst, in, out)
	if errors.Is(err, errNoSplice) {
		return r.copy(from, src, dst, forever64)
	}
	return err
}

// errNoSplice is a socket that can't be spliced, or a pipe that can't be had. Nothing
// was lost.
var errNoSplice = errors.New("no splice")

const (
	pipeSize   = 1 << 20
	setPipe    = 1031 // F_SETPIPE_SZ
	spliceMove = 0x1  // SPLICE_F_MOVE
	spliceNow  = 0x2  // SPLICE_F_NONBLOCK
)

// splice moves through a pipe that is borrowed only while there is something to move.
func (r *relay) splice(from Side, src, dst *Stream, in, out *socket) error {
	var (
		p       *pipe
		n       int64
		err     error
		pending int64
	)
	fill := func(fd uintptr) bool {
		if p == nil {
			if p, err = pipes.get(); err != nil {
				return true
			}
		}
		for {
			n, err = syscall.Splice(int(fd), nil, p.w, nil, pipeSize, spliceMove|spliceNow)
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			pipes.put(p)
			p = nil
			return false
		}
		return true
	}
	drain := func(fd uintptr) bool {
		for pending > 0 {
			n, err = syscall.Splice(p.r, nil, int(fd), nil, int(pending), spliceMove|spliceNow)
			switch {
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
				continue
			case err != nil:
				return true
			}
			pending -= n
			r.touch()
		}
		return true
	}
	for {
		if waitErr := in.raw.Read(fill); waitErr != nil {
			if p != nil {
				pipes.put(p) // the deadline had passed before fill was called
			}
			return waitErr
		}
		switch {
		case p == nil || unspliceable(err):
			p.close()
			return errNoSplice
		case err != nil || n == 0:
			pipes.put(p)
			_, err = eof(int(n), syscallError("splice", err))
			src.note(err)
			return err
		}
		pending = n
		r.b.flow.moved[from].Add(n)
		dst.writes.Add(1)
		waitErr := out.raw.Write(drain)
		if waitErr == nil {
			waitErr = syscallError("splice", err)
		}
		dst.wrote(waitErr)
		if waitErr != nil {
			p.close()
			return &writeError{waitErr}
		}
	}
}

// unspliceable reports whether splice says that it can't be used here: the socket
// has no splice, or a sandbox forbids it.
func unspliceable(err error) bool {
	return err == syscall.EINVAL || err == syscall.ENOSYS || err == syscall.EPERM
}

// pipe is what splice moves bytes through.
type pipe struct{ r, w int }

func (p *pipe) close() {
	if p != nil {
		syscall.Close(p.r)
		syscall.Close(p.w)
	}
}

// pipePool lends empty pipes to the relays that are splicing. It closes those that
// nobody has wanted for a while, and all when the last such relay is over: an idle
// process holds none.
type pipePool struct {
	mu    sync.Mutex
	users int
	free  []*pipe
	trim  *time.Timer // runs while there are free pipes
	taken bool        // a pipe was, since trim was set
}

var pipes pipePool

// pipeIdle is how long a pipe waits for a user.
const pipeIdle = time.Second

func (pp *pipePool) enter() {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	pp.users++
}

func (pp *pipePool) leave() {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	if pp.users--; pp.users == 0 {
		pp.closeFree()
	}
}

func (pp *pipePool) closeFree() {
	for _, p := range pp.free {
		p.close()
	}
	pp.free = nil
	if pp.trim != nil {
		pp.trim.Stop()
		pp.trim = nil
	}
}

// trimmed runs pipeIdle after a pipe became free.
func (pp *pipePool) trimmed() {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	switch {
	case pp.trim == nil:
	case pp.taken:
		pp.taken = false
		pp.trim.Reset(pipeIdle)
	default:
		pp.closeFree()
	}
}

func (pp *pipePool) get() (*pipe, error) {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	pp.taken = true
	if last := len(pp.free) - 1; last >= 0 {
		p := pp.free[last]
		pp.free = pp.free[:last]
		return p, nil
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, err
	}
	// A pipe that may not be made larger still works.
	syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[1]), setPipe, pipeSize)
	return &pipe{fds[0], fds[1]}, nil
}

// maxFree bounds the pipes that wait for a user.
const maxFree = 32

func (pp *pipePool) put(p *pipe) {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	if len(pp.free) == maxFree {
		p.close()
		return
	}
	pp.free = append(pp.free, p)
	if pp.trim == nil {
		pp.taken = false
		pp.trim = time.AfterFunc(pipeIdle, pp.trimmed)
	}
}
