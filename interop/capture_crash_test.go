package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sync/errgroup"
)

// A capture can be read while the process goes on, and when it was killed in the midst of writing.
func TestTheCaptureOfAKilledProcess(t *testing.T) {
	t.Parallel()
	killed := func(t *testing.T, args ...string) *mitm {
		return launchMitm(t, func(p peers.Program) peers.Program { return p }, args...)
	}
	s := startTappedBy(t, "127.0.0.1", killed, "-w", peers.Here+"/t.pcap")
	file := s.Dir + "/t.pcap"
	client, server := s.connect(t)
	pass(t, client, server, "\x00first")
	finishes(t, client, server)
	finishes(t, server, client)
	client, server = s.connect(t)
	pass(t, client, server, "\x00second")
	s.eventually(t, "what was said is in the file", func() bool { return size(t, file) > 0 && strings.Contains(read(t, file), "\x00second") })

	all := takeApart(t, "-r", file)
	if len(all) != 2 || len(all[0].complaints) > 0 || !slices.Equal(all[1].complaints, []string{"it does not end"}) {
		t.Errorf("conversations %v, want one, and one that goes on", all)
	}
	succeed(t, "tcpdump", "-n", "-r", file)
	succeed(t, "capinfos", file)

	var both errgroup.Group
	both.Go(func() error { io.Copy(client, rand.NewChaCha8([32]byte{})); return nil }) // until mitm is gone
	both.Go(func() error { io.Copy(io.Discard, server); return nil })
	s.eventually(t, "many bytes are in the file", func() bool { return size(t, file) > 4<<20 })
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, err := s.Wait(t.Context()); err == nil {
		t.Errorf("mitm ended with %d by itself", code)
	}
	both.Wait()
	s.readTorn(t, file, "\x00second")
}

// readTorn reads a file whose last packet may be written in part, as it may while a write
// goes on: all before that is whole, and is what the client said.
func (s *tapped) readTorn(t *testing.T, file, begin string) {
	t.Helper()
	all, err := tryTakeApart(t, "-r", file)
	if err != nil && !strings.Contains(err.Error(), "cut short in the middle of a packet") {
		t.Errorf("tshark: %v", err)
	}
	if len(all) != 2 || len(all[0].complaints) > 0 || !slices.Equal(all[1].complaints, []string{"it does not end"}) {
		t.Fatalf("conversations %v, want a whole one, and one without an end", all)
	}
	want := sha256.New()
	io.WriteString(want, begin)
	io.CopyN(want, rand.NewChaCha8([32]byte{}), all[1].bytes[0]-int64(len(begin)))
	if hex.EncodeToString(want.Sum(nil)) != all[1].hash(0) || all[1].bytes[0] < 3<<20 {
		t.Errorf("the %d bytes in the capture are not what the client said", all[1].bytes[0])
	}
	for _, reader := range [][]string{{"tcpdump", "-n", "-r", file}, {"capinfos", file}} {
		res := run(t, "", reader[0], reader[1:]...)
		if res.Code != 0 && !strings.Contains(res.Stderr, "truncated dump file") && !strings.Contains(res.Stderr, "cut short in the middle of a packet") {
			t.Errorf("%s: exit code %d\n%s", reader[0], res.Code, res.Stderr)
		}
	}
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// onSmallDisk is a mitm with a file system of 16 MiB that only it can see, in the folder
// "disk" of its own. Three quarters of it are taken by the file "filler". It takes root.
func onSmallDisk(t *testing.T, args ...string) *mitm {
	t.Helper()
	const script = `mkdir "$0" && mount -t tmpfs -o size=16m small "$0" && head -c 12M /dev/zero >"$0"/filler && exec "$@"`
	return startMitmAs(t, func(p peers.Program) peers.Program {
		p.Name, p.Args = "unshare", append([]string{"-m", "sh", "-c", script, peers.Here + "/disk", p.Name}, p.Args...)
		return p
	}, args...)
}

// When the disk is full flows go on, the operator is told once, and the capture goes on
// when there is room.
func TestTheCaptureOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := startTappedBy(t, "127.0.0.1", onSmallDisk, "-w", peers.Here+"/disk/t.pcap")
	disk := filepath.Join("/proc", strconv.Itoa(s.Pid()), "root", s.Dir, "disk")
	capture, err := os.Open(disk + "/t.pcap") // the file system lives as long as this
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	s.exchange(t, "before")
	s.transfer(t, 16<<20)
	s.eventually(t, "a line about the disk", func() bool { return strings.Contains(s.Stderr(), "no space left on device") })
	s.exchange(t, "meanwhile")
	if err := os.Remove(disk + "/filler"); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "a line about the room", func() bool { return strings.Contains(s.Stderr(), "writing works again") })
	s.exchange(t, "after")
	if n := strings.Count(s.Stderr(), `"level":"ERROR"`); n != 1 {
		t.Errorf("%d errors are logged, want one:\n%s", n, s.Stderr())
	}
	s.finish(t)

	var text bytes.Buffer
	if _, err := io.Copy(&text, capture); err != nil {
		t.Fatal(err)
	}
	all := takeApart(t, "-r", writeFile(t, "t.pcap", text.String()))
	if len(all) != 3 {
		t.Fatalf("conversations %v, want those before, while and after the disk was filled", all)
	}
	for i, want := range []string{"before", "", "after"} {
		c := all[i]
		if want == "" {
			if c.ending != "server reset" || c.bytes[1] >= 16<<20 || len(c.complaints) != 2 || !strings.Contains(strings.Join(c.complaints, "\n"), "analyses") {
				t.Errorf("conversation %v, want one that has a gap and is reset", c)
			}
			continue
		}
		if len(c.complaints) > 0 || c.bytes != [2]int64{int64(1 + len(want)), 0} || c.ending != "client" {
			t.Errorf("conversation %v, want what was said %s", c, want)
		}
	}
}

// transfer moves bytes from server to client, and wants them to arrive.
func (s *tapped) transfer(t *testing.T, n int64) {
	t.Helper()
	client, server := s.connect(t)
	var both errgroup.Group
	both.Go(func() error { return noise(server, 7, n) })
	var heard string
	both.Go(func() (err error) { heard, err = hashAll(client); return err })
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	finishes(t, client, server)
	want := sha256.New()
	want.Write([]byte{0})
	io.CopyN(want, rand.NewChaCha8([32]byte{7}), n-1)
	if heard != hex.EncodeToString(want.Sum(nil)) {
		t.Error("the client heard something else than the server said")
	}
	if f := s.flow(t); f.Reason != "eof" {
		t.Errorf("flow %+v, want one that ended in order", f)
	}
}
