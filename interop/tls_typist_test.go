package interop

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A typist is at an openssl s_client or s_server, as a person is: what is typed is sent,
// or is a command when it is one letter, and what comes is read.
type typist struct {
	*peers.Pipe
	kill func()        // ends the program as a crash does
	over chan struct{} // closed when the program has ended

	mu   sync.Mutex
	text strings.Builder // on stdout and stderr
}

// typing starts one for the length of the test.
func typing(t *testing.T, args ...string) *typist {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p, err := peers.StartPipe(ctx, "sh", append([]string{"-c", `exec openssl "$@" 2>&1`, "sh"}, args...)...)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	o := &typist{Pipe: p, kill: cancel, over: make(chan struct{})}
	go o.listen()
	t.Cleanup(func() {
		o.kill()
		<-o.over
		o.Close()
		if t.Failed() {
			t.Logf("openssl %q said:\n%s", args, o.said())
		}
	})
	return o
}

func (o *typist) listen() {
	defer close(o.over)
	_, _ = io.Copy(o, o.Reader) // ends with the program
}

// Write takes what the program says.
func (o *typist) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// said is all that the program has said.
func (o *typist) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// types types a line.
func (o *typist) types(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(o.Pipe, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// reads waits until the program has said something so often.
func (o *typist) reads(t *testing.T, m *mitm, text string, times int) {
	t.Helper()
	m.eventually(t, text, func() bool { return strings.Count(o.said(), text) >= times })
}
