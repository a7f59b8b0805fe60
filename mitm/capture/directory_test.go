package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/google/gopacket/pcapgo"
)

// A series of files under test.
type seriesTest struct {
	*session
	dir string
}

func startIn(t *testing.T, dir string, r Rotation) *seriesTest {
	t.Helper()
	log := &logs{}
	w, err := CreateIn(dir, r, Config{Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return &seriesTest{&session{Writer: w, tb: t, log: log}, dir}
}

// say lets a flow say a text, and end.
func (s *seriesTest) say(text string) {
	s.tb.Helper()
	d := web()
	d.client = "198.51.100.3:1"
	f := d.make(s.tb)
	o := s.Observer()
	o.Tap(f)(client, []byte(text))
	o.Close(f, outcome(bridge.EOF, bridge.ByClient))
}

// names lists a directory.
func names(tb testing.TB, dir string) []string {
	tb.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return all
}

func wantNames(tb testing.TB, dir string, want ...string) {
	tb.Helper()
	if got := names(tb, dir); !slices.Equal(got, want) {
		tb.Errorf("files %q, want %q", got, want)
	}
}

// readFile returns the packets of a file.
func readFile(tb testing.TB, elem ...string) []segment {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		tb.Fatal(err)
	}
	return read(tb, b)
}

// readAll returns the packets of all files, in the order of their names.
func readAll(tb testing.TB, dir string) []segment {
	tb.Helper()
	var all []segment
	for _, name := range names(tb, dir) {
		all = append(all, readFile(tb, dir, name)...)
	}
	return all
}

// pass lets time pass, and what is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAFileEndsOnTheHourAndEmptyHoursHaveNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // midnight UTC, 2000-01-01
		s := startIn(t, t.TempDir(), Rotation{})
		pass(30 * time.Minute)
		wantNames(t, s.dir)
		s.say("first")
		pass(2 * time.Second)
		wantNames(t, s.dir, "mitm-20000101T003001Z.pcap.part")
		if got := readFile(t, s.dir, "mitm-20000101T003001Z.pcap.part"); len(got) != 8 {
			t.Errorf("%d packets can be read of a file that is still written, want 8", len(got))
		}
		pass(30 * time.Minute)
		wantNames(t, s.dir, "mitm-20000101T003001Z.pcap")
		pass(5 * time.Hour)
		s.say("second")
		pass(2 * time.Second)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantNames(t, s.dir, "mitm-20000101T003001Z.pcap", "mitm-20000101T060003Z.pcap")
		for i, text := range []string{"first", "second"} {
			all := follow(t, readFile(t, s.dir, names(t, s.dir)[i]))
			if len(all) != 1 || string(all[0].streams[client]) != text {
				t.Errorf("file %d holds %+v, want one flow that says %q", i, all, text)
			}
		}
		if info, err := os.Stat(filepath.Join(s.dir, "mitm-20000101T003001Z.pcap")); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
}

func TestAFlowThatOutlastsItsFileGoesOnInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startIn(t, t.TempDir(), Rotation{Every: time.Minute})
		o := s.Observer()
		f := web().make(t)
		show := o.Tap(f)
		var want strings.Builder
		for i := range 10 {
			text := fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 3000))
			want.WriteString(text)
			show(bridge.Side(i%2), []byte(text))
			s.say("a short one")
			pass(25 * time.Second)
		}
		o.Close(f, outcome(bridge.EOF, bridge.ByServer))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(names(t, s.dir)); n != 5 {
			t.Errorf("%d files after four minutes, want 5: %q", n, names(t, s.dir))
		}
		var all []connection
		for _, c := range follow(t, readAll(t, s.dir)) {
			if len(c.streams[client]) > 100 {
				all = append(all, c)
			}
		}
		if len(all) != 1 || all[0].end != "fin by server" || all[0].missing != [2]uint32{} {
			t.Fatalf("%d long flows, want one that ends", len(all))
		}
		var got strings.Builder
		for _, w := range all[0].writes {
			got.WriteString(w.text)
		}
		if got.String() != want.String() {
			t.Errorf("%d bytes of the long flow, want %d as they were said", got.Len(), want.Len())
		}
	})
}

func TestAFileEndsWithItsSize(t *testing.T) {
	const size, piece = 50_000, 8000
	s := startIn(t, t.TempDir(), Rotation{Size: size})
	o := s.Observer()
	f := web().make(t)
	show := o.Tap(f)
	for i := range 100 {
		show(bridge.Side(i%2), bytes.Repeat([]byte{byte(i)}, piece))
	}
	o.Close(f, outcome(bridge.EOF, bridge.ByClient))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list := names(t, s.dir)
	for i, name := range list {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if i < len(list)-1 && info.Size() < size || info.Size() > size+2*piece {
			t.Errorf("%s has %d bytes, want %d and at most one write more", name, info.Size(), size)
		}
		if strings.HasSuffix(name, unfinished) {
			t.Errorf("%s is not finished", name)
		}
	}
	all := follow(t, readAll(t, s.dir))
	if len(all) != 1 || len(all[0].streams[client])+len(all[0].streams[server]) != 100*piece || all[0].end != "fin by client" {
		t.Errorf("%d files hold %d connections", len(list), len(all))
	}
	if got := s.Stats(); got.Lost != 0 || len(list) < 14 {
		t.Errorf("stats %+v, %d files", got, len(list))
	}
}

func TestFilesOfOneSecondHaveNamesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		const taken = "mitm-20000101T000001Z.pcap"
		if err := os.WriteFile(filepath.Join(dir, taken), []byte("of another"), 0o600); err != nil {
			t.Fatal(err)
		}
		var all []*seriesTest
		for i := range 3 {
			s := startIn(t, dir, Rotation{})
			s.say(fmt.Sprint("of ", i))
			all = append(all, s)
		}
		pass(2 * time.Second)
		// A name that is taken while the file is written is not taken from its owner.
		if err := os.WriteFile(filepath.Join(dir, "mitm-20000101T000001Z_003.pcap"), []byte("of another"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		wantNames(t, dir, taken, "mitm-20000101T000001Z_002.pcap", "mitm-20000101T000001Z_003.pcap",
			"mitm-20000101T000001Z_004.pcap", "mitm-20000101T000001Z_005.pcap")
		said := map[string]bool{}
		for _, n := range []int{2, 4, 5} {
			c := follow(t, readFile(t, dir, fmt.Sprintf("mitm-20000101T000001Z_%03d.pcap", n)))
			said[string(c[0].streams[client])] = true
		}
		if len(said) != 3 {
			t.Errorf("the files say %v", said)
		}
		for _, name := range []string{taken, "mitm-20000101T000001Z_003.pcap"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != "of another" {
				t.Errorf("%s now holds %q, %v", name, got, err)
			}
		}
	})
}

// sample returns a capture of one flow, and where each packet in it ends.
func sample(t *testing.T) (pcap []byte, ends []int) {
	t.Helper()
	s := start(t, Config{})
	f := web().make(t)
	o := s.Observer()
	o.Tap(f)(client, []byte("before the kill"))
	o.Close(f, outcome(bridge.EOF, bridge.ByClient))
	s.finish()
	pcap = s.buf.Bytes()
	for n := pcapFileHeader; n < len(pcap); {
		n += packetHeader + int(pcap[n+8]) + int(pcap[n+9])<<8
		ends = append(ends, n)
	}
	return pcap, ends
}

func TestWhatWasLeftBehindIsFinished(t *testing.T) {
	pcap, ends := sample(t)
	for n := range len(pcap) + 1 {
		dir := t.TempDir()
		part := filepath.Join(dir, "mitm-20261120T150405Z.pcap"+unfinished)
		if err := os.WriteFile(part, pcap[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s := startIn(t, dir, Rotation{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		whole, _ := slices.BinarySearch(ends, n+1)
		if whole == 0 {
			wantNames(t, dir)
			continue
		}
		wantNames(t, dir, "mitm-20261120T150405Z.pcap")
		if got := len(readFile(t, dir, "mitm-20261120T150405Z.pcap")); got != whole {
			t.Fatalf("of the first %d bytes %d packets are kept, want %d", n, got, whole)
		}
	}
}

func TestWhatIsStillWrittenOrNotOursIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		pcap, _ := sample(t)
		for _, name := range []string{"mitm.pcap.part", "other-20261120T150405Z.pcap.part", "mitm-20261120T150405Z.pcap.part.gz"} {
			if err := os.WriteFile(filepath.Join(dir, name), pcap, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		target := filepath.Join(t.TempDir(), "target")
		if err := os.WriteFile(target, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, "mitm-20261120T150406Z.pcap.part")); err != nil {
			t.Fatal(err)
		}
		first := startIn(t, dir, Rotation{})
		first.say("one")
		pass(2 * time.Second)
		before := names(t, dir)
		second := startIn(t, dir, Rotation{Keep: 1})
		wantNames(t, dir, before...)
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		first.say("two")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if got := follow(t, readFile(t, dir, "mitm-20000101T000001Z.pcap")); len(got) != 2 {
			t.Errorf("%d flows in the file, want the one before and the one after the other's start", len(got))
		}
	})
}

func TestTheOldestFilesMakeRoomForNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		foreign := []string{"a.pcap", "mitm-1999.pcap", "mitm-19990101T000000Z.pcap.gz", "mitm-19990101T000000Z.txt"}
		for _, name := range foreign {
			if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 50_000), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		const keep = 20_000
		s := startIn(t, dir, Rotation{Every: time.Minute, Keep: keep})
		for range 20 {
			s.say(strings.Repeat("x", 4000))
			pass(time.Minute)
			sum := int64(0)
			for _, name := range names(t, dir) {
				info, err := os.Stat(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(foreign, name) {
					sum += info.Size()
				}
			}
			if sum > keep {
				t.Fatalf("%d bytes are kept, want at most %d", sum, keep)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantNames(t, dir, append(foreign, "mitm-20000101T001601Z.pcap", "mitm-20000101T001701Z.pcap",
			"mitm-20000101T001801Z.pcap", "mitm-20000101T001901Z.pcap")...)
	})
}

func TestAFileThatIsWrittenCountsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := startIn(t, dir, Rotation{Keep: 40_000, Size: 30_000})
		for range 5 {
			s.say(strings.Repeat("x", 20_000))
			pass(2 * time.Second)
			sum := int64(0)
			for _, name := range names(t, dir) {
				info, _ := os.Stat(filepath.Join(dir, name))
				sum += info.Size()
			}
			if sum > 45_000 {
				t.Errorf("%q have %d bytes", names(t, dir), sum)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// saidIn returns what is said in a pcapng file, which must be read to its end.
func saidIn(tb testing.TB, file string) (said string) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		tb.Fatal(err)
	}
	for {
		frame, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return said
		}
		if err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		s, err := parseFrame(frame)
		if err != nil {
			tb.Fatal(err)
		}
		said += string(s.payload)
	}
}

func TestFilesOfPcapngStandAloneAndAreFinishedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		log := &logs{}
		w, err := CreateIn(dir, Rotation{Every: time.Minute}, Config{Format: PCAPNG, Log: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		f := web().make(t)
		o := w.Observer()
		show := o.Tap(f)
		show(client, []byte("first"))
		pass(time.Minute)
		show(client, []byte("second"))
		pass(time.Second)
		const one, two = "mitm-20000101T000001Z.pcapng", "mitm-20000101T000101Z.pcapng"
		wantNames(t, dir, one, two+unfinished)
		// As a process leaves it that is killed in the middle of a block.
		killed, err := os.ReadFile(filepath.Join(dir, two+unfinished))
		if err != nil {
			t.Fatal(err)
		}
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, two+unfinished), append(killed, killed[:50]...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := startIn(t, other, Rotation{}).Close(); err != nil {
			t.Fatal(err)
		}
		o.Close(f, outcome(bridge.EOF, bridge.ByClient))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantNames(t, dir, one, two)
		wantNames(t, other, two)
		for file, want := range map[string]string{dir + "/" + one: "first", dir + "/" + two: "second", other + "/" + two: "second"} {
			if got := saidIn(t, file); got != want {
				t.Errorf("%s says %q, want %q", file, got, want)
			}
		}
	})
}

// setFree changes how much is to stay free.
func (s *seriesTest) setFree(n int64) {
	d := s.closer.(*directory)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotation.Free = n
}

func TestTooLittleFreeSpaceIsAFullDisk(t *testing.T) {
	if _, _, err := space("."); err != nil {
		t.Logf("no floor here: %v", err)
		return
	}
	synctest.Test(t, func(t *testing.T) {
		s := startIn(t, t.TempDir(), Rotation{Free: 1 << 62})
		s.say("lost")
		pass(3 * time.Second)
		s.say("lost too")
		pass(3 * time.Second)
		wantNames(t, s.dir)
		if n := s.log.count("level=ERROR"); n != 1 || s.log.count("are to stay free: no space left on device") != 1 {
			t.Errorf("%d errors logged, want one that says why:\n%s", n, s.log.buf.String())
		}
		s.setFree(-1)
		pass(2 * time.Second)
		s.say("found")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		all := follow(t, readAll(t, s.dir))
		if got := string(all[len(all)-1].streams[client]); got != "found" || s.log.count("writing works again") != 1 {
			t.Errorf("at last the capture holds %q, logged:\n%s", got, s.log.buf.String())
		}
	})
}

func TestADirectoryThatVanishesComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startIn(t, filepath.Join(t.TempDir(), "made"), Rotation{Every: time.Minute})
		if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("the directory was not made for us alone: %v, %v", info.Mode(), err)
		}
		s.say("before")
		pass(2 * time.Minute)
		if err := os.RemoveAll(s.dir); err != nil {
			t.Fatal(err)
		}
		s.say("lost")
		pass(3 * time.Second)
		if err := os.Mkdir(s.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		s.say("after")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		all := follow(t, readAll(t, s.dir))
		if got := string(all[len(all)-1].streams[client]); got != "after" || s.log.count("level=ERROR") != 1 {
			t.Errorf("at last the capture holds %q, logged:\n%s", got, s.log.buf.String())
		}
	})
}

func TestADirectoryThatCannotBeWrittenIsAnErrorAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		dir  string
		r    Rotation
		want error
	}{
		{"a file", file, Rotation{}, syscall.ENOTDIR},
		{"below a file", filepath.Join(file, "dir"), Rotation{}, syscall.ENOTDIR},
		{"two levels that are missing", filepath.Join(t.TempDir(), "a", "b"), Rotation{}, fs.ErrNotExist},
		{"one that takes no files", "/proc", Rotation{}, nil},
		{"files larger than what is kept", t.TempDir(), Rotation{Size: 2, Keep: 1}, nil},
		{"a negative size", t.TempDir(), Rotation{Size: -1}, nil},
	} {
		w, err := CreateIn(tt.dir, tt.r, Config{})
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "create capture: ") {
			t.Errorf("%s: CreateIn() = %v, want %v", tt.name, err, tt.want)
		}
		if err == nil {
			w.Close()
		}
	}
}
