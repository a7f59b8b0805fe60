package tlsbridge

import (
	"slices"
	"time"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/expiring"
)

// Sessions keeps the tickets that servers gave. Clients do not share them: the server could
// tell from a ticket which connections belong together (RFC 8446 §C.4). It holds those of
// 2,000 clients and servers for two hours at most. It is safe for concurrent use.
type Sessions struct {
	tickets *expiring.Cache[sessionKey, []*utls.ClientSessionState]
}

const (
	sessionsKept  = 2_000
	sessionsWhile = 2 * time.Hour

	// ticketsKept bounds the tickets of one client for one server. In TLS 1.3 each is
	// good for one connection, and browsers open some at once.
	ticketsKept = 4
)

// NewSessions returns an empty Sessions.
func NewSessions() *Sessions {
	return &Sessions{expiring.New[sessionKey, []*utls.ClientSessionState](sessionsKept)}
}

// sessionKey is one client's way to speak with one server.
type sessionKey struct {
	client string // its host
	server bridge.Addr
	name   string // server_name
	kind   string // of the client's program
}

// of returns the tickets of a flow's client for its server. They are used only if the client
// tries to resume a session of its own: its hello says so, and the server's must too.
func (s *Sessions) of(f *bridge.Flow, hello *detect.ClientHello) utls.ClientSessionCache {
	if s == nil {
		return nil
	}
	return &ticketDrawer{
		s, sessionKey{f.Client().Host, f.Target(), hello.ServerName, kindOf(hello)}, triesToResume(hello),
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
	d.sessions.tickets.Update(d.key, func(all []*utls.ClientSessionState, _ bool) ([]*utls.ClientSessionState, time.Duration) {
		if len(all) == 0 {
			return nil, 0
		}
		found, ok = all[len(all)-1], true
		if found.Vers() == utls.VersionTLS13 {
			all = slices.Clone(all[:len(all)-1])
		}
		if len(all) == 0 {
			return nil, 0
		}
		return all, sessionsWhile
	})
	return found, ok
}

// Put adds a ticket. Nil means that the last one was not good: the others are as old.
func (d *ticketDrawer) Put(_ string, ticket *utls.ClientSessionState) {
	d.sessions.tickets.Update(d.key, func(all []*utls.ClientSessionState, _ bool) ([]*utls.ClientSessionState, time.Duration) {
		if ticket == nil {
			return nil, 0
		}
		if len(all) >= ticketsKept {
			all = all[len(all)-ticketsKept+1:]
		}
		return append(slices.Clone(all), ticket), sessionsWhile
	})
}
