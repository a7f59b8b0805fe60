package tlsbridge

import (
	"crypto/sha256"
	"slices"
	"time"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/expiring"
)

// Sessions keeps the tickets that servers gave. Clients do not share them: the server could
// tell from a ticket which connections belong together (RFC 8446 §C.4). It holds those of
// 2,000 clients and servers for two hours at most, but none that are larger than any that is
// needed. It is safe for concurrent use.
type Sessions struct {
	tickets *expiring.Cache[sessionKey, []ticket]
}

// ticket is one that a server gave.
type ticket struct {
	state *utls.ClientSessionState
	until time.Time
}

const (
	sessionsKept  = 2_000
	sessionsWhile = 2 * time.Hour

	// ticketsKept bounds the tickets of one client for one server. In TLS 1.3 each is
	// good for one connection, and browsers open some at once.
	ticketsKept = 4

	// largestSession is the most bytes of a ticket and of the certificates that are kept with
	// it. Servers that put the client's certificate into tickets stay below it.
	largestSession = 16 << 10
)

// NewSessions returns an empty Sessions.
func NewSessions() *Sessions {
	return &Sessions{expiring.New[sessionKey, []ticket](sessionsKept)}
}

// sessionKey is one client's way to speak with one server: of the client the host, the target,
// server_name, and the kind of the client's program.
type sessionKey [sha256.Size]byte

// of returns the tickets of a flow's client for its server. They are used only if the client
// tries to resume a session of its own: its hello says so, and the server's must too.
func (s *Sessions) of(f *bridge.Flow, hello *detect.ClientHello) utls.ClientSessionCache {
	if s == nil {
		return nil
	}
	return &ticketDrawer{
		s, hashed[sessionKey](f.Client().Host, f.Target().String(), hello.ServerName, kindOf(hello)), triesToResume(hello),
	}
}

// kindOf is the JA4 of a client's hello as it is when it has no session to resume. Padding
// is left out: OpenSSL pads hellos of some lengths, and a ticket makes it another.
func kindOf(hello *detect.ClientHello) string {
	first := *hello
	first.Extensions = slices.DeleteFunc(slices.Clone(hello.Extensions), func(e detect.Extension) bool {
		return e.ID == extPreSharedKey || e.ID == extEarlyData || e.ID == extPadding
	})
	return first.JA4()
}

const (
	extPadding       = 21
	extSessionTicket = 35
	extPreSharedKey  = 41
	extEarlyData     = 42
)

// triesToResume reports whether a hello names a session: by a ticket of either kind, or
// below TLS 1.3 by its identifier, which in TLS 1.3 means nothing.
func triesToResume(hello *detect.ClientHello) bool {
	ticket, _ := hello.Extension(extSessionTicket)
	return hello.HasPreSharedKey || len(ticket) > 0 || len(hello.SessionID) > 0 && hello.MaxVersion() < utls.VersionTLS13
}

// ticketDrawer is the tickets of one client for one server, for one handshake. What utls
// calls a key is nothing here.
type ticketDrawer struct {
	sessions *Sessions
	key      sessionKey
	open     bool // tickets may be taken out
}

// Get takes the newest ticket. One of TLS 1.3 is gone then.
func (d *ticketDrawer) Get(string) (found *utls.ClientSessionState, ok bool) {
	if !d.open {
		return nil, false
	}
	d.sessions.tickets.Update(d.key, func(all []ticket, _ bool) ([]ticket, time.Duration) {
		if len(all) == 0 {
			return nil, 0
		}
		newest := all[len(all)-1]
		if time.Now().Before(newest.until) {
			found, ok = newest.state, true
		}
		if newest.state.Vers() == utls.VersionTLS13 {
			all = slices.Clone(all[:len(all)-1])
		}
		return kept(all)
	})
	return found, ok
}

// Put adds a ticket. Nil means that the last one was not good: the others are as old.
func (d *ticketDrawer) Put(_ string, state *utls.ClientSessionState) {
	d.sessions.tickets.Update(d.key, func(all []ticket, _ bool) ([]ticket, time.Duration) {
		switch {
		case state == nil:
			return nil, 0
		case sizeOf(state) > largestSession:
			return kept(all)
		case len(all) >= ticketsKept:
			all = all[len(all)-ticketsKept+1:]
		}
		return kept(append(slices.Clone(all), ticket{state, time.Now().Add(sessionsWhile)}))
	})
}

// kept is tickets, the newest last, and for how long one of them is good.
func kept(all []ticket) ([]ticket, time.Duration) {
	if len(all) == 0 {
		return nil, 0
	}
	return all, time.Until(all[len(all)-1].until)
}

func sizeOf(state *utls.ClientSessionState) int {
	size := len(state.SessionTicket())
	for _, c := range state.ServerCertificates() {
		size += len(c.Raw)
	}
	return size
}
