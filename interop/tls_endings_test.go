package interop

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/internal/peers"
)

// A server that leaves in the midst of a handshake, between two records or within one: the
// client sees it leave in the same way, and has the same to say.
func TestTLSAServerThatLeavesAtAnyStep(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root, "--bypassonfail", "off")
	for _, version := range []string{"1.2", "1.3"} {
		for how, reason := range map[string]string{fin: "tls_server", reset: "reset"} {
			steps := 0
			for step := (cut{of: bridge.Server, how: how}); ; step = step.next() {
				server := startCutter(t, step, dialer(t.Context(), onLoopback(s.tls), "direct", ""))
				asks := func(args ...string) peers.Result {
					res := run(t, "", "curl", asking(version, server.port()+"/", args...)...)
					res.Stderr = strings.ReplaceAll(res.Stderr, server.port(), "PORT")
					return res
				}
				direct := asks("--cacert", s.root)
				if direct.Code != 35 { // CURLE_SSL_CONNECT_ERROR
					break // that was behind the handshake
				}
				steps++
				if through := asks("--cacert", m.root, "-x", "socks5h://"+m.addrs[0]); through != direct {
					t.Errorf("TLS %s, %s: curl ends with\n%+v, without mitm\n%+v", version, step, through, direct)
				}
				if f := m.flow(t); f.EndedBy != "server" || f.Reason != reason {
					t.Errorf("TLS %s, %s: flow %+v, want reason %s by the server", version, step, f, reason)
				}
			}
			if steps < 10 {
				t.Errorf("TLS %s: the handshake is over after %d steps", version, steps)
			}
		}
	}
}

// next is further on: within a record, in its header or in its body, and then behind it.
func (c cut) next() cut {
	switch {
	case c.bytes > 0:
		c.records, c.bytes = c.records+1, 0
	case c.records%2 == 0:
		c.bytes = 3
	default:
		c.bytes = 20
	}
	return c
}

// asking are the arguments of curl for a page of localhost, from its port on, over one
// version of TLS.
func asking(version, page string, more ...string) []string {
	return curlArgs(append([]string{"--tlsv" + version, "--tls-max", version, "https://localhost:" + page}, more...)...)
}

// A client that leaves in the midst of a handshake: the server sees it leave in the same
// way.
func TestTLSAClientThatLeavesAtAnyStep(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root, "--bypassonfail", "off")
	for version, records := range map[string]int{"1.2": 4, "1.3": 3} {
		for _, how := range []string{fin, reset} {
			for step := (cut{of: bridge.Client, how: how}); step.records < records; step = step.next() {
				server := startCutter(t, uncut(bridge.Client), dialer(t.Context(), onLoopback(s.tls), "direct", ""))
				left := func(path, addr, root string) string {
					client := startCutter(t, step, dialer(t.Context(), addr, path, "localhost:"+server.port()))
					if res := run(t, "", "curl", asking(version, client.port()+"/", "--cacert", root)...); res.Code == 0 {
						t.Errorf("TLS %s, %s: curl is content", version, step)
					}
					how, err := server.ended(t.Context())
					if err != nil {
						t.Errorf("TLS %s, %s: %v", version, step, err)
					}
					return how
				}
				direct := left("direct", server.Addr().String(), s.root)
				if through := left("socks5", m.addrs[0], m.root); through != direct || direct != how {
					t.Errorf("TLS %s, %s: the server sees %s, without mitm %s", version, step, through, direct)
				}
				if f := m.flow(t); f.EndedBy != "client" {
					t.Errorf("TLS %s, %s: flow %+v, want one that the client ended", version, step, f)
				}
			}
		}
	}
}

// ended says how the next client has ended.
func (k *cutter) ended(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	select {
	case how := <-k.ends:
		return how, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the client to end: %w", ctx.Err())
	}
}

// Whoever goes silent in the midst of a handshake does not keep the other waiting: the
// deadline of a turn ends both sides. A hello that has not come whole is not yet one.
func TestTLSAPeerThatGoesSilentAtAnyStep(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root, "--bypassonfail", "off", "--tlstimeout", "1s")
	var clients sync.WaitGroup
	errs := make(chan error, 100)
	want := map[string]int{}
	for _, silent := range []struct {
		version string
		from    cut
		records int
	}{
		{"1.2", cut{of: bridge.Server, how: stall}, 5},
		{"1.3", cut{of: bridge.Server, how: stall}, 5},
		{"1.2", cut{of: bridge.Client, how: stall, records: 1}, 4},
		{"1.3", cut{of: bridge.Client, how: stall, records: 1}, 3},
	} {
		for step := silent.from; step.records < silent.records; step = step.next() {
			want["timeout by "+step.of.String()]++
			front, origin := s.between(t, m, step)
			args := asking(silent.version, front.port()+"/", "--cacert", m.root)
			clients.Go(func() {
				if err := ends(t.Context(), args, origin); err != nil {
					errs <- fmt.Errorf("TLS %s, %s: %w", silent.version, step, err)
				}
			})
		}
	}
	clients.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	got := map[string]int{}
	for _, f := range m.flows(t, want["timeout by client"]+want["timeout by server"]) {
		got[f.Reason+" by "+f.EndedBy]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("the flows ended with %v, want %v", got, want)
	}
}

// between puts a cutter on either side of mitm, one of which cuts, and returns the one in
// front of it and the one behind.
func (s site) between(t *testing.T, m *mitm, step cut) (front, origin *cutter) {
	t.Helper()
	server, client := uncut(bridge.Server), uncut(bridge.Client)
	if step.of == bridge.Server {
		server = step
	} else {
		client = step
	}
	origin = startCutter(t, server, dialer(t.Context(), onLoopback(s.tls), "direct", ""))
	return startCutter(t, client, dialer(t.Context(), m.addrs[0], "socks5", "localhost:"+origin.port())), origin
}

// ends wants a curl to end, but not by its own clock, and the server to be left.
func ends(ctx context.Context, args []string, origin *cutter) error {
	res, err := peers.Run(ctx, nil, "curl", args...)
	if err == nil && (res.Code == 0 || res.Code == 28) { // CURLE_OPERATION_TIMEDOUT
		err = fmt.Errorf("curl ends with %+v", res)
	}
	if err == nil {
		_, err = origin.ended(ctx)
	}
	return err
}
