package bridgetest_test

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// run runs a test, as go test does, and says whether it passed. What the test framework
// says of it, with -v and -shuffle, is no output of the example.
func run(name string, test func(t *testing.T)) bool {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	defer null.Close()
	defer func(stdout *os.File) { os.Stdout = stdout }(os.Stdout)
	os.Stdout = null
	all := func(string, string) (bool, error) { return true, nil }
	return testing.RunTests(all, []testing.InternalTest{{Name: name, F: test}})
}

// A layer that relays its protocol's handshake between the two peers.
func ExampleRelay() {
	// In a file that ends in _test.go:
	TestHello := func(t *testing.T) {
		bridgetest.Relay(t, bridge.Chain(hello()), bridgetest.Script{
			bridgetest.C("HELLO example.com:80\n"),
			bridgetest.S("WELCOME\n"),
			bridgetest.C("payload"),
			bridgetest.S("answer"),
		}, bridgetest.Path("hello"), bridgetest.Target("example.com:80"))
	}
	fmt.Println(run("TestHello", TestHello))
	// Output: true
}

// A layer that is the server of its protocol: it is asked for a destination, dials it and answers. Each refusal is a
// script of its own.
func ExampleTerminate() {
	// In a file that ends in _test.go:
	TestHelloServer := func(t *testing.T) {
		bridgetest.Terminate(t, bridge.Chain(helloServer()), bridgetest.Script{
			bridgetest.Send("HELLO example.com:80\n"),
			bridgetest.Dials("example.com:80"),
			bridgetest.Recv("WELCOME\n"),
			bridgetest.Tunnel(),
		}, bridgetest.Path("hello"))
	}
	TestHelloServerRefuses := func(t *testing.T) {
		bridgetest.Terminate(t, bridge.Chain(helloServer()), bridgetest.Script{
			bridgetest.Send("HELLO example.com:80\n"),
			bridgetest.DialFails("example.com:80", syscall.ECONNREFUSED),
			bridgetest.Recv("SORRY\n"),
		}, bridgetest.Reason(bridge.Refused))
	}
	fmt.Println(run("TestHelloServer", TestHelloServer), run("TestHelloServerRefuses", TestHelloServerRefuses))
	// Output: true true
}

// A conn in memory, on which a minute passes in no time.
func ExamplePipe() {
	TestSlowPeer := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server := bridgetest.Pipe(64 << 10)
			server.SetFaults(bridgetest.Faults{Latency: time.Minute})
			io.WriteString(server, "late")
			server.Close()
			begun := time.Now()
			got, err := io.ReadAll(client)
			if string(got) != "late" || err != nil || time.Since(begun) != time.Minute {
				t.Errorf("ReadAll = %q, %v after %v", got, err, time.Since(begun))
			}
		})
	}
	fmt.Println(run("TestSlowPeer", TestSlowPeer))
	// Output: true
}

// Baseline comes first in a test, and is checked last.
func ExampleBaseline() {
	// In a file that ends in _test.go:
	TestLeavesNothing := func(t *testing.T) {
		bridgetest.Baseline(t)
		client, server := bridgetest.TCPPair(t)
		go io.Copy(server, server)
		client.Close()
	}
	fmt.Println(run("TestLeavesNothing", TestLeavesNothing))
	// Output: true
}
