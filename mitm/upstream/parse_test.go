package upstream

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestParse(t *testing.T) {
	at := func(host string, port uint16) bridge.Addr { return bridge.Addr{Host: host, Port: port} }
	for _, tt := range []struct {
		text string
		want Proxy
		url  string // as it is printed
	}{
		{"socks5://localhost:1080", Proxy{SOCKS5, at("localhost", 1080), "", ""}, "socks5://localhost:1080"},
		{"socks5h://localhost:1080", Proxy{SOCKS5, at("localhost", 1080), "", ""}, "socks5://localhost:1080"},
		{"SOCKS5://localhost:1080/", Proxy{SOCKS5, at("localhost", 1080), "", ""}, "socks5://localhost:1080"},
		{"socks5:localhost:1080", Proxy{SOCKS5, at("localhost", 1080), "", ""}, "socks5://localhost:1080"},
		{"socks4://192.0.2.1:1080", Proxy{SOCKS4, at("192.0.2.1", 1080), "", ""}, "socks4://192.0.2.1:1080"},
		{"socks4a:me@h:1", Proxy{SOCKS4, at("h", 1), "me", ""}, "socks4://me@h:1"},
		{"http:proxy.example:3128", Proxy{HTTP, at("proxy.example", 3128), "", ""}, "http://proxy.example:3128"},
		{"https://[2001:db8::1]:443", Proxy{HTTPS, at("2001:db8::1", 443), "", ""}, "https://[2001:db8::1]:443"},
		{"http:[::1]:8080", Proxy{HTTP, at("::1", 8080), "", ""}, "http://[::1]:8080"},
		{"socks5://alice:secret@h:1", Proxy{SOCKS5, at("h", 1), "alice", "secret"}, "socks5://alice:xxxxx@h:1"},
		{"socks5://alice:@h:1", Proxy{SOCKS5, at("h", 1), "alice", ""}, "socks5://alice@h:1"},
		{"socks5://:secret@h:1", Proxy{SOCKS5, at("h", 1), "", "secret"}, "socks5://:xxxxx@h:1"},
		{"http://a%40b:p%3A%2f%25%40@h:1", Proxy{HTTP, at("h", 1), "a@b", "p:/%@"}, "http://a%40b:xxxxx@h:1"},
		{"http://a@b:p@h:1", Proxy{HTTP, at("h", 1), "a@b", "p"}, "http://a%40b:xxxxx@h:1"},
		{"http://a:b:c@h:1", Proxy{HTTP, at("h", 1), "a", "b:c"}, "http://a:xxxxx@h:1"},
	} {
		got, err := Parse(tt.text)
		if err != nil || *got != tt.want {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", tt.text, got, err, tt.want)
			continue
		}
		if !Is(tt.text) {
			t.Errorf("Is(%q) is false", tt.text)
		}
		text, err := json.Marshal(got)
		if got.String() != tt.url || err != nil || string(text) != `"`+tt.url+`"` || fmt.Sprintf("%v %+v", got, *got) != tt.url+" "+tt.url {
			t.Errorf("%q is printed as %s and %s, want %s", tt.text, got, text, tt.url)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	long := strings.Repeat("s3cret", 43)
	for _, tt := range []struct{ text, want string }{
		{"", "want socks5://, socks4://, http:// or https://"},
		{"ftp://h:1", "want socks5://, socks4://, http:// or https://"},
		{"socks://h:1", "want socks5://, socks4://, http:// or https://"},
		{"socks5://h", "want HOST:PORT behind socks5:"},
		{"socks5://u:s3cret@h", "want HOST:PORT"},
		{"socks5://", "want HOST:PORT"},
		{"socks5://h:0", "want HOST:PORT"},
		{"socks5://h:65536", "want HOST:PORT"},
		{"socks5://h:1/path", "want HOST:PORT"},
		{"socks5://h h:1", "want HOST:PORT"},
		{"http://::1:80", "want HOST:PORT"},
		{"http://u:s3cret%@h:1", "percent-encoded"},
		{"http://%zz:s3cret@h:1", "percent-encoded"},
		{"http://a%3ab:s3cret@h:1", "no colon"},
		{"https://a:s3cret%0a@h:1", "no control characters"},
		{"socks4://a:s3cret@h:1", "SOCKS4 has no passwords"},
		{"socks4://a%00@h:1", "without NUL"},
		{"socks5://a:" + long + "@h:1", "255 bytes"},
		{"socks5://" + long + ":b@h:1", "255 bytes"},
	} {
		got, err := Parse(tt.text)
		if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", tt.text, got, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Parse(%q): %q shows a password, or is no line", tt.text, err)
		}
	}
}

// What is an address of a server is none of a proxy.
func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"example.com:443": false, "[::1]:443": false, "socks5:1080": false, "http:80": false, "": false, "::1": false,
		"socks5:h:1": true, "http:h:80": true, "ftp://h:1": true, "//h:1": false, "socks5://": true,
	} {
		if got := Is(text); got != want {
			t.Errorf("Is(%q) = %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"socks5://a:b@h:1", "http:h:1", "https://[::1]:1/", "socks4a://%41@h:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		bare := *p
		bare.Password = ""
		again, err := Parse(bare.String())
		if err != nil || *again != bare {
			t.Errorf("Parse(%q) = %#v, whose URL %s parses to %#v, %v", s, p, bare, again, err)
		}
	})
}
