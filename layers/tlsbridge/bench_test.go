package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// fixed is a Minter whose cache always has the leaf.
type fixed struct{ leaf *tls.Certificate }

func (f fixed) Mint(context.Context, *Snapshot, *detect.ClientHello) (*tls.Certificate, string, error) {
	return f.leaf, "ok", nil
}

// kinds are hellos of different cost.
func kinds() map[string]*tls.Config {
	of := func(version uint16, groups ...tls.CurveID) *tls.Config {
		config := clientConfig()
		config.MaxVersion, config.CurvePreferences, config.InsecureSkipVerify = version, groups, true
		return config
	}
	return map[string]*tls.Config{
		"tls=1.3,group=X25519MLKEM768": of(tls.VersionTLS13, tls.X25519MLKEM768, tls.X25519),
		"tls=1.3,group=X25519":         of(tls.VersionTLS13, tls.X25519),
		"tls=1.2,group=X25519":         of(tls.VersionTLS12, tls.X25519),
	}
}

// BenchmarkBridgedHandshake is a connection whose handshake goes through the bridge. To
// be compared with BenchmarkBareHandshakes of the same run, twice: a bridged handshake
// is two, the client's with us and ours with the server. Client and server are in the
// process, too.
func BenchmarkBridgedHandshake(b *testing.B) {
	leaf := certificate("ECDSA")
	addr := serveQuietly(b, &tls.Config{Certificates: []tls.Certificate{*leaf}, SessionTicketsDisabled: true})
	p := &bridge.Proxy{Handler: bridge.Chain(Relay(Config{Minter: fixed{leaf}})), Hop: bridge.FixedHop(addr)}
	l := listen(b)
	go p.Serve(context.Background(), l)
	b.Cleanup(func() { p.Shutdown(context.Background()) })
	benchHandshakes(b, l.Addr().String())
}

// BenchmarkBareHandshakes is the same without the bridge.
func BenchmarkBareHandshakes(b *testing.B) {
	addr := serveQuietly(b, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, SessionTicketsDisabled: true})
	benchHandshakes(b, addr.String())
}

func benchHandshakes(b *testing.B, addr string) {
	all := kinds()
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := tls.Dial("tcp", addr, all[kind])
				if err != nil {
					b.Fatal(err)
				}
				c.CloseWrite()
				io.Copy(io.Discard, c)
				c.Close()
			}
		})
	}
}

// serveQuietly is a server that says goodbye when its client did.
func serveQuietly(b *testing.B, config *tls.Config) bridge.Addr {
	return serveTCP(b, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		io.Copy(io.Discard, s)
		s.CloseWrite()
	})
}

// BenchmarkBulk moves application data through one bridged connection.
func BenchmarkBulk(b *testing.B) {
	const size = 1 << 20
	leaf := certificate("ECDSA")
	addr := serveTCP(b, func(c *net.TCPConn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*leaf}})
		buf := make([]byte, size)
		for {
			if _, err := io.ReadFull(s, buf); err != nil {
				return
			}
			s.Write(buf[:1])
		}
	})
	for name, handler := range map[string]bridge.Handler{
		"tls=on": bridge.Chain(Relay(Config{Minter: fixed{leaf}})), "tls=passed": bridge.Chain(passing()),
	} {
		b.Run(name, func(b *testing.B) {
			p := &bridge.Proxy{Handler: handler, Hop: bridge.FixedHop(addr)}
			l := listen(b)
			go p.Serve(context.Background(), l)
			defer p.Shutdown(context.Background())
			c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			data := bytes.Repeat([]byte{42}, size)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				c.Write(data)
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
