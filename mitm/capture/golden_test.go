package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// goldens are captures of one flow each, by the name of their files in testdata.
var goldens = map[string]func(t *testing.T, o *bridge.Observer){
	"ipv4": func(t *testing.T, o *bridge.Observer) {
		f := web().make(t)
		show := o.Tap(f)
		<-time.After(1500 * time.Microsecond)
		show(client, []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
		<-time.After(20 * time.Millisecond)
		show(server, []byte("HTTP/1.1 200 OK\r\nContent-Length: 1500\r\n\r\n"+strings.Repeat("0123456789abcde\n", 1500/16)+"0123456789\r\n"))
		<-time.After(time.Millisecond)
		o.Close(f, outcome(bridge.EOF, bridge.ByClient))
	},
	"ipv6": func(t *testing.T, o *bridge.Observer) {
		f := flow{client: "[2001:db8::2]:50122", server: "[2001:db8::9]:993", frames: []bridge.Frame{decrypted()}}.make(t)
		show := o.Tap(f)
		show(server, []byte("* OK ready\r\n"))
		<-time.After(time.Second / 4)
		show(client, []byte("a logout\r\n"))
		o.Close(f, outcome(bridge.Resets, bridge.ByServer))
	},
	"mixed": func(t *testing.T, o *bridge.Observer) {
		f := flow{client: "198.51.100.2:50122", server: "[2001:db8::9]:443", frames: []bridge.Frame{decrypted()}}.make(t)
		o.Tap(f)(client, []byte("GET / HTTP/1.0\r\n\r\n"))
		o.Close(f, outcome(bridge.EOF, bridge.ByServer))
	},
}

func TestGoldens(t *testing.T) {
	for name, conversation := range goldens {
		t.Run(name, func(t *testing.T) {
			var pcap []byte
			synctest.Test(t, func(t *testing.T) { // whose clock begins at a fixed time
				s := start(t, Config{})
				conversation(t, s.Observer())
				if len(s.finish()) != 1 {
					t.Error("not one connection")
				}
				pcap = s.buf.Bytes()
			})
			golden(t, name+".pcap", pcap)
			golden(t, name+".txt", text(t, pcap))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew); got\n%s", name, hex.Dump(got))
	}
}

// text is a capture to be read by people: the file header, and each packet with a line
// that says what it is.
func text(t *testing.T, pcap []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "file header\n%s", hex.Dump(pcap[:24]))
	rest := pcap[24:]
	for i, s := range read(t, pcap) {
		n := packetHeader + int(binary.LittleEndian.Uint32(rest[8:]))
		fmt.Fprintf(&b, "\n%d: %v\n%s", i+1, s, hex.Dump(rest[:n]))
		rest = rest[n:]
	}
	return b.Bytes()
}
