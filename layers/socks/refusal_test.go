package socks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestReplyCodeOfAnError(t *testing.T) {
	hop := bridge.Addr{Host: "192.0.2.1", Port: 80}
	dial := func(err error) error { return &bridge.DialError{Hop: hop, Err: err} }
	errno := func(e syscall.Errno) error {
		return dial(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)})
	}
	tests := []struct {
		name string
		err  error
		want Rep
	}{
		{"none", nil, RepSucceeded},
		{"refused", errno(syscall.ECONNREFUSED), RepConnectionRefused},
		{"reset while connecting", errno(syscall.ECONNRESET), RepConnectionRefused},
		{"network unreachable", errno(syscall.ENETUNREACH), RepNetworkUnreachable},
		{"host unreachable", errno(syscall.EHOSTUNREACH), RepHostUnreachable},
		{"no answer, says the kernel", errno(syscall.ETIMEDOUT), RepHostUnreachable},
		{"no answer within our own time", dial(context.DeadlineExceeded), RepTTLExpired},
		{"no answer within the dialler's time", dial(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), RepTTLExpired},
		{"no such name", dial(&net.DNSError{Name: "a.invalid", IsNotFound: true}), RepHostUnreachable},
		{"no answer to the name", dial(&net.DNSError{Name: "a.invalid", IsTimeout: true}), RepTTLExpired},
		{"a name that cannot be", fmt.Errorf("x: %w", bridge.Fails(bridge.DNS, bridge.ByMITM, errHostName)), RepHostUnreachable},
		{"no hop", bridge.Fails(bridge.Unreachable, bridge.ByMITM, nil), RepHostUnreachable},
		{"an access rule", dial(bridge.Fails(bridge.Denied, bridge.ByMITM, errors.New("denied"))), RepNotAllowed},
		{"a loop", dial(bridge.Fails(bridge.Loop, bridge.ByMITM, errors.New("loop"))), RepNotAllowed},
		{"a policy rule", dial(bridge.Fails(bridge.Block, bridge.ByMITM, errors.New("block"))), RepNotAllowed},
		{"another command", fmt.Errorf("command 02: %w", errCommand), RepCommandNotSupported},
		{"another address type", &bridge.Desync{Err: malformed("socks5", "ATYP", 3)}, RepAddrTypeNotSupported},
		{"another version", &bridge.Desync{Err: malformed("socks5", "VER", 0)}, RepGeneralFailure},
		{"no request", &bridge.Desync{Why: bridge.TimedOut}, RepGeneralFailure},
		{"a filter of ours", errno(syscall.EACCES), RepHostUnreachable},
		{"network down", errno(syscall.ENETDOWN), RepNetworkUnreachable},
		{"something else", dial(errors.New("what?")), RepGeneralFailure},
		{"a shutdown", context.Canceled, RepGeneralFailure},
		{"a panic", &bridge.PanicError{Value: "x"}, RepGeneralFailure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := []byte{5, byte(tt.want), 0, 1, 0, 0, 0, 0, 0, 0}
			if got := answer5(tt.err, unspecified); !bytes.Equal(got, want) {
				t.Errorf("answer5(%v) = %x, want %x", tt.err, got, want)
			}
			want4 := []byte{0, 0x5b, 0, 0, 0, 0, 0, 0}
			if tt.err == nil {
				want4[1] = 0x5a
			}
			if got := answer4(tt.err, unspecified); !bytes.Equal(got, want4) {
				t.Errorf("answer4(%v) = %x, want %x", tt.err, got, want4)
			}
		})
	}
}

func TestEveryReplyCodeDecidesARelay(t *testing.T) {
	for code := range 256 {
		r := newRelayed(&bridge.Bridge{}, version5)
		r.asked(CmdConnect, Addr{Name: "a", Port: 1})
		a, _, err := parseAnswer5([]byte{5, byte(code), 0, 1, 127, 0, 0, 1, 0, 80})
		if err != nil || r.answered(a) == nil != (code == 0) || (r.frame.Note == "") != (code == 0) {
			t.Errorf("reply %02x: %v, note %q", code, err, r.frame.Note)
		}
		if code != 0 && (!errors.Is(r.answered(a), errRefused) || r.frame.Note != Rep(code).String()) {
			t.Errorf("reply %02x: note %q", code, r.frame.Note)
		}
		if r.handshake.Bnd != ip4(80, 127, 0, 0, 1) {
			t.Errorf("reply %02x: BND %+v", code, r.handshake.Bnd)
		}
		a, _, err = parseAnswer4([]byte{0, byte(code), 0, 80, 127, 0, 0, 1})
		if want := (answer{byte(code), code == 0x5a, Rep4(code).String(), ip4(80, 127, 0, 0, 1)}); a != want || err != nil {
			t.Errorf("SOCKS4 reply %02x: %+v, %v; want %+v", code, a, err, want)
		}
	}
}

func TestEveryCommandDecidesARelay(t *testing.T) {
	notes := map[byte]string{
		CmdConnect:      "",
		CmdBind:         "BIND at 192.0.2.2:80",
		CmdUDPAssociate: "UDP ASSOCIATE at 192.0.2.2:80: the datagrams go past us",
		CmdResolve:      "RESOLVE to 192.0.2.2",
		CmdResolvePTR:   "RESOLVE_PTR to 192.0.2.2",
	}
	for cmd := range 256 {
		cmd := byte(cmd)
		r := newRelayed(&bridge.Bridge{}, version5)
		r.asked(cmd, ip4(80, 192, 0, 2, 1))
		if isConnect := cmd == CmdConnect; isConnect == r.frame.Dst.IsZero() {
			t.Errorf("command %02x: destination %q", cmd, r.frame.Dst)
		}
		want, known := notes[cmd]
		if hasReply(cmd) != known {
			t.Errorf("command %02x: hasReply is %v", cmd, !known)
		}
		if !known {
			continue
		}
		if err := r.answered(answer{granted: true, bnd: ip4(80, 192, 0, 2, 2)}); err != nil || r.frame.Note != want {
			t.Errorf("command %02x, granted: %v, note %q, want %q", cmd, err, r.frame.Note, want)
		}
	}
}
