package classify

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

func TestAnswersOnOneLine(t *testing.T) {
	tests := []struct {
		name   string
		family Family
		data   string
		ended  bool
		want   string
	}{
		{"a request", Clients(), "GET / HTTP/1.1\r\n\r\n", false, `http version="1.1" verb="GET"`},
		{"a destination", Clients(), "CONNECT example.com:443 HTTP/1.1\r\n\r\n", false, `connect version="1.1" verb="CONNECT" host="example.com" port=443`},
		{"addresses", Clients(), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", false, `proxy1 version="1" src=192.0.2.1:1 dst=192.0.2.2:2`},
		{"a greeting", Servers(), "SSH-2.0-OpenSSH_9.2\r\n", false, `ssh version="2.0" software="OpenSSH_9.2"`},
		{"nothing known", Clients(), "the quick brown fox", true, "unknown"},
		{"a beginning", Clients(), "PROXY TCP4 192", false, `proxy1 version="1"`},
		{"an open end", Family{Client, []detect.Detector{detect.Prefix("p", "prefix")}}, "pre", false, "undecided bytes=3 need=6"},
		{"the same, ended", Family{Client, []detect.Detector{detect.Prefix("p", "prefix")}}, "pre", true, "unknown"},
		{"no byte", Clients(), "", true, "silent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.family.Identify([]byte(tt.data), tt.ended).String(); got != tt.want {
				t.Errorf("%q is %s, want %s", tt.data, got, tt.want)
			}
		})
	}
}

// Each field that a detector may fill in stands on the line and in the JSON.
func TestAnswersSayAllThatADetectorDoes(t *testing.T) {
	info := detect.Info{
		Protocol: "p", Version: "v", Verb: "w", Host: "h", Port: 7, ALPN: []string{"a", "b"}, User: "u", Database: "d",
		Path: "/q", Software: "s\x1b[2J", Src: netip.MustParseAddrPort("192.0.2.1:1"), Dst: netip.MustParseAddrPort("192.0.2.2:2"),
	}
	f := Family{Client, []detect.Detector{detect.Func("f", 1, func([]byte) detect.Verdict { return detect.Yes(info) })}}
	a := f.Identify([]byte("x"), false)
	const line = `p version="v" verb="w" host="h" alpn="a,b" user="u" database="d" path="/q" software="s\x1b[2J" port=7 src=192.0.2.1:1 dst=192.0.2.2:2`
	if got := a.String(); got != line {
		t.Errorf("the line is %s, want %s", got, line)
	}
	const object = `{"from":"client","verdict":"match","bytes":1,"detector":"f","protocol":"p","version":"v","verb":"w","host":"h","alpn":["a","b"],"user":"u","database":"d","path":"/q","software":"s\u001b[2J","port":7,"src":"192.0.2.1:1","dst":"192.0.2.2:2"}`
	if got, err := json.Marshal(a); err != nil || string(got) != object {
		t.Errorf("the JSON is %s, %v, want %s", got, err, object)
	}
}

func TestHellosAreFingerprinted(t *testing.T) {
	hello := sample(t, "hellos/curl.bin")
	a := Clients().Identify(hello, false)
	if !strings.HasPrefix(a.JA4, "t13d") || len(a.JA3) != 32 {
		t.Errorf("the fingerprints are %q and %q", a.JA3, a.JA4)
	}
}

// sample is a file of the samples that the whole module shares.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
