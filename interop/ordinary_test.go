package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
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

// An ordinary user runs these tests, too.
func TestNetworksOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	succeed(t, "cp", self, dir+"/tests")
	succeed(t, "cp", file, dir+"/mitm")
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	args := []string{dir + "/tests", "-test.v", "-test.run=^TestTransparent(Capture|Silence)$"}
	if os.Geteuid() == 0 {
		args = append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}, args...)
	}
	args[0], err = exec.LookPath(args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), mitmFile+"="+filepath.Join(dir, "mitm"), "HOME="+dir, "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	for _, test := range []string{"TestTransparentCapture", "TestTransparentSilence"} {
		if !strings.Contains(string(out), "--- PASS: "+test) {
			t.Errorf("%s: %v\n%s", test, err, out)
		}
	}
}
