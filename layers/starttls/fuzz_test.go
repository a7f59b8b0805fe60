package starttls_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

func allLayers() []func() bridge.Layer {
	return []func() bridge.Layer{
		starttls.SMTP, starttls.FTP, starttls.Reply220, starttls.IMAP, starttls.POP3, starttls.NNTP, starttls.ManageSieve, starttls.XMPP,
		starttls.LDAP, starttls.PostgreSQL, starttls.MySQL, starttls.IRC, starttls.RDP, starttls.TDS, starttls.Generic,
	}
}

// FuzzConversation has peers say anything, in pieces that a byte of the input chooses, and holds each layer to this: a
// flow that ends in order has brought each peer all that the other one has said; any other ends for a reason that is
// no fault of ours, and has brought it a beginning of that. (The layer behind relays; where TDS unwraps, what it is given
// is not what was said.)
func FuzzConversation(f *testing.F) {
	for i := range allLayers() {
		for _, u := range upgrades() {
			var said [2]string
			for _, w := range u.script {
				said[w.from] += w.words
			}
			f.Add(uint8(i), uint8(255), []byte(said[bridge.Client]), []byte(said[bridge.Server]))
			f.Add(uint8(i), uint8(3), []byte(said[bridge.Client]+"QUIT\r\n"), []byte(said[bridge.Server]+"221 \r\n"))
		}
	}
	f.Fuzz(func(t *testing.T, which, piece uint8, fromClient, fromServer []byte) {
		all := allLayers()
		layer := all[int(which)%len(all)]()
		if len(fromClient)+len(fromServer) > 1<<12 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			converse(t, layer, 1+int(piece), fromClient, fromServer)
		})
	})
}

// converse has both peers speak in turn, a piece at a time.
func converse(t *testing.T, layer bridge.Layer, piece int, fromClient, fromServer []byte) {
	client, ours := Pipe(1 << 16)
	server, dialled := Pipe(1 << 16)
	var flow *bridge.Flow
	proxy := &bridge.Proxy{
		Handler:  bridge.Chain(layer, inner()),
		Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25}),
		Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		Observer: &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }},
	}
	done := make(chan bridge.Outcome, 1)
	go func() { done <- proxy.ServeConn(t.Context(), ours) }()
	for up, down := fromClient, fromServer; len(up)+len(down) > 0; {
		up, down = said(client, up, piece), said(server, down, piece)
	}
	client.CloseWrite()
	server.CloseWrite()
	out := <-done
	dialled.Close()
	got := [2]string{}
	for side, c := range [2]net.Conn{bridge.Client: server, bridge.Server: client} {
		b, _ := io.ReadAll(c)
		got[side] = string(b)
		c.Close()
	}
	if out.Reason == bridge.Internal || out.Reason == bridge.Panic {
		t.Fatalf("outcome %+v", out)
	}
	if strings.HasPrefix(flow.Path(), "tds>inner") {
		return
	}
	for side, said := range [2]string{bridge.Client: string(fromClient), bridge.Server: string(fromServer)} {
		if !strings.HasPrefix(said, got[side]) || out.Reason == bridge.EOF && got[side] != said {
			t.Errorf("path %s, outcome %+v: of the %s's %q the other side got %q", flow.Path(), out, bridge.Side(side), said, got[side])
		}
	}
}

// said writes a piece, and returns the rest. A conn that the flow's end has closed takes nothing.
func said(c net.Conn, words []byte, piece int) []byte {
	synctest.Wait()
	n := min(len(words), piece)
	c.Write(words[:n])
	return words[n:]
}
