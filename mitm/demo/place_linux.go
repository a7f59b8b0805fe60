package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A place is a network in which sockets are opened. Nil is that of this process.
type place struct{ ns *os.File }

// newPlace makes a network that is there for as long as it is open.
func newPlace() (*place, error) {
	p := &place{}
	err := apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		p.ns, err = os.Open(threadNetwork)
		return err
	})
	return p, err
}

func (p *place) close() { p.ns.Close() }

// path is the name that programs know it by.
func (p *place) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.ns.Fd()) }

// listen listens in the place.
func (p *place) listen(addr string) (l net.Listener, err error) {
	err = p.within(func() error {
		l, err = net.Listen("tcp", addr)
		return err
	})
	return l, err
}

// dial connects from the place.
func (p *place) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = p.within(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// run runs lines of ip's in the place.
func (p *place) run(ctx context.Context, lines ...string) error {
	return p.within(func() error {
		cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// within runs f, which must not start goroutines that open sockets, on a thread that is in
// the place.
func (p *place) within(f func() error) error {
	if p == nil {
		return f()
	}
	return apart(func() error {
		if err := unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

const threadNetwork = "/proc/thread-self/ns/net"

// apart runs f on a thread that is given back in the network that it was taken from.
func apart(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(threadNetwork)
	if err != nil {
		return err
	}
	defer home.Close()
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("leave a network: %v", back)) // the thread is good for nothing now
	}
	return err
}

// inOwnNetwork runs this very program once more, with the arguments, in a network of its own.
// Who is not root is, there.
func inOwnNetwork(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	err := cmd.Run()
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("a network of its own takes root, or a kernel that lets others have user namespaces: %w", err)
	}
	return err
}
