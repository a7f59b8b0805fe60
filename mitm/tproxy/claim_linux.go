package tproxy

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// claimName is that of a socket in the abstract namespace (unix(7)), which belongs to the network namespace as the rules
// do, whatever files a process sees, and goes with the process.
const claimName = "@mitm-tproxy"

var errHeld = errors.New("the kernel's rules here are held by a mitm that runs: end it first")

// claim binds the socket for as long as the file is open. Nothing is sent to it.
func claim() (*os.File, error) {
	fd, err := claimSocket()
	if err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: claimName})
	if err == nil {
		return os.NewFile(uintptr(fd), claimName), nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, errHeld
	}
	return nil, fmt.Errorf("bind %s: %w", claimName, err)
}

// isHeld reports whether somebody who lives has claimed the rules.
func isHeld() (bool, error) {
	fd, err := claimSocket()
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: claimName})
	return !errors.Is(err, unix.ECONNREFUSED), nil
}

func claimSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}
