package capture

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		wrong  string
	}{
		{"nothing is said", Config{}, ""},
		{"pcap with its one view", Config{Views: []View{ViewDecrypted}}, ""},
		{"pcapng with all views", Config{Format: PCAPNG, Views: []View{ViewServer, ViewDecrypted, ViewClient}}, ""},
		{"pcap with a view that needs keys", Config{Views: []View{ViewClient}}, "only pcapng"},
		{"a view twice", Config{Format: PCAPNG, Views: []View{ViewClient, ViewClient}}, "at most once"},
		{"an unknown view", Config{Format: PCAPNG, Views: []View{"wire"}}, `"wire"`},
		{"an unknown format", Config{Format: 2}, "format 2"},
		{"a negative cutoff", Config{Cutoff: -1}, "cutoff"},
	} {
		err := tt.config.Validate()
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.wrong)
		}
		if w, got := NewWriter(io.Discard, tt.config); got == nil {
			w.Close()
		} else if err == nil {
			t.Errorf("%s: NewWriter() = %v", tt.name, got)
		}
	}
}

func TestParseFormat(t *testing.T) {
	for text, want := range map[string]Format{"pcap": PCAP, "pcapng": PCAPNG} {
		if got, err := ParseFormat(text); got != want || err != nil {
			t.Errorf("ParseFormat(%q) = %v, %v", text, got, err)
		}
	}
	if _, err := ParseFormat("PCAP"); err == nil {
		t.Error("ParseFormat took another word")
	}
}

func TestParseViews(t *testing.T) {
	got, err := ParseViews("server,decrypted")
	if want := []View{ViewServer, ViewDecrypted}; !slices.Equal(got, want) || err != nil {
		t.Errorf("ParseViews() = %v, %v", got, err)
	}
	for _, text := range []string{"", "all", "client,", "client,client", "client, server"} {
		if got, err := ParseViews(text); err == nil {
			t.Errorf("ParseViews(%q) = %v", text, got)
		}
	}
}

func TestParsePortMap(t *testing.T) {
	got, err := ParsePortMap("443:80,9443:9080,0:1")
	if want := (PortMap{443: 80, 9443: 9080, 0: 1}); !maps.Equal(got, want) || err != nil {
		t.Errorf("ParsePortMap() = %v, %v", got, err)
	}
	for _, text := range []string{"", "443", "443:", ":80", "443:0", "443:80,", "443:80:80", "443:65536", "a:80", "443:80,443:81", "443=80", "-1:80"} {
		if got, err := ParsePortMap(text); err == nil {
			t.Errorf("ParsePortMap(%q) = %v", text, got)
		}
	}
}

func TestThePortOfADecryptedFlow(t *testing.T) {
	decides := func(ok bool) func(*bridge.Flow) (uint16, bool) {
		return func(f *bridge.Flow) (uint16, bool) { return uint16(f.Server().Port) + 1, ok }
	}
	for _, tt := range []struct {
		name   string
		config Config
		frames []bridge.Frame
		want   uint16
	}{
		{"the table has it", Config{}, []bridge.Frame{decrypted()}, 80},
		{"the map comes first", Config{PortMap: PortMap{443: 8888}}, []bridge.Frame{decrypted()}, 8888},
		{"the map leaves a port as it is", Config{PortMap: PortMap{443: 443}}, []bridge.Frame{decrypted()}, 443},
		{"the map has others", Config{PortMap: PortMap{444: 8888}}, []bridge.Frame{decrypted()}, 80},
		{"what is known of the flow comes before", Config{PortMap: PortMap{443: 8888}, Port: decides(true)}, []bridge.Frame{decrypted()}, 444},
		{"nothing is known of the flow", Config{PortMap: PortMap{443: 8888}, Port: decides(false)}, []bridge.Frame{decrypted()}, 8888},
		{"it was not decrypted", Config{PortMap: PortMap{443: 8888}, Port: decides(true), All: true}, nil, 443},
	} {
		s := start(t, tt.config)
		d := web()
		d.frames = tt.frames
		s.Observer().Tap(d.make(t))(client, []byte("x"))
		if got := s.finish()[0].server.Port(); got != tt.want {
			t.Errorf("%s: port %d, want %d", tt.name, got, tt.want)
		}
	}
}
