package detect_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/quic"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// quicFlight is what a client of QUIC that is not ours sends first.
func quicFlight(t testing.TB, name string, groups ...tls.CurveID) [][]byte {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := quic.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		client.Dial(ctx, "udp", l.LocalAddr().String(), &quic.Config{TLSConfig: &tls.Config{
			ServerName: name, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13, CurvePreferences: groups,
		}})
	}()
	defer func() {
		cancel()
		<-dialled
		client.Close(ctx)
	}()
	if err := l.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var flight [][]byte
	for {
		buf := make([]byte, 2048)
		n, _, err := l.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		flight = append(flight, buf[:n])
		if _, err := detect.QUICHello(flight...); !errors.Is(err, detect.ErrShort) {
			return flight
		}
	}
}

func TestQUICHelloOfARealClient(t *testing.T) {
	for name, groups := range map[string][]tls.CurveID{
		"one datagram": {tls.X25519}, "keys of post-quantum groups": {tls.X25519MLKEM768, tls.X25519},
	} {
		t.Run(name, func(t *testing.T) {
			flight := quicFlight(t, "quic.example.test", groups...)
			slices.Reverse(flight) // datagrams come in any order
			hello, err := detect.QUICHello(flight...)
			if err != nil || hello.ServerName != "quic.example.test" || !slices.Equal(hello.ALPN, []string{"h3"}) {
				t.Fatalf("%d datagrams: %+v, %v", len(flight), hello, err)
			}
			v := detect.QUIC().Detect(detect.Input{Client: flight[len(flight)-1]})
			if v.Kind != detect.Match || v.Info.Version != "1" || len(flight) == 1 && v.Info.Host != "quic.example.test" {
				t.Errorf("%v %+v", v.Kind, v.Info)
			}
			for _, b := range flight {
				detecttest.Laws(t, detect.QUIC(), b)
			}
		})
	}
}

func FuzzQUIC(f *testing.F) {
	samples := append(openings(f), quicFlight(f, "quic.example.test", tls.X25519)...)
	for _, b := range rfcInitials(f) {
		samples = append(samples, b)
	}
	detecttest.Fuzz(f, detect.QUIC(), samples...)
}

func FuzzQUICHello(f *testing.F) {
	for _, b := range quicFlight(f, "quic.example.test", tls.X25519MLKEM768) {
		f.Add(b, b)
	}
	for _, b := range rfcInitials(f) {
		f.Add(b, b[:7])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		hello, err := detect.QUICHello(a, b)
		var malformed *detect.MalformedError
		if (hello == nil) != (err != nil) || err != nil && !errors.Is(err, detect.ErrShort) && !errors.As(err, &malformed) {
			t.Errorf("%+v, %v", hello, err)
		}
	})
}
