package capture

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// conversation is a view of a flow that is captured. Its first part is used by the flow's
// goroutines, what comes after that by the one that writes.
type conversation struct {
	w      *Writer
	story  *story // nil: a socket of which no flow is known; nothing of it is written
	view   View
	start  time.Time
	plain  bool        // nothing was decrypted
	queued atomic.Bool // something of it is, or was, in the queue
	lost   atomic.Bool // the capture gave up on it

	shown [2]int64        // bytes by their side, each counted by that direction's goroutine
	cut   [2]atomic.Int64 // of them, those beyond the cutoff

	begin sync.Once // sets ends, when something is queued for the first time
	ends  [2]netip.AddrPort

	tcp    tcpState
	inFile int // the last file that a packet of it was written to; 0: none was
}

// tap is asked once per flow, when application data begins.
func (w *Writer) tap(f *bridge.Flow) func(bridge.Side, []byte) {
	plain := !isDecrypted(f)
	if plain && !w.config.All || !w.wants(ViewDecrypted) {
		return nil
	}
	s := w.story(f)
	s.decrypted = &conversation{w: w, story: s, view: ViewDecrypted, start: f.Start(), plain: plain}
	return s.decrypted.show
}

// wants reports whether a view is written.
func (w *Writer) wants(v View) bool { return slices.Contains(w.config.views(), v) }

// isDecrypted reports whether the flow's application data was encrypted on the wire
// and is not where it is observed. In a flow that ends in a layer which only lets
// through, another may have been decrypted, but that one's data is still encrypted.
func isDecrypted(f *bridge.Flow) bool {
	frames := f.Frames()
	return f.Decrypted() && frames[len(frames)-1].Verb != bridge.VerbPass
}

// show queues a copy of what a side sends now.
func (c *conversation) show(from bridge.Side, b []byte) { c.showAt(time.Now(), from, b) }

func (c *conversation) showAt(at time.Time, from bridge.Side, b []byte) {
	if c.lost.Load() {
		return
	}
	if b = c.uncut(from, b); len(b) == 0 {
		return
	}
	c.begin.Do(c.resolve)
	e := event{c: c, at: at, size: len(b), kind: kindData, from: from}
	if c.w.queue.put(e, b) {
		c.queued.Store(true)
		return
	}
	c.starve(e)
}

// uncut returns what of b is before the cutoff.
func (c *conversation) uncut(from bridge.Side, b []byte) []byte {
	limit := c.w.config.Cutoff
	if limit == 0 {
		return b
	}
	n := min(int64(len(b)), limit-c.shown[from])
	c.shown[from] += n
	c.cut[from].Add(int64(len(b)) - n)
	return b[:n]
}

// starve gives up on the conversation because there was no room for an event.
func (c *conversation) starve(e event) {
	if !c.giveUp() {
		return
	}
	c.w.starved(c.story.flow)
	e.kind = kindGap
	c.w.queue.tryPut(e, nil, c.queued.Load())
}

// giveUp reports whether the caller is the first to give up on the conversation.
func (c *conversation) giveUp() bool {
	if c.lost.Swap(true) {
		return false
	}
	c.w.count.lost.Add(1)
	return true
}

// end is told of every flow's end.
func (w *Writer) end(f *bridge.Flow, out bridge.Outcome) {
	v, ok := w.flows.LoadAndDelete(f)
	if !ok {
		return
	}
	c := v.(*story).decrypted
	if c == nil {
		return
	}
	// A flow that we end is ended, towards its client, by what stands for the server.
	how, from := kindRST, bridge.Server
	if out.EndedBy == bridge.ByClient {
		from = bridge.Client
	}
	if out.Reason == bridge.EOF {
		how = kindFIN
	}
	c.end(how, from)
}

// end queues the end of the conversation. For that there is always room when something of
// it is in the capture: there are only as many of these as flows at a time. With room for
// all, a destination that hangs would cost memory for each flow that comes.
func (c *conversation) end(how kind, from bridge.Side) {
	if c.lost.Load() {
		return
	}
	c.begin.Do(c.resolve)
	e := event{c: c, at: time.Now(), kind: how, from: from}
	if c.queued.Load() {
		c.w.queue.tryPut(e, nil, true)
	} else if !c.w.queue.put(e, nil) {
		c.starve(e)
	}
}

// resolve sets the addresses that a decrypted flow is written with, both of one family;
// those of a socket are known before. A flow may be tapped before its server is known;
// when its first byte moves, it is.
func (c *conversation) resolve() {
	if c.view != ViewDecrypted {
		return
	}
	f := c.story.flow
	target := f.Target()
	client, server := firstIP(f.Client(), f.Peer()), firstIP(target, f.Server())
	port := target.Port // the server's socket may be that of another proxy
	if port == 0 {
		port = f.Server().Port
	}
	if !c.plain {
		port = c.w.config.portOf(f, port)
	}
	c.ends = endsOf(client, netip.AddrPortFrom(server.Addr(), port))
}

// endsOf returns the ends of a conversation, as addresses of one family.
func endsOf(client, server netip.AddrPort) [2]netip.AddrPort {
	clientIP, serverIP := sameFamily(client.Addr(), server.Addr())
	return [2]netip.AddrPort{
		bridge.Client: netip.AddrPortFrom(clientIP, client.Port()),
		bridge.Server: netip.AddrPortFrom(serverIP, server.Port()),
	}
}

// firstIP returns the first of addrs whose host is an IP address, else the zero one.
func firstIP(addrs ...bridge.Addr) netip.AddrPort {
	for _, a := range addrs {
		if ip, ok := a.IP(); ok {
			return netip.AddrPortFrom(ip.WithZone(""), a.Port)
		}
	}
	return netip.AddrPort{}
}

// sameFamily makes two addresses one family's: the unspecified address for one that is
// not known, and an IPv4-mapped one (RFC 4291 §2.5.5.2) beside an IPv6 one.
func sameFamily(a, b netip.Addr) (netip.Addr, netip.Addr) {
	if a.Is6() || b.Is6() {
		return asIPv6(a), asIPv6(b)
	}
	return asIPv4(a), asIPv4(b)
}

func asIPv6(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16(a.As16())
}

func asIPv4(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv4Unspecified()
	}
	return a
}

// innermostALPN returns the application protocol that was negotiated last.
func innermostALPN(f *bridge.Flow) string {
	for _, frame := range slices.Backward(f.Frames()) {
		if frame.ALPN != "" {
			return frame.ALPN
		}
	}
	return ""
}

// decryptedPort returns the port of the protocol that is left when TLS is taken off, so
// that readers know what to look for. HTTP/2 on a port that says nothing is written as
// on port 80: unlike HTTP/1.1, readers do not recognise it by its bytes alone.
func decryptedPort(port uint16, alpn string) uint16 {
	switch port {
	case 443: // https
		return 80
	case 465: // smtps
		return 25
	case 563: // nntps
		return 119
	case 636: // ldaps
		return 389
	case 853: // DNS over TLS
		return 53
	case 990: // ftps
		return 21
	case 993: // imaps
		return 143
	case 995: // pop3s
		return 110
	case 5061: // sips
		return 5060
	case 5671: // amqps
		return 5672
	case 6697: // ircs
		return 6667
	case 8443: // https
		return 8080
	case 8883: // mqtts
		return 1883
	}
	if alpn == "h2" {
		return 80
	}
	return port
}
