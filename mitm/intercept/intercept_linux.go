package intercept

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ip6OriginalDst is IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h. IPv4's has the
// same number.
const ip6OriginalDst = 80

// Control prepares a listener, as the Control of a net.ListenConfig.
func (m Mode) Control(network, _ string, c syscall.RawConn) error {
	if m == None {
		return nil
	}
	return control(c, func(fd int) error {
		if m == TPROXY {
			return transparent(fd, network)
		}
		return freebind(fd, network)
	})
}

// Destination returns where the client of an accepted connection meant to go, which is not
// empty. It is ErrDirect for one that no rule has redirected; one that was made to the
// address of a listener of the mode TPROXY can't be told from others, so its caller has to
// know its own addresses in any case.
func (m Mode) Destination(c *net.TCPConn) (netip.AddrPort, error) {
	local := unmapped(c.LocalAddr().(*net.TCPAddr).AddrPort())
	if m != Redirect {
		return local, nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var to netip.AddrPort
	err = control(raw, func(fd int) (err error) {
		to, err = original(fd, local.Addr().Is4())
		return err
	})
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && to == local:
		return netip.AddrPort{}, ErrDirect // the kernel knows nothing, or its own address where other rules are
	case err != nil:
		return netip.AddrPort{}, os.NewSyscallError("getsockopt SO_ORIGINAL_DST", err)
	}
	return to, nil
}

// original asks for the destination before NAT. It is a sockaddr, for which there is no call
// in package unix: those for structures that are as long serve as well.
func original(fd int, is4 bool) (netip.AddrPort, error) {
	if is4 {
		sa, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
		if err != nil {
			return netip.AddrPort{}, err
		}
		b := sa.Multiaddr // family, port and address of a sockaddr_in
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
	}
	sa, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, ip6OriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, sa.Addr.Port))
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr.Addr), port), nil
}

// LocalAddr returns the address that a socket has by now. Its port is 0 as long as the kernel has
// not chosen one, which it does before others can hear of the connection.
func LocalAddr(c syscall.RawConn) (netip.AddrPort, error) {
	var addr netip.AddrPort
	err := control(c, func(fd int) error {
		sa, err := unix.Getsockname(fd)
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			addr = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *unix.SockaddrInet6:
			addr = unmapped(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)))
		}
		return os.NewSyscallError("getsockname", err)
	})
	return addr, err
}

// Check tries what Control does on a socket that is not connected: whether we may.
func (e Egress) Check() error {
	if e == (Egress{}) {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := e.mark(fd); err != nil || !e.Source.IsValid() {
		return err
	}
	return transparent(fd, "tcp4")
}

func (e Egress) mark(fd int) error {
	if e.Mark == 0 {
		return nil
	}
	return set(fd, unix.SOL_SOCKET, unix.SO_MARK, int(e.Mark), "SO_MARK")
}

// Control prepares a socket that is about to be connected, as the Control of a net.Dialer. It
// is a *FamilyError when the server is not of the source's family.
func (e Egress) Control(network, address string, c syscall.RawConn) error {
	if e == (Egress{}) {
		return nil
	}
	source := unmapped(e.Source)
	if source.IsValid() && source.Addr().Is4() != strings.HasSuffix(network, "4") {
		return &FamilyError{source.Addr(), address}
	}
	return control(c, func(fd int) error {
		if err := e.mark(fd); err != nil || !source.IsValid() {
			return err
		}
		if err := transparent(fd, network); err != nil {
			return err
		}
		return bind(fd, source)
	})
}

// bind binds a socket so that its port may be in use for other servers: one of the client's
// own is, and one of the kernel's is chosen only when the server is known.
func bind(fd int, source netip.AddrPort) error {
	if source.Port() == 0 {
		if err := set(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT"); err != nil {
			return err
		}
	} else if err := set(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, "SO_REUSEADDR"); err != nil {
		return err
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(source.Port()), Addr: source.Addr().As16()}
	if source.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(source.Port()), Addr: source.Addr().As4()}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("from %s: %w", source, os.NewSyscallError("bind", err))
	}
	return nil
}

// transparent lets a socket have addresses that are not the host's.
func transparent(fd int, network string) error {
	if strings.HasSuffix(network, "6") {
		return set(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT")
	}
	return set(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1, "IP_TRANSPARENT")
}

// freebind lets a listener have an address that the host does not have, or not yet.
func freebind(fd int, network string) error {
	if strings.HasSuffix(network, "6") {
		return set(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1, "IPV6_FREEBIND")
	}
	return set(fd, unix.SOL_IP, unix.IP_FREEBIND, 1, "IP_FREEBIND")
}

func set(fd, level, option, value int, name string) error {
	err := unix.SetsockoptInt(fd, level, option, value)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it takes CAP_NET_RAW or CAP_NET_ADMIN", os.NewSyscallError("setsockopt "+name, err))
	}
	return os.NewSyscallError("setsockopt "+name, err)
}

// control runs f with the socket's descriptor.
func control(c syscall.RawConn, f func(fd int) error) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
