package socks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Rep4 is the result code of SOCKS4 (CD in the reply).
type Rep4 byte

const (
	Rep4Granted      Rep4 = 0x5a // request granted
	Rep4Rejected     Rep4 = 0x5b // request rejected or failed
	Rep4NoIdentd     Rep4 = 0x5c // rejected: no connection to identd on the client
	Rep4UserMismatch Rep4 = 0x5d // rejected: client program and identd report different user-ids
)

// String returns the code with the memo's words for it, where it has some.
func (r Rep4) String() string {
	words := [...]string{
		"request granted", "request rejected or failed",
		"request rejected: no connection to identd", "request rejected: different user-ids",
	}
	if r < Rep4Granted || r > Rep4UserMismatch {
		return fmt.Sprintf("%02x", byte(r))
	}
	return fmt.Sprintf("%02x %s", byte(r), words[r-Rep4Granted])
}

const (
	version4    byte = 0x04
	maxRequest4      = 8 + 255 + 1 + 255 + 1
	reply4Len        = 8
)

// AppendRequest4 appends the request of SOCKS4, or of SOCKS4A when Host is set. It fails when the request could not
// be parsed again: another command than CONNECT and BIND, a DstIP that is not IPv4 or does not go with Host, a text
// that holds NUL or more than 255 bytes.
func AppendRequest4(b []byte, q detect.SOCKS4Request) ([]byte, error) {
	switch {
	case q.Cmd != CmdConnect && q.Cmd != CmdBind:
		return nil, fmt.Errorf("command %02x is neither CONNECT nor BIND", q.Cmd)
	case !q.DstIP.Is4():
		return nil, fmt.Errorf("destination %s is not an IPv4 address", q.DstIP)
	case is4A(q.DstIP) != (q.Host != ""):
		return nil, fmt.Errorf("destination %s with host %q: a host goes with 0.0.0.x", q.DstIP, q.Host)
	case len(q.UserID) > 255 || len(q.Host) > 255:
		return nil, fmt.Errorf("user of %d bytes and host of %d, at most 255 fit", len(q.UserID), len(q.Host))
	case strings.Contains(q.UserID, "\x00") || strings.Contains(q.Host, "\x00"):
		return nil, errors.New("NUL in user or host")
	}
	b = append(b, version4, q.Cmd)
	b = binary.BigEndian.AppendUint16(b, q.DstPort)
	b = append(b, q.DstIP.AsSlice()...)
	b = append(append(b, q.UserID...), 0)
	if q.Host != "" {
		b = append(append(b, q.Host...), 0)
	}
	return b, nil
}

// is4A reports whether ip is 0.0.0.x with x not 0, the mark of SOCKS4A.
func is4A(ip netip.Addr) bool {
	a := ip.As4()
	return a[0] == 0 && a[1] == 0 && a[2] == 0 && a[3] != 0
}

// dst4 returns the destination of a SOCKS4 or SOCKS4A request.
func dst4(q detect.SOCKS4Request) Addr {
	if q.Host != "" {
		return Addr{Name: q.Host, Port: q.DstPort}
	}
	return Addr{IP: q.DstIP, Port: q.DstPort}
}

// Reply4 is the server's reply to a SOCKS4 request. DstIP is IPv4; the memo has it ignored except after BIND.
type Reply4 struct {
	Rep     Rep4
	DstPort uint16
	DstIP   netip.Addr
}

// ParseReply4 parses the reply of SOCKS4 with any code. A version other than 00 is malformed: "VN is the version of
// the reply code and should be 0".
func ParseReply4(buf []byte) (Reply4, int, error) {
	switch {
	case len(buf) > 0 && buf[0] != 0:
		return Reply4{}, 0, malformed("socks4", "VN", 0)
	case len(buf) < reply4Len:
		return Reply4{}, 0, bridge.ErrShort
	}
	return Reply4{
		Rep:     Rep4(buf[1]),
		DstPort: binary.BigEndian.Uint16(buf[2:]),
		DstIP:   netip.AddrFrom4([4]byte(buf[4:])),
	}, reply4Len, nil
}

// AppendReply4 appends the reply of SOCKS4. A DstIP that is not IPv4 is written as 0.0.0.0, and then so is the port.
func AppendReply4(b []byte, r Reply4) []byte {
	ip := r.DstIP.Unmap()
	if !ip.Is4() {
		ip, r.DstPort = netip.IPv4Unspecified(), 0
	}
	b = append(b, 0, byte(r.Rep))
	b = binary.BigEndian.AppendUint16(b, r.DstPort)
	return append(b, ip.AsSlice()...)
}
