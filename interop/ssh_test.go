package interop

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// SSH is not for us: a session passes as it is, and is told by its name.
func TestSSHThroughMitm(t *testing.T) {
	t.Parallel()
	port := reserve(t)
	p, err := peers.Dropbear(port, "alice", password(t, "-6", "s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	m := startMitm(t, "--listen", "127.0.0.1:0", "--connect", at(port))
	passed := line{path: "ssh", action: "allow", target: at(port)}

	t.Run("a session with a password", func(t *testing.T) {
		got := dbclient(t, m, "wc -c", strings.Repeat("x", 1<<20))
		if strings.TrimSpace(got) != "1048576" {
			t.Errorf("the remote command printed %q, want the size of its input", got)
		}
		passed.check(t, m.flow(t))
	})
	t.Run("the server's greeting is not held until the client speaks", func(t *testing.T) {
		c, err := net.Dial("tcp", m.addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(runTimeout)); err != nil {
			t.Fatal(err)
		}
		greeting, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(greeting, "SSH-2.0-dropbear") {
			t.Errorf("the greeting is %q, %v", greeting, err)
		}
		c.Close()
		f := m.flow(t)
		if f.Path != "ssh" || f.Action != "allow" || f.EndedBy != "client" {
			t.Errorf("flow %+v, want path ssh, ended by client", f)
		}
	})
}

// dbclient runs a command by way of mitm, and returns what it printed.
func dbclient(t *testing.T, m *mitm, command, stdin string) string {
	t.Helper()
	home := t.TempDir() // for known_hosts
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	host, port, _ := strings.Cut(m.addrs[0], ":")
	script := `HOME="$1" DROPBEAR_PASSWORD=s3cret exec dbclient -T -y -y -p "$2" "alice@$3" "$4"`
	res, err := peers.Run(ctx, bytes.NewReader([]byte(stdin)), "sh", "-c", script, "sh", home, port, host, command)
	if err != nil || res.Code != 0 {
		t.Fatalf("dbclient: %v, exit code %d\n%s%s", err, res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}
