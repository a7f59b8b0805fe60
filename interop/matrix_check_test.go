package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/peers"
)

// visit lets a client of the matrix have the page through a recorder.
func (g *group) visit(ctx context.Context, c cell, front *recorder, root, target string) error {
	client := g.clients[c.client]
	v := visit{at: front.addr(), path: c.path, name: matrixName, root: root, http2: c.origin().speaksHTTP2()}
	v.alpn = map[string][]string{"h2": {"h2", "http/1.1"}, "h1": {"http/1.1"}}[c.alpn]
	if c.path != "direct" && client.knows(c.path) {
		v.target = target
	}
	patience := runTimeout
	if c.unable() != "" {
		patience /= 10 // the two may well wait for each other
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	page, err := client.visit(ctx, v)
	switch {
	case errors.Is(err, errReplayed):
		return nil
	case err != nil:
		return fmt.Errorf("client: %w", err)
	case page != g.page:
		return fmt.Errorf("client: a page of %d bytes, want another of %d: %.200q", len(page), len(g.page), page)
	}
	return nil
}

// withoutUs holds that a client and a server do what a cell says when nobody stands
// in between them.
func (g *group) withoutUs(ctx context.Context, c cell) error {
	c.path = "direct"
	if err := g.visit(ctx, c, g.server, g.root, ""); err != nil {
		g.server.take()
		return err
	}
	seen, err := legs(g.server.take(), "direct")
	if err != nil {
		return err
	}
	for _, l := range seen {
		if got := c.origin().negotiates(l.hello.ALPN); got != c.origin().protocol() {
			return fmt.Errorf("ALPN: client offers %q, so they agree on %q", l.hello.ALPN, got)
		}
		if got := versionName(l.agreed.version); got != c.version {
			return fmt.Errorf("version %s", got)
		}
	}
	return nil
}

// bridge holds that a cell is bridged as it should be.
func (g *group) bridge(ctx context.Context, c cell) error {
	addr, log := g.mitm.addrs[0], g.matrix.log
	target := matrixName + ":" + g.server.port()
	if c.path == "direct" {
		var err error
		if addr, log, err = g.reverse(ctx); err != nil {
			return err
		}
	}
	asks, above := c.path, "direct" // what the recorder asks for, and what the client does
	if g.clients[c.client].knows(c.path) {
		asks, above = above, asks
	}
	front, err := newRecorder(dialer(ctx, addr, asks, target))
	if err != nil {
		return err
	}
	defer front.Close()
	visited := g.visit(ctx, c, front, g.mitm.root, target)
	calls := front.take()
	fromClient, err := legs(calls, above)
	atServer, err2 := legs(g.server.take(), "direct")
	flows, err3 := awaitFlows(ctx, log, calls)
	if err := errors.Join(visited, err, err2, err3); err != nil {
		return fmt.Errorf("%w\nin the flow log: %+v", err, flows)
	}
	if err := errors.Join(compareLegs(fromClient, atServer), checkFlows(c, flows, fromClient, atServer)); err != nil {
		return fmt.Errorf("%w\nin the flow log: %+v", err, flows)
	}
	return sameHellos(fromClient, atServer)
}

// otherHello is a cell that is bridged all right, but with another hello than the
// client's, the client's own having been tried or known to be of no use.
type otherHello struct{ why string }

func (o *otherHello) Error() string { return o.why }

// sameHellos holds that the server was shown what the client said, and nothing else.
func sameHellos(client, server []leg) error {
	got, want := sortedLegs(server, fingerprints), sortedLegs(client, fingerprints)
	if !slices.Equal(got, want) {
		return &otherHello{fmt.Sprintf("the server sees %q, want %q", got, want)}
	}
	return nil
}

// A leg is a connection on one side of mitm, as it was recorded.
type leg struct {
	hello  *detect.ClientHello
	agreed agreement
}

func legs(calls []*conversation, path string) ([]leg, error) {
	var list []leg
	for _, c := range calls {
		up, err := below(c.fromClient.bytes(), skipRequest, path)
		if err != nil {
			return nil, err
		}
		down, err := below(c.fromServer.bytes(), skipAnswer, path)
		if err != nil {
			return nil, err
		}
		var l leg
		if l.hello, _, err = detect.ParseClientHello(up); err != nil {
			return nil, fmt.Errorf("parse ClientHello: %w", err)
		}
		if l.agreed, err = readAgreement(down); err != nil {
			return nil, fmt.Errorf("answer to a ClientHello: %w", err)
		}
		list = append(list, l)
	}
	return list, nil
}

// compareLegs holds that both handshakes came to the same, in the words of neither of
// the peers, nor of mitm. A client's only connection may have cost several at the
// server, of which the last one counts.
func compareLegs(client, server []leg) error {
	last := server
	if len(client) == 1 && len(server) > 1 {
		last = server[len(server)-1:]
	}
	if len(client) == 0 || len(client) != len(last) {
		return fmt.Errorf("%d connections of the client, %d at the server", len(client), len(server))
	}
	faithful := sameHellos(client, server) == nil
	answer := func(l leg) string { return l.agreed.comparable(faithful) }
	if got, want := sortedLegs(client, answer), sortedLegs(last, answer); !slices.Equal(got, want) {
		return fmt.Errorf("the client is answered %q, want %q", got, want)
	}
	for _, c := range client {
		if slices.ContainsFunc(server, func(s leg) bool { return bytes.Equal(c.hello.Random, s.hello.Random) }) {
			return errors.New("the client's own hello reached the server")
		}
	}
	return nil
}

// comparable is what has to be the same on both sides. TLS 1.3 leaves us no choice of
// the cipher suite. Another hello may well have the key share that a server missed.
func (a agreement) comparable(faithful bool) string {
	if a.version == tls.VersionTLS13 {
		a.suite = 0
	}
	a.retry = a.retry && faithful
	return fmt.Sprintf("version %x, suite %x, group %x, ALPN %q, retry %v", a.version, a.suite, a.group, a.alpn, a.retry)
}

func fingerprints(l leg) string { return l.hello.JA3() + " " + l.hello.JA4() }

func sortedLegs(legs []leg, f func(leg) string) []string {
	var list []string
	for _, l := range legs {
		list = append(list, f(l))
	}
	slices.Sort(list)
	return list
}

func versionName(v uint16) string {
	return map[uint16]string{0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}[v]
}

// awaitFlows returns mitm's own account of each connection.
func awaitFlows(ctx context.Context, log *flowTail, calls []*conversation) ([]peers.Flow, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	var flows []peers.Flow
	for _, c := range calls {
		f, err := log.await(ctx, c.server.LocalAddr().String())
		if err != nil {
			return flows, err
		}
		flows = append(flows, f)
	}
	return flows, nil
}

// checkFlows holds the flows against the cell, and against what was recorded.
func checkFlows(c cell, flows []peers.Flow, client, server []leg) error {
	shown := sortedLegs(server, fingerprints)
	for i, f := range flows {
		if f.Action != "inspect" || f.TLS == nil {
			return fmt.Errorf("action %s", f.Action)
		}
		if got, want := f.TLS.Client.JA3+" "+f.TLS.Client.JA4, fingerprints(client[i]); got != want {
			return fmt.Errorf("the client's fingerprints %s, want %s", got, want)
		}
		if got := f.TLS.Server.JA3 + " " + f.TLS.Server.JA4; !slices.Contains(shown, got) {
			return fmt.Errorf("fingerprints for the server %s, want one of %q", got, shown)
		}
		if err := checkSides(c, f.TLS, client[i].agreed.group != 0); err != nil {
			return err
		}
	}
	return nil
}

// checkSides holds mitm's account of both handshakes against the cell. That of Firefox
// with its client has no end.
func checkSides(c cell, f *peers.FlowTLS, grouped bool) error {
	sides := map[string]peers.FlowTLSSide{"client": f.Client, "server": f.Server}
	if c.client == "firefox" {
		delete(sides, "client")
	}
	want := [3]string{c.version, c.origin().protocol(), f.Server.Group}
	for name, side := range sides {
		if got := [3]string{side.Version, side.ALPN, side.Group}; got != want || grouped != (side.Group != "") {
			return fmt.Errorf("%s side: version, ALPN and group %q, want %q", name, got, want)
		}
	}
	if cert := f.Certificate; len(sides) == 2 && (cert.Verdict != "ok" || cert.LeafSHA256 == "" || cert.LeafSHA256 == cert.ServerSHA256) {
		return fmt.Errorf("certificates %+v, want a valid one and one of ours", cert)
	}
	return nil
}
