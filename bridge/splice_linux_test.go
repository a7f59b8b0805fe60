package bridge

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// file is a RawConn of something that is no socket.
type file struct {
	syscall.RawConn
	fd uintptr
}

func (f file) Read(try func(fd uintptr) bool) error {
	try(f.fd)
	return nil
}

// Which sockets can be spliced is up to the kernel, and to what is loaded into it.
func TestSpliceSaysWhenItCannotBeUsed(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	b := &Bridge{Client: NewStream(nil), Server: NewStream(nil)}
	r := &relay{b: b, begun: time.Now()}
	in := &socket{file{fd: dir.Fd()}}
	if err := r.splice(Client, b.Client, b.Server, in, nil); !errors.Is(err, errNoSplice) {
		t.Errorf("splice = %v, want %v", err, errNoSplice)
	}
	if b.Client.End() != Open {
		t.Errorf("the client's direction is %s", b.Client.End())
	}
}
