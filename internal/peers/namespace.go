package peers

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within runs f, which must not start goroutines that open sockets, with the network of a
// namespace that ip has made; "" is ours. A socket stays in the network that it was opened in,
// and so does a program that was started in it. It takes root.
func Within(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	there, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	// The thread is given back as it was: were it to end instead, the kernel would kill the
	// programs that it has started.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", namespace, err)
	}
	err = f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("leave %s: %v", namespace, err)) // the thread is good for nothing now
	}
	return err
}
