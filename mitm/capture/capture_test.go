package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	client = bridge.Client
	server = bridge.Server
)

func TestAConversationIsATCPConnection(t *testing.T) {
	s := start(t, Config{})
	f := web().make(t)
	o := s.Observer()
	show := o.Tap(f)
	request, answer := []byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte("answer "), 1000)
	show(client, request)
	show(server, answer)
	show(server, nil)
	show(client, []byte("x"))
	o.Close(f, outcome(bridge.EOF, bridge.ByServer))

	all := s.finish()
	if len(all) != 1 {
		t.Fatalf("%d connections, want 1", len(all))
	}
	c := all[0]
	if c.client.String() != "198.51.100.2:50122" || c.server.String() != "203.0.113.9:80" {
		t.Errorf("addresses %v and %v", c.client, c.server)
	}
	if !c.begun.Equal(f.Start().Truncate(time.Microsecond)) {
		t.Errorf("begins %v, the flow began %v", c.begun, f.Start())
	}
	want := []write{{client, string(request)}, {server, string(answer)}, {client, "x"}}
	if !slices.Equal(c.writes, want) {
		t.Errorf("writes %+v, want %+v", c.writes, want)
	}
	if c.end != "fin by server" {
		t.Errorf("end %q", c.end)
	}
	if got := s.Stats(); got != (Stats{Flows: 1, Packets: 3 + 2 + 6 + 2 + 3, Payload: int64(len(request) + len(answer) + 1)}) {
		t.Errorf("stats %+v", got)
	}
}

func TestTheEndOfAFlowIsTheEndOfItsConnection(t *testing.T) {
	for _, tt := range []struct {
		reason bridge.Reason
		by     bridge.Party
		want   string
	}{
		{bridge.EOF, bridge.ByClient, "fin by client"},
		{bridge.EOF, bridge.ByServer, "fin by server"},
		{bridge.EOF, bridge.ByMITM, "fin by server"},
		{bridge.Resets, bridge.ByClient, "rst by client"},
		{bridge.Resets, bridge.ByServer, "rst by server"},
		{bridge.Idle, bridge.ByMITM, "rst by server"},
		{bridge.Shutdown, bridge.ByMITM, "rst by server"},
		{bridge.Internal, bridge.ByClient, "rst by client"},
	} {
		for _, moved := range []bool{true, false} {
			s := start(t, Config{})
			f := web().make(t)
			o := s.Observer()
			show := o.Tap(f)
			if moved {
				show(client, []byte("x"))
			}
			o.Close(f, outcome(tt.reason, tt.by))
			if all := s.finish(); len(all) != 1 || all[0].end != tt.want {
				t.Errorf("%s by %s, moved %v: %+v, want the end %q", tt.reason, tt.by, moved, all, tt.want)
			}
		}
	}
}

func TestOnlyDecryptedFlowsAreWrittenUnlessAllAre(t *testing.T) {
	pass := bridge.Frame{Proto: "tls", Verb: bridge.VerbPass}
	socks := bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		wanted bool
		port   uint16 // of the server, with All
	}{
		{"decrypted", []bridge.Frame{decrypted()}, true, 80},
		{"decrypted below another layer", []bridge.Frame{decrypted(), socks}, true, 80},
		{"without frames", nil, false, 443},
		{"with a layer that takes nothing off", []bridge.Frame{socks}, false, 443},
		{"passed", []bridge.Frame{pass}, false, 443},
		{"decrypted, and passed inside of that", []bridge.Frame{decrypted(), pass}, false, 443},
	} {
		for _, all := range []bool{false, true} {
			s := start(t, Config{All: all})
			d := web()
			d.frames = tt.frames
			f := d.make(t)
			o := s.Observer()
			show := o.Tap(f)
			if wanted := tt.wanted || all; (show != nil) != wanted {
				t.Fatalf("%s, all %v: Tap() != nil is %v, want %v", tt.name, all, show != nil, wanted)
			}
			if show != nil {
				show(client, []byte("x"))
			}
			o.Close(f, outcome(bridge.EOF, bridge.ByClient))
			got := s.finish()
			if show == nil && len(got) != 0 {
				t.Errorf("%s: not tapped, and in the capture", tt.name)
			}
			if show != nil && (len(got) != 1 || got[0].server.Port() != tt.port) {
				t.Errorf("%s: captured %+v, want the port %d", tt.name, got, tt.port)
			}
		}
	}
}

func TestFlowsAreInterleavedAsTheirBytesCame(t *testing.T) {
	s := start(t, Config{})
	o := s.Observer()
	var shows []func(bridge.Side, []byte)
	for _, addr := range []string{"198.51.100.2:1", "198.51.100.2:2"} {
		d := web()
		d.client = addr
		shows = append(shows, o.Tap(d.make(t)))
	}
	for i := range 6 {
		shows[i%2](bridge.Side(i/2%2), []byte{byte('a' + i)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var order strings.Builder
	for _, p := range read(t, s.buf.Bytes()) {
		order.Write(p.payload)
	}
	if order.String() != "abcdef" {
		t.Errorf("order %q, want abcdef", order.String())
	}
}

func TestManyFlowsAtATimeStayApart(t *testing.T) {
	s := start(t, Config{})
	o := s.Observer()
	var all sync.WaitGroup
	const flows, writes = 40, 50
	for i := range flows {
		d := web()
		d.client = fmt.Sprintf("198.51.100.2:%d", 1000+i)
		f := d.make(t)
		show := o.Tap(f)
		all.Go(func() {
			var both sync.WaitGroup
			for _, from := range []bridge.Side{client, server} {
				both.Go(func() {
					for range writes {
						show(from, bytes.Repeat([]byte(d.client+"\n"), 50))
					}
				})
			}
			both.Wait()
			o.Close(f, outcome(bridge.EOF, bridge.ByClient))
		})
	}
	all.Wait()
	got := s.finish()
	if len(got) != flows {
		t.Fatalf("%d connections, want %d", len(got), flows)
	}
	for _, c := range got {
		want := strings.Repeat(c.client.String()+"\n", 50*writes)
		if string(c.streams[client]) != want || string(c.streams[server]) != want || c.end == "" {
			t.Errorf("%v: %d and %d bytes, want %d of its own each; end %q",
				c.client, len(c.streams[client]), len(c.streams[server]), len(want), c.end)
		}
	}
}

func TestTheSamePortsAgainAreASecondConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{})
		o := s.Observer()
		for _, text := range []string{"first", "second"} {
			f := web().make(t)
			o.Tap(f)(client, []byte(text))
			o.Close(f, outcome(bridge.EOF, bridge.ByMITM))
			<-time.After(100 * time.Microsecond)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		segments := read(t, s.buf.Bytes())
		if got := follow(t, segments); len(got) != 2 || string(got[1].streams[client]) != "second" {
			t.Errorf("connections %+v", got)
		}
		if a, b := segments[0].seq, segments[8].seq; a == b {
			t.Errorf("both connections begin with the sequence number %d: readers take the second for the first sent again", a)
		}
	})
}

func TestWhatIsWrittenCanBeReadAtAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{})
		if got := read(t, s.buf.Bytes()); len(got) != 0 {
			t.Errorf("%d packets in a new capture", len(got))
		}
		f := web().make(t)
		show := s.Observer().Tap(f)
		for i := range 3 {
			show(client, []byte("x"))
			<-time.After(autoflush + time.Millisecond)
			synctest.Wait()
			if got := len(read(t, s.buf.Bytes())); got != 3+2*(i+1) {
				t.Errorf("%d packets are written after a second, want %d", got, 3+2*(i+1))
			}
		}
		s.finish()
	})
}

func TestCreate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "flows.pcap")
	if err := os.WriteFile(name, []byte("what was there before, longer than a header"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"a file is emptied", "a new file is private"} {
		w, err := Create(name, Config{})
		if err != nil {
			t.Fatal(err)
		}
		show := w.Observer().Tap(web().make(t))
		show(client, []byte("secret"))
		for range 2 {
			if err := w.Close(); err != nil {
				t.Fatalf("%s: Close: %v", before, err)
			}
		}
		show(client, []byte("after the end"))
		pcap, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := follow(t, read(t, pcap)); len(got) != 1 || string(got[0].streams[client]) != "secret" {
			t.Errorf("%s: captured %+v", before, got)
		}
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", before, info.Mode(), err)
		}
		os.Remove(name)
	}
	if _, err := Create(filepath.Join(name, "below"), Config{}); err == nil || !strings.HasPrefix(err.Error(), "create capture: ") {
		t.Errorf("Create() in no directory = %v", err)
	} else if pe := (*fs.PathError)(nil); !errors.As(err, &pe) {
		t.Errorf("Create() = %v, want the cause in it", err)
	}
}
