package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// tsharkOn reads a capture over IP for the length of the test, and prints what a filter
// lets through.
func tsharkOn(t *testing.T, addr, filter string) *peers.Process {
	t.Helper()
	return start(t, peers.Program{
		Name: "tshark", Args: []string{"-n", "-l", "-i", "TCP@" + addr, "-Y", filter},
		Ready: func(stderr string) bool { return strings.Contains(stderr, "Capturing on") },
	})
}

// readers waits until the command has so many readers more.
func (m *mitm) readers(t *testing.T, n int) {
	t.Helper()
	m.eventually(t, fmt.Sprintf("%d readers have come", n), func() bool {
		return strings.Count(m.Stderr(), "a reader has come") >= n
	})
}

// Wireshark's own syntax for it shows what HTTPS said while connections are open.
func TestTsharkReadsOverIP(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen("--pcapoverip", "0")...)
	curl(t, "--cacert", m.root, "-x", "http://"+m.addrs[0], s.https("/status?before"))
	first := tsharkOn(t, m.addrs[1], "http.request || http2.headers.method")
	m.readers(t, 1)
	curl(t, "--http1.1", "--cacert", m.root, "-x", "http://"+m.addrs[0], s.https("/status?one"))
	m.eventually(t, "the first shows it", func() bool { return strings.Contains(first.Stdout(), "GET /status?one HTTP/1.1") })
	second := tsharkOn(t, m.addrs[1], "http.request")
	m.readers(t, 2)
	curl(t, "--http1.1", "--cacert", m.root, "-x", "http://"+m.addrs[0], s.https("/status?two"))
	for i, r := range []*peers.Process{first, second} {
		m.eventually(t, "both show the next", func() bool { return strings.Contains(r.Stdout(), "GET /status?two HTTP/1.1") })
		if got := r.Stdout(); strings.Contains(got, "before") || strings.Contains(got, "one") != (i == 0) {
			t.Errorf("reader %d shows\n%s", i, got)
		}
	}
}

// A follower reads a capture over IP to its end.
type follower struct {
	conn  net.Conn
	buf   bytes.Buffer
	got   atomic.Int64
	done  chan struct{}
	paced <-chan time.Time // when to read a little; nil: at once
}

func follow(t *testing.T, addr string, paced <-chan time.Time) *follower {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f := &follower{conn: conn, done: make(chan struct{}), paced: paced}
	go f.run()
	return f
}

func (f *follower) run() {
	defer close(f.done)
	b := make([]byte, 64<<10)
	for {
		if f.paced != nil {
			<-f.paced
		}
		n, err := f.conn.Read(b)
		f.buf.Write(b[:n])
		f.got.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// frames returns a capture without the times at which each reader's packets were made.
func (f *follower) frames(t *testing.T) []byte {
	t.Helper()
	<-f.done
	b := f.buf.Bytes()
	for n := 24; n+16 <= len(b); n += 16 + int(binary.LittleEndian.Uint32(b[n+8:])) {
		clear(b[n : n+8])
	}
	return b
}

// One dead and one slow reader among ten cost the others nothing, and flows no time.
func TestOneDeadAndOneSlowReaderAmongTen(t *testing.T) {
	t.Parallel()
	s := startTapped(t, "127.0.0.1", "--pcapoverip", "127.0.0.1:0")
	feed := s.addrs[1]
	stopped := start(t, peers.Program{
		Name: "socat", Args: []string{"-d", "-d", "-u", "TCP:" + feed, "OPEN:/dev/null"},
		Ready: func(stderr string) bool { return strings.Contains(stderr, "starting data transfer loop") },
	})
	s.readers(t, 1)
	if err := syscall.Kill(stopped.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	slow := follow(t, feed, tick.C)
	var good []*follower
	for range 8 {
		good = append(good, follow(t, feed, nil))
	}
	s.readers(t, 10)

	// What is sent is as much as those that read have read. So it is the dead one and the
	// slow one that the command is too fast for, however slow this machine is.
	const rounds, size = 14, 4 << 20
	for i := range rounds {
		s.transfer(t, size)
		for _, r := range good {
			s.eventually(t, "a good reader has got it", func() bool { return r.got.Load() > int64(i+1)*size })
		}
	}
	s.eventually(t, "the dead one loses flows", func() bool { return strings.Contains(s.Stderr(), "too slow and loses flows") })
	s.finish(t)
	stopped.Stop()
	tick.Reset(time.Microsecond)

	want := good[0].frames(t)
	for i, r := range good {
		if !bytes.Equal(r.frames(t), want) {
			t.Errorf("reader %d got %d bytes, another %d, and they are not the same", i, r.buf.Len(), len(want))
		}
	}
	all := conversations(t, writeFile(t, "good.pcap", string(want)))
	if len(all) != rounds {
		t.Errorf("the good readers got %d conversations, want %d", len(all), rounds)
	}
	for _, c := range all {
		if c.bytes[1] != size {
			t.Errorf("a conversation has %d bytes, want %d", c.bytes, size)
		}
	}
	if n := strings.Count(s.Stderr(), `"lost flows":0`); n < 8 || n > 9 {
		t.Errorf("%d readers have lost nothing, want the good ones:\n%s", n, s.Stderr())
	}
	if got := slow.frames(t); len(got) < 24 || !bytes.Equal(got[:24], want[:24]) {
		t.Errorf("the slow reader got %d bytes, and no capture", len(got))
	}
}

// A reader that is connected to gets a capture with each connection, and the command
// comes back to it when it comes back.
func TestAReaderThatIsConnectedTo(t *testing.T) {
	t.Parallel()
	port := reserve(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	s := startTapped(t, "127.0.0.1", "--pcapoveripconnect", addr, "--autoflush", "0.1")
	s.exchange(t, "to nobody")
	s.eventually(t, "a line about it", func() bool { return strings.Contains(s.Stderr(), "can't reach the reader") })
	dir := t.TempDir()
	for i, text := range []string{"first", "second"} {
		file := fmt.Sprintf("%s/%d.pcap", dir, i)
		collector := start(t, peers.Program{
			Name: "socat", Args: []string{"-u", fmt.Sprintf("TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr", port), "CREATE:" + file},
			Ready: func(string) bool { return true },
		})
		s.readers(t, i+1)
		s.exchange(t, text)
		s.eventually(t, "the collector has got it", func() bool { return endsWhole(file, text) })
		collector.Stop()
		all := conversations(t, file)
		if len(all) != 1 || all[0].bytes != [2]int64{int64(1 + len(text)), 0} {
			t.Errorf("the %s collector got %+v", text, all)
		}
	}
	if n := strings.Count(s.Stderr(), "can't reach the reader"); n < 1 || n > 2 {
		t.Errorf("%d lines that nobody is there, want one each time", n)
	}
}

// endsWhole reports whether a capture holds a text, and its last packet is a whole one that
// ends a connection: the ACK of the second FIN.
func endsWhole(file, text string) bool {
	b, err := os.ReadFile(file) // it is made when the collector is connected
	if err != nil || !bytes.Contains(b, []byte(text)) {
		return false
	}
	const fileHeader, packetHeader, tcpFlags = 24, 16, 14 + 20 + 13
	n, fins := fileHeader, 0
	for n+packetHeader+tcpFlags < len(b) {
		if b[n+packetHeader+tcpFlags]&finFlag != 0 {
			fins++
		}
		n += packetHeader + int(binary.LittleEndian.Uint32(b[n+8:]))
	}
	return n == len(b) && fins == 2
}
