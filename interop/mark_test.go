package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// ruleServer serves a ruleset, and the list that it asks for.
func (l routed) ruleServer(t *testing.T, address string) string {
	t.Helper()
	url := "http://" + address
	mux := http.NewServeMux()
	mux.HandleFunc("/rules.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"name":"t","version":"1","rules":[{"active":true,"description":"listed",
	"match":{"type":"domain_in_file","expression":"%s/list.txt"},"action":{"type":"block"}}],"default":{"action":{"type":"inspect"}}}`, url)
	})
	mux.HandleFunc("/list.txt", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "blocked.test\n") })
	server := &http.Server{Handler: mux}
	ln := l.servers.listen(t, address)
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(ln) })
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return url + "/rules.json"
}

// Whatever mitm connects to has the mark: here nothing else leaves the router.
func TestTheMarkIsOnEverything(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.router.nft(t, `table inet marked {
	chain out {
		type filter hook output priority 0
		oifname != lo meta l4proto { tcp, udp } meta mark != 0x4000000 ct direction original counter reject
	}
}
`)
	rules := l.ruleServer(t, "203.0.113.2:8090")
	reader := l.servers.listen(t, "203.0.113.2:57012")
	var names net.PacketConn
	l.servers.within(t, func() (err error) { names, err = net.ListenPacket("udp", "203.0.113.2:53"); return err })
	defer names.Close()

	m := startMitmAs(t, func(p peers.Program) peers.Program {
		const script = `mount --bind "$0" /etc/resolv.conf && exec "$@"`
		p.Name, p.Args = "unshare", append([]string{"-m", "sh", "-c", script, peers.Here + "/resolv.conf", p.Name}, p.Args...)
		p.Files = map[string]string{"resolv.conf": "nameserver 203.0.113.2\n"}
		p.Env = append(p.Env, "GODEBUG=netdns=go") // libc's queries have no mark
		p.Namespace = string(l.router)
		return p
	}, "--listen", "127.0.0.1:0", "--mark", "0x4000000", "--ruleset", rules, "--pcapoveripconnect", reader.Addr().String())
	c, err := reader.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	client := l.router.start(t, peers.Program{Name: "curl", Args: curlArgs("--max-time", "60", "-x", "socks5h://"+m.addrs[0], "http://asked.test/")})
	names.SetReadDeadline(time.Now().Add(runTimeout))
	query := make([]byte, 512)
	if n, _, err := names.ReadFrom(query); err != nil || n < 12 {
		t.Errorf("the name server got %x, %v", query[:n], err)
	}
	client.Terminate(t.Context())
}
