package bridge_test

import (
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestARSTThatAWaitIsToldOfEndsTheStream(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	s := bridge.NewStream(c)
	waited := make(chan error, 1)
	go func() { waited <- s.AwaitRead() }()
	peer.SetLinger(0)
	peer.Close()
	if err := <-waited; err != nil {
		t.Fatalf("AwaitRead: %v", err)
	}
	if n, err := s.TryRead(make([]byte, 1)); n != 0 || err == nil || s.End() != bridge.Reset {
		t.Errorf("TryRead = %d, %v, and the end is %s; want a reset", n, err, s.End())
	}
}
