package capture

import (
	"io"
	"net"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Wire shows captures what the sockets of flows carry, and hands them the secrets of TLS:
// what an observer is not told. Whoever accepts and dials wraps each socket:
//
//	conn = wire.ClientLeg(conn)       // as soon as it is accepted
//	conn = wire.ServerLeg(conn, flow) // as soon as it is dialled, before anything is said on it
//	config.KeyLog = wire.KeyLog(flow) // of each TLS handshake that is held for the flow
//
// A client's socket belongs to the flow that the capture's Observer is told to be open
// between the same addresses. A nil Wire is one that nobody listens to; it is free.
type Wire struct {
	client func(client, server bridge.Addr, at time.Time) *leg
	server func(f *bridge.Flow, client, server bridge.Addr, at time.Time) *leg
	secret func(f *bridge.Flow, line []byte)
}

// Wires returns a Wire that shows everything to each of them. Nil ones are left out; it
// is nil without any.
func Wires(all ...*Wire) *Wire {
	var wires []*Wire
	for _, w := range all {
		if w != nil {
			wires = append(wires, w)
		}
	}
	if len(wires) < 2 {
		for _, w := range wires {
			return w
		}
		return nil
	}
	return &Wire{
		client: func(client, server bridge.Addr, at time.Time) *leg {
			var l *leg
			for _, w := range wires {
				l = l.join(w.client(client, server, at))
			}
			return l
		},
		server: func(f *bridge.Flow, client, server bridge.Addr, at time.Time) *leg {
			var l *leg
			for _, w := range wires {
				l = l.join(w.server(f, client, server, at))
			}
			return l
		},
		secret: func(f *bridge.Flow, line []byte) {
			for _, w := range wires {
				w.secret(f, line)
			}
		},
	}
}

// ClientLeg returns a conn that shows what the client's socket carries, or conn itself
// when nobody wants to know.
func (w *Wire) ClientLeg(conn net.Conn) net.Conn {
	if w == nil {
		return conn
	}
	client, server := bridge.AddrOf(conn.RemoteAddr()), bridge.AddrOf(conn.LocalAddr())
	return tapped(conn, bridge.Client, w.client(client, server, time.Now()))
}

// ServerLeg returns a conn that shows what the socket of a flow's server carries, or conn
// itself when nobody wants to know.
func (w *Wire) ServerLeg(conn net.Conn, f *bridge.Flow) net.Conn {
	if w == nil {
		return conn
	}
	client, server := bridge.AddrOf(conn.LocalAddr()), bridge.AddrOf(conn.RemoteAddr())
	return tapped(conn, bridge.Server, w.server(f, client, server, time.Now()))
}

// KeyLog returns where the secrets of a flow go, a line with each Write (RFC 9850), which
// is safe for concurrent use. It is nil when nobody wants them.
func (w *Wire) KeyLog(f *bridge.Flow) io.Writer {
	if w == nil {
		return nil
	}
	return keyLog{w, f}
}

type keyLog struct {
	w *Wire
	f *bridge.Flow
}

func (k keyLog) Write(line []byte) (int, error) {
	k.w.secret(k.f, line)
	return len(line), nil
}

// Wire returns what shows the Writer the sockets of flows, or nil when its format has no
// place for that.
func (w *Writer) Wire() *Wire {
	if w.config.Format != PCAPNG {
		return nil
	}
	return &Wire{client: w.clientLeg, server: w.serverLeg, secret: w.keep}
}

func (w *Writer) keep(f *bridge.Flow, line []byte) { w.story(f).keep(line) }

// clientLeg begins the view of a client's socket.
func (w *Writer) clientLeg(client, server bridge.Addr, at time.Time) *leg {
	if !w.wants(ViewClient) {
		return nil
	}
	c := w.socket(ViewClient, client, server, at)
	key := [2]bridge.Addr{client, server}
	w.accepted.Store(key, c)
	return &leg{views: []*conversation{c}, forget: func() { w.accepted.CompareAndDelete(key, c) }}
}

// serverLeg begins the view of a server's socket.
func (w *Writer) serverLeg(f *bridge.Flow, client, server bridge.Addr, at time.Time) *leg {
	if !w.wants(ViewServer) {
		return nil
	}
	c := w.socket(ViewServer, client, server, at)
	c.story = w.story(f)
	return &leg{views: []*conversation{c}}
}

func (w *Writer) socket(v View, client, server bridge.Addr, at time.Time) *conversation {
	return &conversation{w: w, view: v, start: at, ends: endsOf(firstIP(client), firstIP(server))}
}

// link finds the client's socket of a flow that has begun. It stays that one's when other
// flows follow on it.
func (w *Writer) link(f *bridge.Flow) {
	if c, ok := w.accepted.LoadAndDelete([2]bridge.Addr{f.Peer(), f.Local()}); ok {
		c.(*conversation).story = w.story(f)
	}
}

// Wire returns what shows the sockets of flows to the readers, or nil when their format
// has no place for that. A reader sees those that are opened while it is connected.
func (f *Feed) Wire() *Wire {
	if f.config.Format != PCAPNG {
		return nil
	}
	return &Wire{
		client: func(client, server bridge.Addr, at time.Time) *leg {
			if w := f.wires(); w != nil {
				return w.client(client, server, at)
			}
			return nil
		},
		server: func(flow *bridge.Flow, client, server bridge.Addr, at time.Time) *leg {
			if w := f.wires(); w != nil {
				return w.server(flow, client, server, at)
			}
			return nil
		},
		secret: func(flow *bridge.Flow, line []byte) {
			if w := f.wires(); w != nil {
				w.secret(flow, line)
			}
		},
	}
}

// wires returns that of the readers there are.
func (f *Feed) wires() *Wire {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*Wire
	for _, r := range f.readers {
		all = append(all, r.w.Wire())
	}
	return Wires(all...)
}
