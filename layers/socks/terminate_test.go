package socks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// bound is BND of what we grant in these tests, also on loopback, where the real one is another each time.
var bound = &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 0x8000}

// dialsFromBound is a layer that makes each conn that is dialled one from bound.
var dialsFromBound = bridge.Layer{
	Name: "bound",
	Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		dial := b.DialFunc
		b.DialFunc = func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
			c, err := dial(ctx, hop, f)
			if err != nil {
				return nil, err
			}
			return boundConn{c.(halfCloser)}, nil
		}
		return next(ctx, b)
	},
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

type boundConn struct{ halfCloser }

func (boundConn) LocalAddr() net.Addr { return bound }

// terminating is the handler of the dialogues.
func terminating(c socks.Config) bridge.Handler {
	return bridge.Chain(dialsFromBound, socks.Terminate(c))
}

// onlyAlice knows one user.
func onlyAlice(user, password string) bool { return user == "alice" && password == "secret" }

func refusal(rep socks.Rep) string {
	return "\x05" + string([]byte{byte(rep)}) + "\x00\x01\x00\x00\x00\x00\x00\x00"
}

const (
	rejected4     = "\x00\x5b\x00\x00\x00\x00\x00\x00"
	granted4Bound = "\x00\x5a\x80\x00\xc6\x33\x64\x01"
	example443    = "example.com:443"
)

func terminated5(more bridge.Frame) bridge.Frame {
	more.Proto, more.Verb = "socks5", bridge.VerbTerminate
	return more
}

func terminated4(more bridge.Frame) bridge.Frame {
	more.Proto, more.Verb = "socks4", bridge.VerbTerminate
	return more
}

func TestTerminate(t *testing.T) {
	auth := socks.Config{Auth: onlyAlice}
	tests := []struct {
		name   string
		config socks.Config
		script Script
		reason bridge.Reason
		frame  bridge.Frame
	}{
		{
			"a tunnel without authentication",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send(connect), Dials(example443), Recv(granted), Tunnel()},
			bridge.EOF, terminated5(bridge.Frame{Dst: exampleCom}),
		},
		{
			"a client that could show a password and need not",
			socks.Config{},
			Script{Send(helloAll), Recv(noAuth), Send(connect), Dials(example443), Recv(granted), Tunnel()},
			bridge.EOF, terminated5(bridge.Frame{Dst: exampleCom}),
		},
		{
			"a tunnel with user and password", auth,
			Script{Send(helloAll), Recv(userPass), Send(alice), Recv(authOK), Send(connect), Dials(example443), Recv(granted), Tunnel()},
			bridge.EOF, terminated5(bridge.Frame{Dst: exampleCom, User: "alice"}),
		},
		{
			"an IPv6 address, and a reserved byte that is set",
			socks.Config{},
			Script{
				Send(hello), Recv(noAuth), Send("\x05\x01\x01\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"),
				Dials("[2001:db8::1]:80"), Recv(granted), Tunnel(),
			},
			bridge.EOF, terminated5(bridge.Frame{Dst: bridge.Addr{Host: "2001:db8::1", Port: 80}}),
		},
		{
			"an IPv4-mapped address is dialled as IPv4",
			socks.Config{},
			Script{
				Send(hello), Recv(noAuth), Send("\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07\x00\x50"),
				Dials("192.0.2.7:80"), Recv(granted), Tunnel(),
			},
			bridge.EOF, terminated5(bridge.Frame{Dst: bridge.Addr{Host: "192.0.2.7", Port: 80}}),
		},
		{
			"an address as a name is an address",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x05\x01\x00\x03\x05::0:1\x00\x50"), Dials("[::1]:80"), Recv(granted), Tunnel()},
			bridge.EOF, terminated5(bridge.Frame{Dst: bridge.Addr{Host: "::1", Port: 80}}),
		},
		{
			"the operator names the hop",
			socks.Config{Hop: func(asked bridge.Addr) bridge.Addr {
				return bridge.Addr{Host: "192.0.2.9", Port: asked.Port + 1}
			}},
			Script{Send(hello), Recv(noAuth), Send(connect), Dials("192.0.2.9:444"), Recv(granted), Tunnel()},
			bridge.EOF, terminated5(bridge.Frame{Dst: exampleCom}),
		},
		{
			"no method without a password is offered",
			socks.Config{},
			Script{Send("\x05\x02\x01\x02"), Recv("\x05\xff")},
			bridge.Auth, terminated5(bridge.Frame{Note: "no acceptable methods"}),
		},
		{
			"a password is wanted and not offered", auth,
			Script{Send(hello), Recv("\x05\xff")},
			bridge.Auth, terminated5(bridge.Frame{Note: "no acceptable methods"}),
		},
		{
			"a wrong password", auth,
			Script{Send(helloAll), Recv(userPass), Send("\x01\x05alice\x05wrong"), Recv("\x01\x01")},
			bridge.Auth, terminated5(bridge.Frame{User: "alice", Note: "authentication refused"}),
		},
		{
			"a wrong password behind which the request comes", auth,
			Script{Send(helloAll), Recv(userPass), Send("\x01\x00\x00" + connect), Recv("\x01\x01")},
			bridge.Auth, terminated5(bridge.Frame{Note: "authentication refused"}),
		},
		{
			"a password of another version", auth,
			Script{Send(helloAll), Recv(userPass), Send("\x05"), Recv("\x01\x01")},
			bridge.Desynced, terminated5(bridge.Frame{}),
		},
		{
			"a greeting without methods",
			socks.Config{},
			Script{Send("\x05\x00"), Recv("\x05\xff")},
			bridge.Desynced, terminated5(bridge.Frame{}),
		},
		{
			"a request of another version",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x04"), Recv(refusal(socks.RepGeneralFailure))},
			bridge.Desynced, terminated5(bridge.Frame{}),
		},
		{
			"an unknown address type",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x05\x01\x00\x02"), Recv(refusal(socks.RepAddrTypeNotSupported))},
			bridge.Desynced, terminated5(bridge.Frame{}),
		},
		{
			"BIND",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x05\x02" + connect[2:]), Recv(refusal(socks.RepCommandNotSupported))},
			bridge.Denied, terminated5(bridge.Frame{Note: "command 02 refused"}),
		},
		{
			"UDP ASSOCIATE",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"), Recv(refusal(socks.RepCommandNotSupported))},
			bridge.Denied, terminated5(bridge.Frame{Note: "command 03 refused"}),
		},
		{
			"a name that is no host name",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x05\x01\x00\x03\x04a\x00de\x00\x50"), Recv(refusal(socks.RepHostUnreachable))},
			bridge.DNS, terminated5(bridge.Frame{Dst: bridge.Addr{Host: "a\ufffdde", Port: 80}, Note: "no host name"}),
		},
		{
			"an empty name",
			socks.Config{},
			Script{Send(hello), Recv(noAuth), Send("\x05\x01\x00\x03\x00\x00\x50"), Recv(refusal(socks.RepHostUnreachable))},
			bridge.DNS, terminated5(bridge.Frame{Note: "no host name"}),
		},
		{
			"SOCKS4",
			socks.Config{},
			Script{Send(connect4), Dials("192.0.2.7:80"), Recv(granted4Bound), Tunnel()},
			bridge.EOF, terminated4(bridge.Frame{Dst: bridge.Addr{Host: "192.0.2.7", Port: 80}, User: "me"}),
		},
		{
			"SOCKS4A",
			socks.Config{},
			Script{Send(connect4a), Dials(example443), Recv(granted4Bound), Tunnel()},
			bridge.EOF, terminated4(bridge.Frame{Dst: exampleCom}),
		},
		{
			"SOCKS4 where a password is wanted", auth,
			Script{Send(connect4), Recv(rejected4)},
			bridge.Auth, terminated4(bridge.Frame{User: "me", Note: "no acceptable methods"}),
		},
		{
			"SOCKS4 BIND",
			socks.Config{},
			Script{Send("\x04\x02" + connect4[2:]), Recv(rejected4)},
			bridge.Denied, terminated4(bridge.Frame{User: "me", Note: "command 02 refused"}),
		},
		{
			"a SOCKS4 command that is none",
			socks.Config{},
			Script{Send("\x04\x03"), Recv(rejected4)},
			bridge.Desynced, terminated4(bridge.Frame{}),
		},
		{
			"a SOCKS4A name that is no host name",
			socks.Config{},
			Script{Send("\x04\x01\x00\x50\x00\x00\x00\x01\x00a..b\x00"), Recv(rejected4)},
			bridge.DNS, terminated4(bridge.Frame{Dst: bridge.Addr{Host: "a..b", Port: 80}, Note: "no host name"}),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			Terminate(t, terminating(tt.config), tt.script, Reason(tt.reason), Path(tt.frame.Proto), frame(tt.frame))
		})
	}
}

func TestTerminateRefusesWhatCannotBeDialled(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		rep    socks.Rep
		reason bridge.Reason
	}{
		{"refused", syscall.ECONNREFUSED, socks.RepConnectionRefused, bridge.Refused},
		{"network unreachable", syscall.ENETUNREACH, socks.RepNetworkUnreachable, bridge.Unreachable},
		{"host unreachable", syscall.EHOSTUNREACH, socks.RepHostUnreachable, bridge.Unreachable},
		{"no answer, says the kernel", syscall.ETIMEDOUT, socks.RepHostUnreachable, bridge.Timeout},
		{"no answer in our own time", context.DeadlineExceeded, socks.RepTTLExpired, bridge.Timeout},
		{"no such name", &net.DNSError{Name: "example.com", IsNotFound: true}, socks.RepHostUnreachable, bridge.DNS},
		{"an access rule", bridge.Fails(bridge.Denied, bridge.ByMITM, nil), socks.RepNotAllowed, bridge.Denied},
		{"a loop", bridge.Fails(bridge.Loop, bridge.ByMITM, nil), socks.RepNotAllowed, bridge.Loop},
		{"a dialler's own refusal", bridge.Fails(bridge.Limit, bridge.ByMITM, errors.New("full")), socks.RepGeneralFailure, bridge.Limit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			Terminate(t, terminating(socks.Config{}),
				Script{Send(hello), Recv(noAuth), Send(connect), DialFails(example443, tt.err), Recv(refusal(tt.rep))},
				Reason(tt.reason), frame(terminated5(bridge.Frame{Dst: exampleCom})))
			Terminate(t, terminating(socks.Config{}),
				Script{Send(connect4a), DialFails(example443, tt.err), Recv(rejected4)},
				Reason(tt.reason), frame(terminated4(bridge.Frame{Dst: exampleCom})))
		})
	}
}

// A hop that is known from elsewhere is not where a client that breaks the protocol is passed on to.
func TestTerminateDoesNotGoOnRaw(t *testing.T) {
	for name, script := range map[string]Script{
		"a broken greeting": {Send("\x05\x00"), Recv("\x05\xff")},
		"a broken request":  {Send(hello), Recv(noAuth), Send("\x04"), Recv(refusal(socks.RepGeneralFailure))},
		"no SOCKS":          {Send("GET / HTTP/1.1\r\n\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			Terminate(t, terminating(socks.Config{}), script, Hop("192.0.2.80:1080"), Reason(bridge.Desynced))
		})
	}
}

// TestARefusedDialEndsInOrder holds that the client can read why: a reset could overtake the reply.
func TestARefusedDialEndsInOrder(t *testing.T) {
	client, ours := Pipe(1 << 10)
	io.WriteString(client, hello+connect)
	p := &bridge.Proxy{
		Handler: bridge.Chain(socks.Terminate(socks.Config{})),
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			return nil, syscall.ECONNREFUSED
		},
	}
	heard := make(chan error, 1)
	go func() {
		got, err := io.ReadAll(client)
		if want := noAuth + refusal(socks.RepConnectionRefused); string(got) != want {
			err = fmt.Errorf("the client got %q, want %q, %w", got, want, err)
		}
		client.Close()
		heard <- err
	}()
	p.ServeConn(t.Context(), ours)
	if err := <-heard; err != nil {
		t.Error(err)
	}
}

func TestAClientThatHasGoneIsToldNothing(t *testing.T) {
	for name, said := range map[string]string{"greeting": "\x05\x01", "request": hello + connect[:9], "SOCKS4 request": connect4[:9]} {
		client, ours := Pipe(1 << 10)
		io.WriteString(client, said)
		client.CloseWrite()
		p := &bridge.Proxy{Handler: bridge.Chain(socks.Terminate(socks.Config{}))}
		out := p.ServeConn(t.Context(), ours)
		got, _ := io.ReadAll(client)
		if told := strings.TrimPrefix(string(got), noAuth); told != "" || out.Reason != bridge.PeerClosed || out.EndedBy != bridge.ByClient {
			t.Errorf("within its %s: told %q, outcome %s by %s: %v", name, told, out.Reason, out.EndedBy, out.Err)
		}
		client.Close()
	}
}

func TestTerminateClosesOnWhatIsNotSOCKS(t *testing.T) {
	for first := range 256 {
		if first == 4 || first == 5 {
			continue
		}
		client, ours := Pipe(1 << 10)
		client.Write([]byte{byte(first), 'x'})
		p := &bridge.Proxy{Handler: bridge.Chain(socks.Terminate(socks.Config{}))}
		client.CloseWrite()
		out := p.ServeConn(t.Context(), ours)
		got := make([]byte, 1)
		if n, _ := client.Read(got); n != 0 || out.Reason != bridge.Desynced {
			t.Errorf("first byte %02x: the client got %x, outcome %s: %v", first, got[:n], out.Reason, out.Err)
		}
	}
}
