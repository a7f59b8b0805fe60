package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// hierarchy is where the control groups of version 2 are, and the name of a group there as mitm
// has it: there may be groups of version 1 above.
func hierarchy(t *testing.T) (dir, prefix string) {
	t.Helper()
	for _, prefix := range []string{"", "unified/"} {
		dir := filepath.Join("/sys/fs/cgroup", prefix)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err == nil {
			return dir, prefix
		}
	}
	t.Fatal("there are no control groups of version 2 below /sys/fs/cgroup")
	return "", ""
}

// Connections of the router's own programs are brought by their control group.
func TestTransparentControlGroup(t *testing.T) {
	t.Parallel()
	needsRoot(t, "it makes a control group")
	dir, prefix := hierarchy(t)
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			group := fmt.Sprintf("mitm-test-%d-%s", os.Getpid(), mode)
			if err := os.Mkdir(filepath.Join(dir, group), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Remove(filepath.Join(dir, group)); err != nil {
					t.Error(err)
				}
			})
			const web = 8001
			l.serve(t, web)
			file := built(t)
			// ip would hide the groups behind a /sys of the namespace's own.
			within := func(args ...string) string {
				return succeed(t, "nsenter", append([]string{"--net=/run/netns/" + string(l.router)}, args...)...)
			}
			within(file, "tproxy", "up", "--transparent", mode, "--to", "9000", "--cgroup", prefix+group)
			t.Cleanup(func() {
				res, err := peers.Run(context.Background(), strings.NewReader(""), "nsenter", "--net=/run/netns/"+string(l.router), file, "tproxy", "down")
				if err != nil || res.Code != 0 {
					t.Errorf("tproxy down: %v, exit code %d\n%s", err, res.Code, res.Stderr)
				}
			})
			m := l.transparently(t, mode)
			for _, f := range protocolFamilies() {
				url := f.status(web)
				within(append([]string{"curl"}, curlArgs(url)...)...) // goes past
				within(append([]string{"sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, filepath.Join(dir, group), "curl"}, curlArgs(url)...)...)
				if flow := m.flow(t); flow.Path != "http" || flow.Reason != "eof" || !strings.HasPrefix(url, "http://"+flow.Target) {
					t.Errorf("%s: flow %+v", f.name, flow)
				}
			}
			m.flows(t, 2) // and no more
		})
	}
}
