package interop

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// Many short flows leave nothing behind: no descriptors, ports or entries of the kernel's
// connection tracking.
func TestTransparentCrowd(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		n, full := 400, os.Getenv("INTEROP") == "full"
		if full {
			n = 10_000
		}
		l.makeRoom(t, mode, n)
		l.divert(t, mode, "--usesrc", "clientip")
		var servers []string
		for _, f := range protocolFamilies() {
			for port := range 2 {
				servers = append(servers, net.JoinHostPort(f.server, fmt.Sprint(7+port)))
				l.servers.echoes(t, servers[len(servers)-1])
			}
		}
		m := l.transparently(t, mode, "--usesrc", "clientip")
		for i, server := range servers { // what is opened once for all is open
			if err := l.clients.saysBriefly(server, n+i); err != nil {
				t.Fatal(err)
			}
		}
		m.flows(t, len(servers))
		before := m.descriptors(t)
		var clients errgroup.Group
		clients.SetLimit(64)
		for i := range n {
			clients.Go(func() error { return l.clients.saysBriefly(servers[i%len(servers)], i) })
		}
		if err := clients.Wait(); err != nil {
			t.Error(err)
		}
		counts := map[string]int{}
		for _, f := range m.flows(t, len(servers)+n) {
			counts[f.Target]++
			if f.Reason != "eof" || f.Bytes.FromClient != 7 || f.Bytes.FromServer != 7 {
				t.Errorf("flow %+v", f)
			}
		}
		for _, server := range servers {
			if want := 1 + n/len(servers); counts[server] != want {
				t.Errorf("%d flows to %s, want %d", counts[server], server, want)
			}
		}
		m.settles(t, before)
		seen := l.router.tracked(t)
		for _, name := range []string{"insert_failed", "drop", "early_drop"} {
			if seen[name] != 0 {
				t.Errorf("connection tracking had %d times %q: %v", seen[name], name, seen)
			}
		}
		// One of the client, one to the server. The kernel takes its time to collect what is over.
		if entries, most := l.router.entries(t), 2*(len(servers)+n); entries > most {
			t.Errorf("%d connections are tracked, want at most %d", entries, most)
		}
		if full {
			m.eventually(t, "no connection is tracked", func() bool { return l.router.entries(t) == 0 })
		}
		if left := l.router.succeed(t, "ss", "-Htan", "state", "connected", "exclude", "time-wait"); left != "" {
			t.Errorf("the router has kept\n%s", left)
		}
	})
}

// makeRoom sets what n flows take, of both families to two ports each. A port is taken for a
// minute after its flow, so there are a quarter more of them than flows to one port of a server,
// and less than to both: they must be told apart by the destination, too. What is tracked is
// forgotten soon after its end.
//
// With redirect, a few ports are the clients' and the router's: some connections of the router's
// have a client's address, and a port that the client has, too. With TPROXY that works as well, but
// where both begin at the same moment conntrack drops a packet, which the test is to see of others.
func (l routed) makeRoom(t *testing.T, mode string, n int) {
	t.Helper()
	ports := n / 4 * 5 / 4
	common := map[string]int{"redirect": ports / 16}[mode]
	for host, first := range map[namespace]int{l.clients: 20000, l.router: 20000 + ports - common} {
		host.succeed(t, "sysctl", "-qw", fmt.Sprintf("net.ipv4.ip_local_port_range=%d %d", first, first+ports))
	}
	for _, state := range []string{"time_wait", "close", "last_ack"} {
		l.router.succeed(t, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_"+state+"=2")
	}
}

// echoes sends everybody back what he says.
func (n namespace) echoes(t *testing.T, address string) {
	t.Helper()
	ln := n.listen(t, address)
	var serving errgroup.Group
	serving.Go(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return nil
			}
			serving.Go(func() error { defer c.Close(); io.Copy(c, c); return nil })
		}
	})
	t.Cleanup(func() { ln.Close(); serving.Wait() })
}

// saysBriefly wants back from an echo what it says, seven bytes, and then its end.
func (n namespace) saysBriefly(server string, i int) error {
	var c net.Conn
	if err := n.enter(func() (err error) { c, err = net.Dial("tcp", server); return err }); err != nil {
		return err
	}
	defer c.Close()
	word := fmt.Sprintf("\x00%06d", i)
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != word {
		return fmt.Errorf("heard %q, %w, want %q", got, err, word)
	}
	return nil
}

// entries is how many connections the kernel tracks, with those that it has yet to forget.
func (n namespace) entries(t *testing.T) int {
	t.Helper()
	count, err := strconv.Atoi(strings.TrimSpace(n.succeed(t, "sysctl", "-n", "net.netfilter.nf_conntrack_count")))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// tracked returns the counters of the kernel's connection tracking, by their names.
func (n namespace) tracked(t *testing.T) map[string]int {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(n.succeed(t, "cat", "/proc/net/stat/nf_conntrack")), "\n")
	names, sums := strings.Fields(lines[0]), map[string]int{}
	for _, line := range lines[1:] { // one for each core
		for i, text := range strings.Fields(line) {
			v, err := strconv.ParseInt(text, 16, 64)
			if err != nil || i >= len(names) {
				t.Fatalf("%q of %q: %v", text, line, err)
			}
			sums[names[i]] += int(v)
		}
	}
	for _, name := range []string{"insert_failed", "drop", "early_drop"} {
		if !slices.Contains(names, name) {
			t.Fatalf("no %q in %q", name, lines[0])
		}
	}
	return sums
}
