package capture

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// conversation is a flow that is captured. Its first part is used by the flow's
// goroutines, tcp by the one that writes.
type conversation struct {
	w      *Writer
	flow   *bridge.Flow
	plain  bool        // nothing was decrypted
	queued atomic.Bool // something of it is, or was, in the queue
	lost   atomic.Bool // the capture gave up on it

	begin sync.Once // sets ends, when something is queued for the first time
	ends  [2]netip.AddrPort

	tcp tcpState
}

// tap is asked once per flow, when application data begins.
func (w *Writer) tap(f *bridge.Flow) func(bridge.Side, []byte) {
	plain := !isDecrypted(f)
	if plain && !w.config.All {
		return nil
	}
	c := &conversation{w: w, flow: f, plain: plain}
	w.flows.Store(f, c)
	return c.show
}

// isDecrypted reports whether the flow's application data was encrypted on the wire
// and is not where it is observed. In a flow that ends in a layer which only lets
// through, another may have been decrypted, but that one's data is still encrypted.
func isDecrypted(f *bridge.Flow) bool {
	frames := f.Frames()
	return f.Decrypted() && frames[len(frames)-1].Verb != bridge.VerbPass
}

// show queues a copy of what a side sent.
func (c *conversation) show(from bridge.Side, b []byte) {
	if len(b) == 0 || c.lost.Load() {
		return
	}
	c.begin.Do(c.resolve)
	e := event{c: c, at: time.Now(), size: len(b), kind: kindData, from: from}
	if c.w.queue.put(e, b) {
		c.queued.Store(true)
		return
	}
	c.starve(e)
}

// starve gives up on the conversation because there was no room for an event.
func (c *conversation) starve(e event) {
	if !c.giveUp() {
		return
	}
	c.w.starved(c.flow)
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

// end is told of every flow's end. For that there is always room when something of the
// conversation is in the capture: there are only as many of these as flows at a time.
// With room for all, a destination that hangs would cost memory for each flow that comes.
func (w *Writer) end(f *bridge.Flow, out bridge.Outcome) {
	v, ok := w.flows.LoadAndDelete(f)
	if !ok {
		return
	}
	c := v.(*conversation)
	if c.lost.Load() {
		return
	}
	// A flow that we end is ended, towards its client, by what stands for the server.
	e := event{c: c, at: time.Now(), kind: kindRST, from: bridge.Server}
	if out.EndedBy == bridge.ByClient {
		e.from = bridge.Client
	}
	if out.Reason == bridge.EOF {
		e.kind = kindFIN
	}
	c.begin.Do(c.resolve)
	if c.queued.Load() {
		w.queue.tryPut(e, nil, true)
	} else if !w.queue.put(e, nil) {
		c.starve(e)
	}
}

// resolve sets the addresses that a conversation is written with, both of one family.
// A flow may be tapped before its server is known; when its first byte moves, it is.
func (c *conversation) resolve() {
	target := c.flow.Target()
	client, server := firstIP(c.flow.Client(), c.flow.Peer()), firstIP(target, c.flow.Server())
	port := target.Port // the server's socket may be that of another proxy
	if port == 0 {
		port = c.flow.Server().Port
	}
	if !c.plain {
		port = c.w.config.portOf(c.flow, port)
	}
	clientIP, serverIP := sameFamily(client.Addr(), server.Addr())
	c.ends = [2]netip.AddrPort{
		bridge.Client: netip.AddrPortFrom(clientIP, client.Port()),
		bridge.Server: netip.AddrPortFrom(serverIP, port),
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
