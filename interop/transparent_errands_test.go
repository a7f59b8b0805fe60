package interop

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// An errand is what a client does with a server that it knows nothing of a proxy of, and what is
// to be seen of it: in the flow log, at the server, and in a capture.
type errand struct {
	name   string
	port   int    // that the client means, of the server's address
	target string // of the flow; "" is that address and port
	path   string
	action string // "" is "allow"
	reason string // "" is "eof"

	do  func(t *testing.T, f protocolFamily) // what the client does; it must be content
	log serverLog
}

// A serverLog is what a server writes of its clients. ADDR and PORT stand for the client's in
// the pattern; not every server writes the port.
type serverLog struct {
	text  func(t *testing.T, f protocolFamily) string // nil: it writes none
	entry string
}

// keeping is a mode, and what is kept of the client's address.
type keeping struct{ mode, source string }

// inTheirName runs a test with each way to bring connections and each address to have towards
// servers, in a lab of its own. A sample has each way and each kept address once.
func inTheirName(t *testing.T, test func(t *testing.T, l routed, k keeping)) {
	t.Helper()
	cases := []keeping{{"redirect", "client"}, {"tproxy", "clientip"}}
	if os.Getenv("INTEROP") == "full" {
		cases = append(cases, keeping{"redirect", "clientip"}, keeping{"tproxy", "client"}, keeping{"redirect", ""}, keeping{"tproxy", ""})
	}
	for _, k := range cases {
		t.Run(strings.TrimSpace(k.mode+" "+k.source), func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			l.divert(t, k.mode, k.usesrc()...)
			l.servers.witness(t)
			test(t, l, k)
		})
	}
}

func (k keeping) usesrc() []string {
	if k.source == "" {
		return nil
	}
	return []string{"--usesrc", k.source}
}

// each makes the errands in turn, over both versions of IP, and returns what the flow log has of
// them.
func (l routed) each(t *testing.T, k keeping, m *mitm, errands []errand) (flows []peers.Flow) {
	t.Helper()
	for _, f := range protocolFamilies() {
		for _, e := range errands {
			if !t.Run(f.name+" "+e.name, func(t *testing.T) {
				before, logged := l.servers.witnessed(t, e.port), 0
				if e.log.text != nil {
					logged = len(e.log.text(t, f))
				}
				e.do(t, f)
				flow := m.flow(t)
				flows = append(flows, flow)
				e.checkFlow(t, f, flow)
				want := netip.MustParseAddrPort(flow.Client)
				if k.source == "" {
					want = netip.AddrPortFrom(netip.MustParseAddr(f.router()), want.Port())
				}
				l.servers.checkWitness(t, before, e.port, want, k.source == "client")
				if e.log.text != nil {
					e.log.check(t, f, m, logged, want, k.source == "client")
				}
			}) {
				t.FailNow() // the others would be of another flow
			}
		}
	}
	return flows
}

func (e errand) checkFlow(t *testing.T, f protocolFamily, flow peers.Flow) {
	t.Helper()
	if e.target == "" {
		e.target = net.JoinHostPort(f.server, fmt.Sprint(e.port))
	}
	if e.action == "" {
		e.action = "allow"
	}
	if e.reason == "" {
		e.reason = "eof"
	}
	if flow.Path != e.path || flow.Target != e.target || flow.Action != e.action || flow.Reason != e.reason || !strings.HasPrefix(flow.Client, bracketed(f.client)) {
		t.Errorf("flow %+v, want %+v", flow, e)
	}
	if tls := flow.TLS; e.action == "inspect" {
		if tls == nil || agreedOn(tls.Client) != agreedOn(tls.Server) || tls.Client.JA4 != tls.Server.JA4 || tls.Certificate.LeafSHA256 == tls.Certificate.ServerSHA256 {
			t.Errorf("TLS %+v, want the client's hello mirrored, and a leaf of ours", tls)
		}
	}
}

// check waits for an entry about a client behind what was logged before.
func (s serverLog) check(t *testing.T, f protocolFamily, m *mitm, before int, client netip.AddrPort, withPort bool) {
	t.Helper()
	port := `\d+`
	if withPort {
		port = fmt.Sprint(client.Port())
	}
	entry := regexp.MustCompile(strings.NewReplacer("ADDR", "(?:::ffff:)?"+regexp.QuoteMeta(client.Addr().String()), "PORT", port).Replace(s.entry))
	m.eventually(t, fmt.Sprintf("the server has logged %s", entry), func() bool { return entry.MatchString(s.text(t, f)[before:]) })
}

// witness has the kernel note who asks for a connection: also for those that are refused, and
// by the port, which not all servers log.
func (n namespace) witness(t *testing.T) {
	t.Helper()
	n.nft(t, `table inet witness {
	set four { typeof ip saddr . tcp sport . tcp dport; flags dynamic; size 65535; }
	set six { typeof ip6 saddr . tcp sport . tcp dport; flags dynamic; size 65535; }
	chain in {
		type filter hook input priority raw; policy accept;
		tcp flags & (syn | ack) == syn meta nfproto ipv4 add @four { ip saddr . tcp sport . tcp dport }
		tcp flags & (syn | ack) == syn meta nfproto ipv6 add @six { ip6 saddr . tcp sport . tcp dport }
	}
}
`)
}

var noted = regexp.MustCompile(`([0-9a-f.:]+) \. (\d+) \. (\d+)`)

// witnessed is who has asked for a port so far.
func (n namespace) witnessed(t *testing.T, port int) map[netip.AddrPort]bool {
	t.Helper()
	all := map[netip.AddrPort]bool{}
	for _, found := range noted.FindAllStringSubmatch(n.succeed(t, "nft", "-n", "list", "table", "inet", "witness"), -1) {
		if found[3] == fmt.Sprint(port) {
			all[netip.MustParseAddrPort(net.JoinHostPort(found[1], found[2]))] = true
		}
	}
	return all
}

// checkWitness holds that one has asked for a port since, and who it was.
func (n namespace) checkWitness(t *testing.T, before map[netip.AddrPort]bool, port int, want netip.AddrPort, withPort bool) {
	t.Helper()
	after := n.witnessed(t, port)
	maps.DeleteFunc(after, func(a netip.AddrPort, _ bool) bool { return before[a] })
	who := slices.Collect(maps.Keys(after))
	if len(who) != 1 || who[0].Addr() != want.Addr() || withPort && who[0] != want {
		t.Errorf("the server was asked by %v, want %v", who, want)
	}
}

// outward has a program that listens on loopback listen on all addresses of both families.
func outward(p peers.Program, changes ...string) peers.Program {
	change := strings.NewReplacer(changes...)
	p.Args, p.Files = slices.Clone(p.Args), maps.Clone(p.Files)
	for i := range p.Args {
		p.Args[i] = change.Replace(p.Args[i])
	}
	for name := range p.Files {
		if strings.Contains(name, "conf") || strings.HasSuffix(name, ".cfg") {
			p.Files[name] = change.Replace(p.Files[name])
		}
	}
	return p
}

func outwardNginx(c peers.NginxConfig) peers.Program {
	return outward(peers.Nginx(c),
		fmt.Sprintf("listen 127.0.0.1:%d", c.Plain), fmt.Sprintf("listen [::]:%d ipv6only=off", c.Plain),
		fmt.Sprintf("listen 127.0.0.1:%d", c.TLS), fmt.Sprintf("listen [::]:%d ipv6only=off", c.TLS),
		"access_log @HERE@/access.log;", "log_format peers '$remote_addr $remote_port $request_uri'; access_log @HERE@/access.log peers;")
}

// logOf is the log that a program writes into a file of its folder, or to stdout and stderr.
func logOf(p *peers.Process, file string) func(*testing.T, protocolFamily) string {
	return func(t *testing.T, _ protocolFamily) string {
		t.Helper()
		if file == "" {
			return p.Stdout() + p.Stderr()
		}
		text, err := os.ReadFile(p.Dir + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}
