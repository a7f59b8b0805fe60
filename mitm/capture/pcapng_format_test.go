package capture

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// startNg makes a Writer of a pcapng capture.
func startNg(t *testing.T, views ...View) *session {
	t.Helper()
	return start(t, Config{Format: PCAPNG, Views: views, Application: "mitm v1"})
}

// blocks closes the Writer and returns what is in the capture.
func (s *session) blocks() []ngBlock {
	s.tb.Helper()
	if err := s.Close(); err != nil {
		s.tb.Fatal(err)
	}
	return readNg(s.tb, s.buf.Bytes())
}

// outline says what blocks there are, without the packets that nothing is said of.
func outline(all []ngBlock) string {
	var lines []string
	for _, b := range all {
		switch b.kind {
		case sectionHeaderBlock:
			lines = append(lines, "section "+b.options[shbUserAppl])
		case interfaceDescriptionBlock:
			lines = append(lines, "interface "+b.options[ifName])
		case nameResolutionBlock:
			lines = append(lines, "name "+b.name)
		case decryptionSecretsBlock:
			lines = append(lines, "secrets "+strings.TrimSpace(b.secrets))
		case enhancedPacketBlock:
			if comment := b.options[optComment]; comment != "" {
				lines = append(lines, b.iface+" "+b.segment.flags+" "+comment)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// known is a flow of which all is known.
func known() flow {
	d := web()
	d.frames = []bridge.Frame{
		{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: "example.com", Port: 443}},
		{Proto: "tls", Verb: bridge.VerbRelay, SNI: "www.example.com", ALPN: "h2", Decrypted: true, Detail: &tlsbridge.Info{
			ClientJA3: "a3", ClientJA4: "a4", ServerJA3: "b3", ServerJA4: "b4", Rung: "faithful", ECH: "offered",
			ServerLeaf: [32]byte{1}, MintedLeaf: [32]byte{2}, Verdict: "ok", Rule: "two words",
		}},
	}
	return d
}

func TestWhatIsKnownStandsBeforeTheFirstPacket(t *testing.T) {
	s := startNg(t)
	f := known().make(t)
	wire, o := s.Wire(), s.Observer()
	fmt.Fprint(wire.KeyLog(f), "A 01 02\n")
	fmt.Fprint(wire.KeyLog(f), "no line of three words\n")
	fmt.Fprint(wire.KeyLog(f), "B 03 04\n")
	show := o.Tap(f)
	show(client, []byte("x"))
	show(server, []byte("y"))
	o.Close(f, outcome(bridge.EOF, bridge.ByClient))
	all := s.blocks()
	zeros := strings.Repeat("0", 62)
	want := "section mitm v1\ninterface decrypted\nsecrets A 01 02\nB 03 04\nname 203.0.113.9 example.com\n" +
		"decrypted S flow=" + f.ID() + " view=decrypted client=198.51.100.2:50122 server=203.0.113.9:443 target=example.com:443 path=socks5>tls(h2) action=inspect" +
		" sni=www.example.com alpn=h2 ja3=a3 ja4=a4 server_ja3=b3 server_ja4=b4 rung=faithful ech=offered server_sha256=01" + zeros + " leaf_sha256=02" + zeros + ` verdict=ok rule="two words"`
	if got := outline(all); got != want {
		t.Errorf("blocks\n%s\nwant\n%s", got, want)
	}
	c := follow(t, of(ViewDecrypted, all))[0]
	if string(c.streams[client])+string(c.streams[server]) != "xy" || c.end != "fin by client" || c.server.Port() != 80 {
		t.Errorf("conversation %+v", c)
	}
}

// The packets of both formats are the same.
func TestPcapngHasThePacketsOfPcap(t *testing.T) {
	for name, conversation := range goldens {
		t.Run(name, func(t *testing.T) {
			var captures [2][]byte
			for _, format := range []Format{PCAP, PCAPNG} {
				synctest.Test(t, func(t *testing.T) {
					s := start(t, Config{Format: format})
					conversation(t, s.Observer())
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					captures[format] = s.buf.Bytes()
				})
			}
			want, got := read(t, captures[PCAP]), of(ViewDecrypted, readNg(t, captures[PCAPNG]))
			if len(got) != len(want) {
				t.Fatalf("%d packets, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i].String() != want[i].String() || !bytes.Equal(got[i].payload, want[i].payload) {
					t.Errorf("packet %d: %v, want %v", i, got[i], want[i])
				}
			}
		})
	}
}

func TestSecretsThatComeLaterAreWrittenWhenTheyAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startNg(t)
		f := known().make(t)
		keys, show := s.Wire().KeyLog(f), s.Observer().Tap(f)
		show(client, []byte("x"))
		<-time.After(2 * time.Second)
		fmt.Fprint(keys, "A 01 02\n")
		show(client, []byte("y"))
		<-time.After(2 * time.Second)
		show(client, []byte("z"))
		var order []string
		for _, b := range s.blocks() {
			if b.secrets != "" || len(b.segment.payload) > 0 {
				order = append(order, strings.TrimSpace(b.secrets)+string(b.segment.payload))
			}
		}
		if want := []string{"x", "A 01 02", "y", "z"}; !slices.Equal(order, want) {
			t.Errorf("order %q, want %q", order, want)
		}
	})
}

func TestTheSecretsOfAFlowAreBounded(t *testing.T) {
	s := startNg(t)
	f := known().make(t)
	keys := s.Wire().KeyLog(f)
	for i := range 10_000 {
		fmt.Fprintf(keys, "LABEL %032d %032d\n", i, i)
	}
	s.Observer().Tap(f)(client, []byte("x"))
	for _, b := range s.blocks() {
		if b.kind == decryptionSecretsBlock && (len(b.secrets) > secretsLimit || len(b.secrets) < secretsLimit/2) {
			t.Errorf("%d bytes of secrets", len(b.secrets))
		}
	}
	s.Observer().Close(f, outcome(bridge.EOF, bridge.ByClient))
	if _, ok := s.flows.Load(f); ok {
		t.Error("the flow has ended, and its secrets are still there")
	}
}

// turning is a destination that begins a new file with each write.
type turning struct {
	bytes.Buffer
	head []byte
	past [][]byte
}

func (d *turning) begin(header []byte) { d.head = header }
func (d *turning) left() int           { return 1 }

func (d *turning) Write(b []byte) (int, error) {
	if d.Len() == 0 {
		d.Buffer.Write(d.head)
	}
	return d.Buffer.Write(b)
}

func (d *turning) turn() bool {
	if d.Len() > 0 {
		d.past = append(d.past, bytes.Clone(d.Bytes()))
		d.Reset()
	}
	return true
}

func TestEachFileSaysWhatIsKnownOfItsFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &turning{}
		w, err := NewWriter(d, Config{Format: PCAPNG})
		if err != nil {
			t.Fatal(err)
		}
		f, quiet := known().make(t), known().make(t)
		wire, o := w.Wire(), w.Observer()
		fmt.Fprint(wire.KeyLog(f), "A 01 02\n")
		fmt.Fprint(wire.KeyLog(quiet), "B 03 04\n")
		o.Tap(quiet)(client, []byte("quiet"))
		show := o.Tap(f)
		for i := range 3 {
			show(client, []byte{byte('x' + i)})
			<-time.After(2 * time.Second)
		}
		o.Close(f, outcome(bridge.EOF, bridge.ByClient))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var seen []int
		for i, file := range d.past {
			text := outline(readNg(t, file))
			if !strings.Contains(text, "flow="+f.ID()) {
				continue // of the quiet flow
			}
			seen = append(seen, i)
			for _, want := range []string{"section mitm\ninterface decrypted\n", "secrets A 01 02\n", "name 203.0.113.9 example.com\n", "path=socks5>tls(h2)"} {
				if !strings.Contains(text, want) {
					t.Errorf("file %d lacks %q:\n%s", i, want, text)
				}
			}
			if got := strings.Contains(text, "continued=true"); got != (len(seen) > 1) {
				t.Errorf("file %d says that it continues: %v", i, got)
			}
			if strings.Contains(text, "B 03 04") {
				t.Errorf("file %d has the secrets of a flow that is not in it", i)
			}
		}
		if len(seen) != 4 {
			t.Errorf("the flow is in files %v, want 4", seen)
		}
	})
}

func TestNames(t *testing.T) {
	to := func(host string) bridge.Frame {
		return bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: host, Port: 443}}
	}
	sni := func(name string) bridge.Frame {
		return bridge.Frame{Proto: "tls", Verb: bridge.VerbRelay, SNI: name, Decrypted: true}
	}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		want   string
	}{
		{"the target is a name", []bridge.Frame{to("example.com"), sni("sni.example")}, "203.0.113.9 example.com"},
		{"the target is an address", []bridge.Frame{to("203.0.113.10"), sni("sni.example")}, "203.0.113.10 sni.example"},
		{"there is no name", []bridge.Frame{to("203.0.113.10"), sni("")}, ""},
		{"the name has a control character", []bridge.Frame{sni("a\x1b[2Jb.example")}, ""},
		{"it has a zero byte", []bridge.Frame{sni("a\x00b.example")}, ""},
		{"it has a space", []bridge.Frame{sni("a b.example")}, ""},
		{"it is not ASCII", []bridge.Frame{sni("bücher.example")}, ""},
		{"it is too long", []bridge.Frame{sni(strings.Repeat("a", 254))}, ""},
	} {
		s := startNg(t)
		d := web()
		d.frames = tt.frames
		s.Observer().Tap(d.make(t))(client, []byte("x"))
		got := ""
		for _, b := range s.blocks() {
			got += b.name
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestANameIsWrittenOnce(t *testing.T) {
	s := startNg(t)
	for range 3 {
		s.Observer().Tap(known().make(t))(client, []byte("x"))
	}
	names := 0
	for _, b := range s.blocks() {
		if b.name != "" {
			names++
		}
	}
	if names != 1 {
		t.Errorf("%d names, want 1", names)
	}
}

// What came from the wire can't end a word, or a line.
func TestWordsAreQuoted(t *testing.T) {
	var w words
	for _, v := range []string{"", "plain", "two words", "line\nbreak", "q\"uote", `back\slash`, "bücher", "\x00"} {
		w.add("w", v)
	}
	want := `w=plain w="two words" w="line\nbreak" w="q\"uote" w="back\\slash" w="b\u00fccher" w="\x00"`
	if got := strings.Join(w, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
