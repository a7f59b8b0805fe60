package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A matrix is what the cells of a run share.
type matrix struct {
	*servers
	clients map[string]tlsClient
	mitm    *mitm     // for what is below a proxy
	log     *flowTail // its
}

// originsOf are the origins of cells, each once.
func originsOf(cells []cell) []origin {
	var list []origin
	seen := map[origin]bool{}
	for _, c := range cells {
		if o := c.origin(); !seen[o] {
			seen[o] = true
			list = append(list, o)
		}
	}
	return list
}

func startMatrix(t *testing.T, cells []cell) *matrix {
	t.Helper()
	m := &matrix{servers: startServers(t, originsOf(cells))}
	m.mitm = startMitm(t, m.flags("--listen", "127.0.0.1:0")...)
	m.log = &flowTail{file: m.mitm.flowLog}
	m.clients = m.startClients(t)
	return m
}

// flags are those of each mitm of the matrix. A client that leaves must not change what
// becomes of the next one.
func (m *matrix) flags(more ...string) []string {
	return append([]string{"--trust", m.root, "--no-system-roots", "--bypassonfail", "off"}, more...)
}

func (m *matrix) startClients(t *testing.T) map[string]tlsClient {
	t.Helper()
	clients := map[string]tlsClient{
		"curl": curlClient{}, "wget": wgetClient{}, "gnutls-cli": gnutlsClient{}, "go": goClient{}, "firefox": newFirefoxClient(t),
	}
	for name, args := range opensslVariants() {
		clients[name] = opensslClient{args}
	}
	for name, program := range map[string]func(int) peers.Program{
		"node": peers.NodeTunnel, "python": peers.PythonTunnel, "java": peers.JavaTunnel,
	} {
		port := reserve(t)
		start(t, program(port))
		clients[name] = tunnelClient{peers.NewTunnel(port)}
	}
	program, err := peers.Chromium(readText(t, m.root), readText(t, m.mitm.root))
	if err != nil {
		t.Fatal(err)
	}
	chromium, err := driveChromium(t.Context(), start(t, program))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chromium.close)
	clients["chromium"] = chromium
	return clients
}

// matrixWorkers is how many servers are visited at once; a server is visited by one
// client after the other, since s_server knows no other way.
const matrixWorkers = 3

// run tries all cells.
func (m *matrix) run(ctx context.Context, cells []cell) ([]outcome, error) {
	groups := make(chan origin)
	var mu sync.Mutex
	var outcomes []outcome
	var failed error
	var workers sync.WaitGroup
	for range matrixWorkers {
		workers.Go(func() {
			for o := range groups {
				got, err := m.group(ctx, o, slices.DeleteFunc(slices.Clone(cells), func(c cell) bool { return c.origin() != o }))
				mu.Lock()
				outcomes, failed = append(outcomes, got...), errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, o := range originsOf(cells) {
		groups <- o
	}
	close(groups)
	workers.Wait()
	slices.SortFunc(outcomes, func(a, b outcome) int { return strings.Compare(a.String(), b.String()) })
	return outcomes, failed
}

// group tries the cells of one origin.
func (m *matrix) group(ctx context.Context, o origin, cells []cell) ([]outcome, error) {
	addr, stop, err := m.start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer stop()
	server, err := newRecorder(dialer(ctx, addr, "direct", ""))
	if err != nil {
		return nil, err
	}
	defer server.Close()
	g := &group{matrix: m, origin: o, server: server, direct: map[string]error{}}
	defer g.stop()
	var outcomes []outcome
	for _, c := range cells {
		direct, ok := g.direct[c.client]
		if !ok {
			direct = g.withoutUs(ctx, c)
			g.direct[c.client] = direct
		}
		result := outcome{cell: c, direct: direct}
		if direct == nil {
			result.bridged = g.bridge(ctx, c)
		}
		outcomes = append(outcomes, result)
	}
	return outcomes, nil
}

// A group is what the cells of one origin share.
type group struct {
	*matrix
	origin origin
	server *recorder        // in front of the origin: mitm's server
	direct map[string]error // by client: how the pair fares without us

	proc *peers.Process // the mitm that leads to this server and to no other, once it is needed
	addr string         // its
	log  *flowTail      // its
}

// reverse returns the mitm in front of the server, for clients that know of no proxy.
// It has the authority of the other mitm.
func (g *group) reverse(ctx context.Context) (addr string, log *flowTail, err error) {
	if g.proc == nil {
		file, err := build()
		if err != nil {
			return "", nil, err
		}
		p := peers.Mitm(file, g.flags("--listen", "127.0.0.1:0", "--connect", g.server.addr(), "-f", peers.Here+"/flows.jsonl")...)
		p.Env = append(p.Env, "XDG_CONFIG_HOME="+g.mitm.Dir+"/config")
		proc, err := peers.Start(ctx, p)
		if err != nil {
			return "", nil, err
		}
		g.proc, g.addr, g.log = proc, peers.Listeners(proc.Stderr())[0], &flowTail{file: proc.Dir + "/flows.jsonl"}
	}
	return g.addr, g.log, nil
}

func (g *group) stop() {
	if g.proc != nil {
		g.proc.Stop()
	}
}

// A flowTail reads a flow log that grows.
type flowTail struct {
	file string

	mu    sync.Mutex
	read  int64
	flows map[string]peers.Flow // by client address
}

// await returns the line of a flow once it is there.
func (l *flowTail) await(ctx context.Context, client string) (peers.Flow, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		f, ok, err := l.find(client)
		if ok || err != nil {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return peers.Flow{}, fmt.Errorf("flow of %s: %w", client, ctx.Err())
		}
	}
}

func (l *flowTail) find(client string) (peers.Flow, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.more(); err != nil {
		return peers.Flow{}, false, err
	}
	f, ok := l.flows[client]
	delete(l.flows, client) // its port will be another's
	return f, ok, nil
}

func (l *flowTail) more() error {
	file, err := os.Open(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == l.read {
		return err
	}
	text := make([]byte, info.Size()-l.read)
	if _, err := file.ReadAt(text, l.read); err != nil {
		return err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	flows, err := peers.ParseFlows(text)
	if err != nil {
		return err
	}
	l.read += int64(len(text))
	if l.flows == nil {
		l.flows = map[string]peers.Flow{}
	}
	for _, f := range flows {
		l.flows[f.Client] = f
	}
	return nil
}
