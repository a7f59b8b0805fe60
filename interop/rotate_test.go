package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sync/errgroup"
)

// captured matches the name of a finished file.
var captured = regexp.MustCompile(`^mitm-\d{8}T\d{6}Z(_\d{3})?\.pcap$`)

// list returns the files of a directory, oldest first, and of these the unfinished ones.
func list(t *testing.T, dir string) (finished, unfinished []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		switch name, part := strings.CutSuffix(e.Name(), ".part"); {
		case !captured.MatchString(name):
			t.Errorf("a file is named %s", e.Name())
		case part:
			unfinished = append(unfinished, file)
		default:
			finished = append(finished, file)
		}
	}
	return finished, unfinished
}

// accepted wants foreign readers to take files as they are.
func accepted(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		succeed(t, "capinfos", file)
		succeed(t, "tcpdump", "-n", "-r", file)
	}
}

// Flows that outlast their files are whole when the files are put together, by their order
// and by the clock.
func TestFlowsThatOutlastTheirFilesAreWholeInAllOfThem(t *testing.T) {
	t.Parallel()
	s := startTapped(t, "127.0.0.1", "-o", "captures", "--rotate", "1s,300kB")
	dir := s.Dir + "/captures"
	client, server := s.connect(t)
	said := [2]int64{1, 0}
	pass(t, client, server, "\x00")
	const rounds, size = 8, 512 << 10
	for range rounds {
		text := strings.Repeat("of the long one ", 1000)
		pass(t, client, server, text)
		pass(t, server, client, text)
		said[0], said[1] = said[0]+int64(len(text)), said[1]+int64(len(text))
		s.transfer(t, size)
	}
	s.eventually(t, "what was said is in finished files", func() bool {
		finished, unfinished := list(t, dir)
		return len(unfinished) == 0 && len(finished) > rounds
	})
	pass(t, client, server, "last words")
	said[0] += int64(len("last words"))
	s.eventually(t, "a file is begun", func() bool { _, unfinished := list(t, dir); return len(unfinished) > 0 })
	finished, _ := list(t, dir)
	accepted(t, finished...)
	finishes(t, client, server)
	finishes(t, server, client)
	s.flow(t)
	s.finish(t)

	finished, unfinished := list(t, dir)
	if len(unfinished) > 0 {
		t.Errorf("at the end %q are unfinished", unfinished)
	}
	accepted(t, finished...)
	for _, order := range []string{"as they were begun", "by time"} {
		merged := filepath.Join(t.TempDir(), "merged.pcap")
		args := []string{"-F", "pcap", "-w", merged}
		if order == "as they were begun" {
			args = append(args, "-a")
		}
		succeed(t, "mergecap", append(args, finished...)...)
		all := conversations(t, merged)
		if len(all) != 1+rounds {
			t.Fatalf("%s: %d conversations, want %d", order, len(all), 1+rounds)
		}
		if c := all[0]; c.client != client.LocalAddr().String() || c.bytes != said || c.ending != "client" {
			t.Errorf("%s: the long conversation is %+v, want %d bytes", order, c, said)
		}
		for _, c := range all[1:] {
			if c.bytes[1] != size {
				t.Errorf("%s: a short conversation has %d bytes, want %d", order, c.bytes, size)
			}
		}
	}
}

// A file that is still written can be read, and so can that of a process that was killed,
// which the next one finishes.
func TestAFileIsReadableBeforeItIsFinished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startTappedBy(t, "127.0.0.1", func(t *testing.T, args ...string) *mitm {
		return launchMitm(t, func(p peers.Program) peers.Program { return p }, args...)
	}, "-o", dir)
	client, server := s.connect(t)
	pass(t, client, server, "\x00before the kill")
	var parts []string
	s.eventually(t, "what was said is in a file", func() bool {
		_, parts = list(t, dir)
		return len(parts) == 1 && strings.Contains(read(t, parts[0]), "before the kill")
	})
	accepted(t, parts...)

	// A second one that starts meanwhile sees that it is being written.
	startTapped(t, "127.0.0.1", "-o", dir).finish(t)
	if _, again := list(t, dir); len(again) != 1 {
		t.Fatalf("a second process has touched the file of the first: %q", again)
	}
	var both errgroup.Group
	both.Go(func() error { noise(client, 3, 1<<40); return nil }) // until mitm is gone
	both.Go(func() error { hashAll(server); return nil })
	s.eventually(t, "many bytes are in the file", func() bool { return size(t, parts[0]) > 4<<20 })
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, err := s.Wait(t.Context()); err == nil {
		t.Errorf("mitm ended with %d by itself", code)
	}
	client.NetConn().Close()
	server.NetConn().Close()
	both.Wait()

	startTapped(t, "127.0.0.1", "-o", dir).finish(t)
	finished, parts := list(t, dir)
	if len(finished) != 1 || len(parts) != 0 {
		t.Fatalf("the next start leaves %q and %q, want one finished file", finished, parts)
	}
	accepted(t, finished...)
	all := takeApart(t, "-r", finished[0])
	if len(all) != 1 || all[0].bytes[0] < 3<<20 || len(all[0].complaints) != 1 || all[0].complaints[0] != "it does not end" {
		t.Errorf("conversations %+v, want one that is whole but for its end", all)
	}
}

// A disk that is almost full counts as full: some of it stays free. Captures go on in the
// directory when there is room.
func TestADirectoryOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := startTappedBy(t, "127.0.0.1", onSmallDisk, "-o", peers.Here+"/disk/captures", "--rotate", "off")
	disk := filepath.Join("/proc", strconv.Itoa(s.Pid()), "root", s.Dir, "disk")
	captures, err := os.Open(disk + "/captures") // the file system lives as long as this
	if err != nil {
		t.Fatal(err)
	}
	defer captures.Close()
	s.exchange(t, "before")
	s.transfer(t, 16<<20)
	s.eventually(t, "a line about the disk", func() bool { return strings.Contains(s.Stderr(), "are to stay free: no space left on device") })
	var left syscall.Statfs_t
	if err := syscall.Statfs(disk, &left); err != nil || left.Bavail*100 < left.Blocks {
		t.Errorf("%d of %d blocks are free, %v; want a hundredth", left.Bavail, left.Blocks, err)
	}
	if err := os.Remove(disk + "/filler"); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "a line about the room", func() bool { return strings.Contains(s.Stderr(), "writing works again") })
	s.exchange(t, "after")
	if n := strings.Count(s.Stderr(), `"level":"ERROR"`); n != 1 {
		t.Errorf("%d errors are logged, want one:\n%s", n, s.Stderr())
	}
	s.finish(t)

	finished, unfinished := list(t, fmt.Sprintf("/proc/self/fd/%d", captures.Fd()))
	if len(finished) != 1 || len(unfinished) != 0 {
		t.Fatalf("files %q and %q, want one", finished, unfinished)
	}
	all := takeApart(t, "-r", writeFile(t, "t.pcap", read(t, finished[0])))
	if len(all) != 3 || all[1].ending != "server reset" {
		t.Fatalf("conversations %+v, want one before, one that is cut, and one after", all)
	}
	for i, text := range map[int]string{0: "before", 2: "after"} {
		if c := all[i]; len(c.complaints) > 0 || c.bytes[0] != int64(1+len(text)) || c.ending != "client" {
			t.Errorf("conversation %+v, want what was said %s", c, text)
		}
	}
}
