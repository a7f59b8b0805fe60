package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sys/unix"
)

// Tests that make networks take root. Who is an ordinary user is root in a user namespace,
// where the kernel lets him have one: they run there, in a process of their own.

// inNamespaces runs a test once more, where we are root, if we are not. It reports whether it
// has, and the test is over.
func inNamespaces(t *testing.T) (over bool) {
	t.Helper()
	if os.Geteuid() == 0 {
		return false
	}
	file := built(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), mitmFile+"="+file, inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL,
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC):
		needsRoot(t, fmt.Sprintf("the kernel has no user namespaces for us: %v", err))
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("in namespaces: %v\n%s", err, out)
	}
	return true
}

// needsRoot fails a test that an ordinary user can't run here, unless he has said that it need
// not be.
func needsRoot(t *testing.T, why string) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("INTEROP") == "off":
		t.Skipf("INTEROP=off: %s", why)
	default:
		t.Fatalf("%s; run it as root, or with INTEROP=off", why)
	}
}

const (
	mitmFile = "INTEROP_MITM"   // names the command, which is built already
	inside   = "INTEROP_INSIDE" // says that the namespaces are the test's own
)

// furnish makes of bare namespaces what tests take for granted: loopback, and a place for the
// names of further ones.
func furnish() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return os.NewSyscallError("mount /run", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	res, err := peers.Run(ctx, strings.NewReader(""), "ip", "link", "set", "lo", "up")
	if err == nil && res.Code != 0 {
		err = errors.New(res.Stderr)
	}
	return err
}

// An ordinary user runs these tests, too: those of transparent connections, by the command's rules
// and without, all of them with INTEROP=full.
func TestNetworksOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	tests := []string{"TestTransparent", "TestTransparentKeepsAddresses", "TestTransparentWithItsRules", "TestTransparentCrowd"}
	if os.Getenv("INTEROP") == "full" {
		tests = nil
		for name := range strings.Lines(succeed(t, "/proc/self/exe", "-test.list=^Test(Transparent|TProxy)")) {
			if name = strings.TrimSpace(name); strings.HasPrefix(name, "Test") && !slices.Contains(ofRoot(), name) {
				tests = append(tests, name)
			}
		}
	}
	out := asNobody(t, nil, tests...)
	for _, test := range tests {
		if !strings.Contains(out, "\n--- PASS: "+test+" ") {
			t.Errorf("%s has not passed:\n%s", test, out)
		}
	}
}

// ofRoot are tests that take root, or more than one user.
func ofRoot() []string {
	return []string{"TestTransparentPeers", "TestTransparentControlGroup", "TestTProxyBringsLocalConnections"}
}

// What takes root fails for an ordinary user in clear words, and is left out if he says so.
func TestWhatTakesRootSaysSo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		env   []string
		tests []string
		want  string
	}{
		{"more than one user", []string{"INTEROP="}, ofRoot(), "FAIL"},
		{"more than one user, and INTEROP=off", []string{"INTEROP=off"}, ofRoot(), "SKIP"},
		{"a kernel without user namespaces", []string{"INTEROP=", noUserNamespaces}, []string{"TestTransparentCapture"}, "FAIL"},
		{"a kernel without user namespaces, and INTEROP=off", []string{"INTEROP=off", noUserNamespaces}, []string{"TestTransparentCapture"}, "SKIP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := asNobody(t, tt.env, tt.tests...)
			for _, test := range tt.tests {
				if !strings.Contains(out, "\n--- "+tt.want+": "+test+" ") {
					t.Errorf("%s, want %s:\n%s", test, tt.want, out)
				}
			}
			words := map[string]string{"FAIL": "; run it as root, or with INTEROP=off\n", "SKIP": "INTEROP=off: "}[tt.want]
			if strings.Count(out, words) != len(tt.tests) {
				t.Errorf("want %q of each test:\n%s", words, out)
			}
		})
	}
}

// noUserNamespaces asks asNobody for a kernel that has no user namespaces for anybody.
const noUserNamespaces = "INTEROP_NO_USER_NAMESPACES=1"

// asNobody runs tests of this package once more, as an ordinary user, and returns what they say.
func asNobody(t *testing.T, env []string, tests ...string) string {
	t.Helper()
	file := built(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	succeed(t, "cp", self, dir+"/tests")
	succeed(t, "cp", file, dir+"/mitm")
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := []string{"./tests", "-test.v", "-test.run=^(" + strings.Join(tests, "|") + ")$"}
	if os.Geteuid() == 0 {
		args = append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}, args...)
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if slices.Contains(env, noUserNamespaces) {
		needsRoot(t, "it maps more than one user")
		args = append([]string{"sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" "$@"`}, args...)
		all := []syscall.SysProcIDMap{{Size: 65536}}
		attr.Cloneflags, attr.UidMappings, attr.GidMappings, attr.GidMappingsEnableSetgroups = syscall.CLONE_NEWUSER, all, all, true
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.SysProcAttr = dir, attr
	cmd.Env = append(append(os.Environ(), mitmFile+"="+filepath.Join(dir, "mitm"), "HOME="+dir, "TMPDIR="+dir), env...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return "\n" + string(out)
}
