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
		r := newRelayed(nil, version5)
		r.asked(CmdConnect, Addr{Name: "a", Port: 1})
		err := r.replied(byte(code), unspecified, Rep(code) == RepSucceeded, Rep(code))
		if granted := code == 0; granted != (err == nil) || granted != (r.frame.Note == "") {
			t.Errorf("reply %02x: %v, note %q", code, err, r.frame.Note)
		}
		if err != nil && (!errors.Is(err, errRefused) || r.frame.Note != Rep(code).String()) {
			t.Errorf("reply %02x: %v, note %q", code, err, r.frame.Note)
		}
	}
}

func TestEveryCommandDecidesARelay(t *testing.T) {
	for cmd := range 256 {
		r := newRelayed(nil, version5)
		r.asked(byte(cmd), ip4(80, 192, 0, 2, 1))
		if isConnect := cmd == 1; isConnect == r.frame.Dst.IsZero() {
			t.Errorf("command %02x: destination %q", cmd, r.frame.Dst)
		}
		err := r.replied(byte(RepSucceeded), unspecified, true, RepSucceeded)
		if desync := (*bridge.Desync)(nil); errors.As(err, &desync) == (cmd == 1) {
			t.Errorf("command %02x, granted: %v", cmd, err)
		}
	}
}
