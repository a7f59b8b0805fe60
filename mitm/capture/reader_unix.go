//go:build unix

package capture

import (
	"errors"
	"net"
	"syscall"
)

// awaitReset returns when a connection whose peer sends no more is reset by the peer, or
// closed by us. A peer that has closed it resets it when something arrives: packets, or
// the probe of a connection without traffic.
func awaitReset(conn net.Conn) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	var b [1]byte
	raw.Read(func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), b[:])
		return err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
}
