package interop

import (
	"os"
	"strings"
	"testing"
)

// The demonstration proves itself, and would notice if it did not work.
func TestDemo(t *testing.T) {
	t.Parallel()
	file := built(t)
	kept := t.TempDir() + "/demo.pcap"
	out := succeed(t, file, "demo", "-w", kept)
	for _, want := range []string{"socks5>tls(h2)", "connect>tls(http/1.1)", "tls(http/1.1)>connect>tls(h2)", "proxy1>socks5>tls(h2)", "socks5>connect>socks5>tls(h2)"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo prints no ladder of %s:\n%s", want, out)
		}
	}
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the capture: %v, %v, want a file with mode 0600", info, err)
	}
	checkCapture(t, kept)
	checkTransparentDemo(t, file)
	res := run(t, "", file, "demo", "--distrust")
	if res.Code != 1 || !strings.Contains(res.Stdout+res.Stderr, "certificate") {
		t.Errorf("with clients that distrust the authority: exit code %d, want 1 and the reason\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
}

// checkTransparentDemo runs the one that makes networks of its own, as root and as somebody
// who may make some for himself.
func checkTransparentDemo(t *testing.T, file string) {
	t.Helper()
	dir := t.TempDir()
	succeed(t, "cp", file, dir+"/mitm")
	for who, args := range map[string][]string{
		"root":   {dir + "/mitm"},
		"nobody": {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", dir + "/mitm"},
	} {
		out := succeed(t, args[0], append(args[1:], "demo", "--transparent")...)
		for _, want := range []string{"HTTPS, redirect", "HTTPS, tproxy", "path socks5>tls(h2)", "path connect>tls(http/1.1)", "all 6 flows"} {
			if !strings.Contains(out, want) {
				t.Errorf("as %s the demo does not print %q:\n%s", who, want, out)
			}
		}
	}
}
