package mirror

import (
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// BenchmarkBuild makes the spec of a hello, with its keys, and no more.
func BenchmarkBuild(b *testing.B) {
	for _, name := range []string{"curl", "chromium.0"} {
		b.Run("hello="+name, func(b *testing.B) {
			hello := parse(b, realHellos(b)[name])
			b.ReportAllocs()
			for b.Loop() {
				if _, err := build(hello, Config{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandshake is a mirrored handshake with a server of crypto/tls. Beside each of its handshakes is one of
// crypto/tls with the same server; x-bare is the ratio of the CPU time that the two take with both of their ends, which
// is what a bridge spends for one connection against what it would spend without a mirror.
func BenchmarkHandshake(b *testing.B) {
	for _, tt := range []struct {
		name  string
		group tls.CurveID
	}{
		{"curl", tls.X25519}, {"chromium.0", tls.X25519}, {"chromium.0", tls.X25519MLKEM768}, {"go", tls.X25519MLKEM768},
	} {
		b.Run("hello="+tt.name+",group="+tt.group.String(), func(b *testing.B) {
			hello := parse(b, realHellos(b)[tt.name])
			l := serveBench(b, tt.group)
			bare := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tt.group}}
			var mirrored, plain time.Duration
			b.ReportAllocs()
			for b.Loop() {
				mirrored += spent(func() {
					meet(b, l, func(c net.Conn) (io.Closer, error) {
						s, _, err := Handshake(b.Context(), c, hello, Config{})
						return s, err
					})
				})
				b.StopTimer()
				plain += spent(func() {
					meet(b, l, func(c net.Conn) (io.Closer, error) {
						s := tls.Client(c, bare)
						return s, s.HandshakeContext(b.Context())
					})
				})
				b.StartTimer()
			}
			b.ReportMetric(float64(mirrored)/float64(plain), "x-bare")
			b.ReportMetric(float64(mirrored.Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// serveBench is a server of one group that says goodbye when its client does.
func serveBench(b *testing.B, group tls.CurveID) net.Listener {
	config := server()
	config.Certificates = []tls.Certificate{certificates()["ECDSA"]}
	config.MinVersion, config.CurvePreferences, config.SessionTicketsDisabled = tls.VersionTLS13, []tls.CurveID{group}, true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := tls.Server(c, config)
			io.Copy(io.Discard, s)
			s.Close()
		}
	}()
	b.Cleanup(func() { l.Close(); <-ended })
	return l
}

// meet has a client come and go.
func meet(b *testing.B, l net.Listener, shake func(net.Conn) (io.Closer, error)) {
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := shake(c)
	if err != nil {
		b.Fatal(err)
	}
	s.Close()
	io.Copy(io.Discard, c) // until the server is through with it
}

// spent is the CPU time of the process while f runs.
func spent(f func()) time.Duration {
	before := usage()
	f()
	return usage() - before
}

func usage() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
