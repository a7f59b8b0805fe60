package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// What is in the capture is what the peers have exchanged, both ways at once.
func TestTheCaptureHasTheBytesThatThePeersExchanged(t *testing.T) {
	t.Parallel()
	each := int64(32 << 20)
	program := startMitm
	if os.Getenv("INTEROP") == "full" {
		each = 512 << 20
		program = startPlainMitm
	}
	s := startTappedBy(t, "127.0.0.1", program, "-w", peers.Here+"/t.pcap")
	client, server := s.connect(t)
	var both errgroup.Group
	var heard [2]string // by client and server
	both.Go(func() error { return noise(client, 1, each) })
	both.Go(func() error { return noise(server, 2, each) })
	both.Go(func() (err error) { heard[0], err = hashAll(client); return err })
	both.Go(func() (err error) { heard[1], err = hashAll(server); return err })
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	client.NetConn().Close()
	server.NetConn().Close()
	if f := s.flow(t); moved(f) != [2]int64{each, each} || f.Reason != "eof" {
		t.Errorf("flow %+v, want %d bytes each way", f, each)
	}
	s.finish(t)
	all := conversations(t, s.Dir+"/t.pcap")
	if len(all) != 1 || all[0].bytes != [2]int64{each, each} {
		t.Fatalf("conversations %v, want one of %d bytes each way", all, each)
	}
	if got := [2]string{all[0].hash(1), all[0].hash(0)}; got != heard {
		t.Errorf("the capture has %v, and the peers heard %v", got, heard)
	}
}

// startPlainMitm is startMitm for loads that the race detector would take minutes for.
func startPlainMitm(t *testing.T, args ...string) *mitm {
	t.Helper()
	file, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	return startMitmAs(t, func(p peers.Program) peers.Program { p.Name = file; return p }, args...)
}

// noise says n bytes that nothing compresses, and ends the direction.
func noise(to interface {
	io.Writer
	CloseWrite() error
}, seed byte, n int64,
) error {
	if _, err := to.Write([]byte{0}); err != nil { // what follows may look like any protocol
		return err
	}
	if _, err := io.CopyN(to, rand.NewChaCha8([32]byte{seed}), n-1); err != nil {
		return err
	}
	return to.CloseWrite()
}

func hashAll(from io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, from)
	return hex.EncodeToString(h.Sum(nil)), err
}

// A flow of more bytes than there are sequence numbers is one connection to tshark, which
// reads it from a pipe while it is captured.
func TestTheCaptureBeyondAllSequenceNumbers(t *testing.T) {
	t.Parallel()
	size := int64(32 << 20)
	program := startMitm
	if os.Getenv("INTEROP") == "full" {
		size = 4<<30 + 64<<20
		program = startPlainMitm
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var all []*dialogue
	var seen atomic.Int64
	var reader errgroup.Group
	reader.Go(func() (err error) {
		all, err = segments(t.Context(), columns(), func(s segment) { seen.Add(int64(s.length)) }, "-r", pipe)
		return err
	})
	s := startTappedBy(t, "127.0.0.1", program, "-w", pipe)
	client, server := s.connect(t)
	var hearing errgroup.Group
	hearing.Go(func() error { _, err := io.Copy(io.Discard, client); return err })
	chunk := append([]byte{0}, peers.Large()[1:]...)
	for said := int64(0); said < size; said += int64(len(chunk)) {
		// A reader that is left behind costs the flow its place in the capture after a second.
		s.eventually(t, "tshark keeps up", func() bool { return said-seen.Load() < 24<<20 })
		if _, err := server.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(server.CloseWrite(), hearing.Wait()); err != nil {
		t.Fatal(err)
	}
	finishes(t, client, server)
	s.finish(t)
	if err := reader.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || len(all[0].complaints) > 0 || all[0].bytes != [2]int64{0, size} || all[0].ending != "server" {
		t.Errorf("conversations %v, want one in which the server says %d bytes", all, size)
	}
}

// tshark puts the files together that HTTP has carried.
func TestTheCaptureHasTheFiles(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen("-w", peers.Here+"/t.pcap")...)
	upload := strings.Repeat(peers.Large()[:1<<20], 2)
	through := []string{"--http1.1", "--cacert", m.root, "-x", "socks5h://" + m.addrs[0]}
	curl(t, append(through, "-o", os.DevNull, s.https("/large"))...)
	m.flow(t)
	curl(t, append(through, "-H", "Expect:", "-T", writeFile(t, "upload", upload), s.https("/upload"))...)
	m.flow(t)
	m.finish(t)
	dir := t.TempDir()
	tshark(t, m.Dir+"/t.pcap", "-q", "--export-objects", "http,"+dir)
	for name, want := range map[string]string{"large": peers.Large(), "upload": upload} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s: %d bytes are in the capture, which are not the %d of the file", name, len(got), len(want))
		}
	}
}
