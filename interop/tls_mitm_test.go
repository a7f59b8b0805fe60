package interop

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// startTLSMitm starts a mitm for TLS on one port, that trusts the given roots (files, "" is
// none) and no others. All of these have one authority, which spares each the seconds that
// it takes to find the primes of RSA keys.
func startTLSMitm(t *testing.T, trust string, args ...string) *mitm {
	t.Helper()
	all := []string{"--listen", "127.0.0.1:0", "--no-system-roots"}
	if trust != "" {
		all = append(all, "--trust", trust)
	}
	return startMitmAs(t, ofOneAuthority, append(all, args...)...)
}

func ofOneAuthority(p peers.Program) peers.Program {
	p.Env = append(p.Env, "XDG_CONFIG_HOME="+filepath.Join(binaries(), "config"))
	return p
}

// onLoopback is an address that names no host.
func onLoopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
