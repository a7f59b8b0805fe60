package policy_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// load returns the rules of a rule file with these rules.
func load(t testing.TB, text string) *policy.Rules {
	t.Helper()
	return loadFrom(t, policy.Sources{Ruleset: write(t, t.TempDir(), "rules.json", text)})
}

func loadFrom(t testing.TB, s policy.Sources) *policy.Rules {
	t.Helper()
	r, err := policy.LoadRules(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t testing.TB, folder, name, text string) (file string) {
	t.Helper()
	file = filepath.Join(folder, name)
	// By rename, or somebody could read a part of it.
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	return file
}

// one is a rule file whose only rule blocks what matches.
func one(match string) string {
	return fmt.Sprintf(`{"rules": [{"match": %s, "action": {"type": "block"}}], "default": {"action": {"type": "inspect"}}}`, match)
}

// hello are the facts of a flow of curl's.
func hello(change func(*policy.Facts)) policy.Facts {
	f := policy.Facts{
		SNI: "WWW.Example.com.", ALPN: []string{"h2", "http/1.1"},
		JA3: "0149f47eabf9a20d0893e2a44e5a6323", JA4: "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6",
		Client:      netip.MustParseAddr("192.0.2.7"),
		Destination: bridge.Addr{Host: "203.0.113.9", Port: 443},
		Path:        "proxy2>socks5",
	}
	if change != nil {
		change(&f)
	}
	return f
}

// The shape of a rule file: a list of bad names, one that is only slowed down, and whatever is no TLS.
func ExampleLoadRules() {
	folder, err := os.MkdirTemp("", "rules")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	os.WriteFile(filepath.Join(folder, "bad.txt"), []byte("malware.example\n"), 0o600)
	file := filepath.Join(folder, "rules.json")
	os.WriteFile(file, []byte(`{
		"name": "example", "version": "1.0",
		"rules": [
			{"match": {"type": "nontls"}, "action": {"type": "block"}, "description": "not TLS"},
			{"match": {"type": "domain_in_file", "expression": "bad.txt", "reload": 60}, "action": {"type": "block"}},
			{"match": {"type": "domain", "expression": "example.com"}, "action": {"type": "inspect", "throttle": "10k"}}
		],
		"default": {"action": {"type": "bypass"}}
	}`), 0o600)

	rules, err := policy.LoadRules(context.Background(), policy.Sources{Ruleset: file})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, flow := range []policy.Facts{
		{NonTLS: true}, {SNI: "www.malware.example"}, {SNI: "www.example.com"}, {SNI: "example.org"},
	} {
		d := rules.Decide(flow)
		fmt.Println(d.Action, d.Throttle, d.Rule)
	}
	// Output:
	// block 0 not TLS
	// block 0 rule 2
	// inspect 10000 rule 3
	// bypass 0 default
}

func TestWhatMatches(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "list.txt", "example.com\n")
	for _, tt := range []struct {
		name    string
		match   string
		flow    policy.Facts
		matches bool
	}{
		{"no TLS", `{"type": "nontls"}`, policy.Facts{NonTLS: true}, true},
		{"TLS where none is asked for", `{"type": "nontls"}`, hello(nil), false},

		{"the domain itself", `{"type": "domain", "expression": "www.example.com"}`, hello(nil), true},
		{"a domain above", `{"type": "domain", "expression": "Example.COM."}`, hello(nil), true},
		{"a top level", `{"type": "domain", "expression": "com"}`, hello(nil), true},
		{"a domain with a wildcard", `{"type": "domain", "expression": "*.example.com"}`, hello(nil), true},
		{"a domain below", `{"type": "domain", "expression": "a.www.example.com"}`, hello(nil), false},
		{"the end of a label", `{"type": "domain", "expression": "ample.com"}`, hello(nil), false},
		{"an international domain", `{"type": "domain", "expression": "bücher.example"}`, policy.Facts{SNI: "xn--bcher-kva.example"}, true},
		{"no SNI", `{"type": "domain", "expression": null}`, policy.Facts{}, true},
		{"no SNI, without an expression", `{"type": "domain"}`, policy.Facts{}, true},
		{"no SNI where there is one", `{"type": "domain", "expression": null}`, hello(nil), false},
		{"no SNI where there is no TLS", `{"type": "domain", "expression": null}`, policy.Facts{NonTLS: true}, false},

		{"an expression", `{"type": "domain_regex", "expression": "^www\\."}`, hello(nil), true},
		{"an expression in capitals", `{"type": "domain_regex", "expression": "EXAMPLE\\.COM$"}`, hello(nil), true},
		{"another expression", `{"type": "domain_regex", "expression": "^example"}`, hello(nil), false},
		{"an expression that matches nothing, without SNI", `{"type": "domain_regex", "expression": "x*"}`, policy.Facts{}, false},

		{"a list", `{"type": "domain_in_file", "expression": "list.txt"}`, hello(nil), true},
		{"a list of others", `{"type": "domain_in_file", "expression": "list.txt"}`, policy.Facts{SNI: "example.org"}, false},
		{"a list, without SNI", `{"type": "domain_in_file", "expression": "list.txt"}`, policy.Facts{}, false},

		{"the first ALPN", `{"type": "alpn", "expression": "h2"}`, hello(nil), true},
		{"the second ALPN", `{"type": "alpn", "expression": "http/1.1"}`, hello(nil), true},
		{"another ALPN", `{"type": "alpn", "expression": "H2"}`, hello(nil), false},

		{"the JA3", `{"type": "ja3", "expression": "0149F47EABF9A20D0893E2A44E5A6323"}`, hello(nil), true},
		{"another JA3", `{"type": "ja3", "expression": "0149f47eabf9a20d0893e2a44e5a6324"}`, hello(nil), false},
		{"the JA4", `{"type": "ja4", "expression": "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"}`, hello(nil), true},
		{"another JA4", `{"type": "ja4", "expression": "t13d3112h2_e8f1e7e78f70_b26ce05bbdd7"}`, hello(nil), false},

		{"the client", `{"type": "client", "expression": "192.0.2.7"}`, hello(nil), true},
		{"the client's network", `{"type": "client", "expression": "10.0.0.0/8, 192.0.2.0/24"}`, hello(nil), true},
		{"the client in an array", `{"type": "client", "expression": ["10.0.0.0/8", "192.0.2.0/24"]}`, hello(nil), true},
		{"the client when it is no TLS", `{"type": "client", "expression": "192.0.2.7"}`, hello(func(f *policy.Facts) { *f = policy.Facts{NonTLS: true, Client: f.Client} }), true},
		{"another client", `{"type": "client", "expression": "192.0.2.8"}`, hello(nil), false},
		{"a client that is not known", `{"type": "client", "expression": "0.0.0.0/0"}`, policy.Facts{}, false},

		{"the destination", `{"type": "destination", "expression": "203.0.113.9"}`, hello(nil), true},
		{"another destination", `{"type": "destination", "expression": "203.0.113.10/31"}`, hello(nil), false},
		{"a destination that is a name", `{"type": "destination", "expression": ["0.0.0.0/0", "::/0"]}`, policy.Facts{Destination: bridge.Addr{Host: "example.com", Port: 443}}, false},
		{"a destination in IPv6", `{"type": "destination", "expression": "2001:db8::/32"}`, policy.Facts{Destination: bridge.Addr{Host: "2001:db8::1", Port: 443}}, true},

		{"the path", `{"type": "path", "expression": "proxy2>socks5"}`, hello(nil), true},
		{"a part of the path", `{"type": "path", "expression": "socks5"}`, hello(nil), false},
		{"any layers before", `{"type": "path", "expression": "**>socks*"}`, hello(nil), true},
		{"no path", `{"type": "path", "expression": "raw"}`, policy.Facts{}, true},

		{"ECH", `{"type": "ech"}`, policy.Facts{ECH: true}, true},
		{"ECH in words", `{"type": "ech", "expression": true}`, policy.Facts{ECH: true}, true},
		{"no ECH", `{"type": "ech"}`, hello(nil), false},
		{"a hello without ECH", `{"type": "ech", "expression": false}`, hello(nil), true},
		{"no hello, without ECH", `{"type": "ech", "expression": false}`, policy.Facts{NonTLS: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := loadFrom(t, policy.Sources{Ruleset: write(t, folder, "rules.json", one(tt.match))})
			d := r.Decide(tt.flow)
			if got := d.Action == policy.Block; got != tt.matches {
				t.Errorf("matches: %v, want %v", got, tt.matches)
			}
			if want := map[bool]string{true: "rule 1", false: "default"}[tt.matches]; d.Rule != want {
				t.Errorf("rule %q, want %q", d.Rule, want)
			}
		})
	}
}

// Whatever the rules match by, it is their order that decides.
func TestTheFirstMatchWins(t *testing.T) {
	matches := []string{
		`{"type": "domain", "expression": "example.com"}`,
		`{"type": "domain", "expression": "com"}`,
		`{"type": "domain", "expression": "www.example.com"}`,
		`{"type": "domain_regex", "expression": "example"}`,
		`{"type": "alpn", "expression": "h2"}`,
		`{"type": "alpn", "expression": "http/1.1"}`,
		`{"type": "ja3", "expression": "0149f47eabf9a20d0893e2a44e5a6323"}`,
		`{"type": "ja4", "expression": "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"}`,
		`{"type": "client", "expression": "192.0.2.0/24"}`,
		`{"type": "path", "expression": "**"}`,
	}
	for i := range matches {
		rotated := slices.Concat(matches[i:], matches[:i])
		for inactive := range rotated {
			var rules []string
			for at, m := range rotated {
				rules = append(rules, fmt.Sprintf(`{"active": %v, "match": %s, "action": {"type": "bypass"}}`, at >= inactive, m))
			}
			r := load(t, `{"rules": [`+strings.Join(rules, ",\n")+`], "default": {"action": {"type": "inspect"}}}`)
			if got, want := r.Decide(hello(nil)).Rule, fmt.Sprintf("rule %d", inactive+1); got != want {
				t.Fatalf("%s\ndecided by %s, want %s", strings.Join(rules, "\n"), got, want)
			}
		}
	}
}

func TestWhatAnActionSays(t *testing.T) {
	for text, want := range map[string]policy.Decision{
		`{"type": "inspect"}`:                               {Action: policy.Inspect},
		`{"type": "block"}`:                                 {Action: policy.Block},
		`{"type": "terminate", "target": "127.0.0.1:80"}`:   {Action: policy.Terminate, Target: bridge.Addr{Host: "127.0.0.1", Port: 80}},
		`{"type": "encrypt", "target": "Example.com"}`:      {Action: policy.Encrypt, Target: bridge.Addr{Host: "example.com"}},
		`{"type": "bypass", "target": "[2001:db8::1]:443"}`: {Action: policy.PassOn, Target: bridge.Addr{Host: "2001:db8::1", Port: 443}},
		`{"type": "bypass", "target": "2001:db8::1"}`:       {Action: policy.PassOn, Target: bridge.Addr{Host: "2001:db8::1"}},
		`{"type": "bypass", "target": null}`:                {Action: policy.PassOn},
		`{"type": "inspect", "throttle": "10k"}`:            {Action: policy.Inspect, Throttle: 10_000},
		`{"type": "inspect", "throttle": "3M"}`:             {Action: policy.Inspect, Throttle: 3_000_000},
		`{"type": "inspect", "throttle": "1g"}`:             {Action: policy.Inspect, Throttle: 1_000_000_000},
		`{"type": "inspect", "throttle": "512"}`:            {Action: policy.Inspect, Throttle: 512},
		`{"type": "inspect", "throttle": 2500}`:             {Action: policy.Inspect, Throttle: 2500},
	} {
		got := load(t, `{"default": {"action": `+text+`}}`).Decide(hello(nil))
		want.Rule = "default"
		if got != want {
			t.Errorf("%s\n got %+v\nwant %+v", text, got, want)
		}
	}
}

const certRules = `{"rules": [
	{"match": {"type": "server_cert", "expression": "expired,wronghost"}, "action": {"type": "block"}, "description": "bad"},
	{"match": {"type": "server_cert", "expression": ["valid"]}, "action": {"type": "inspect", "throttle": "1k"}, "description": "good"},
	{"match": {"type": "domain", "expression": "terminate.test"}, "action": {"type": "terminate", "target": "127.0.0.1:80"}},
	{"match": {"type": "domain", "expression": "block.test"}, "action": {"type": "block"}},
	{"match": {"type": "server_cert", "expression": "selfsigned"}, "action": {"type": "block"}, "description": "own"},
	{"match": {"type": "server_cert", "expression": "untrusted"}, "action": {"type": "inspect"}, "description": "unknown"}
], "default": {"action": {"type": "bypass", "target": "192.0.2.1:443"}}}`

func TestARuleForTheServersCertificateIsAwaited(t *testing.T) {
	r := load(t, certRules)
	first := r.Decide(policy.Facts{SNI: "example.com"})
	if first.Action != policy.Inspect || !first.Awaits || first.Target.String() != "192.0.2.1:443" {
		t.Errorf("before the certificate is known: %+v", first)
	}
	for verdict, want := range map[string]struct {
		action   policy.Action
		rule     string
		throttle int64
	}{
		"ok":              {policy.Inspect, "good", 1000},
		"expired":         {policy.Block, "bad", 0},
		"wrong host":      {policy.Block, "bad", 0},
		"self-signed":     {policy.Block, "own", 0},
		"unknown issuer":  {policy.Inspect, "unknown", 0},
		"bad signature":   {policy.Inspect, "unknown", 0},
		"revoked":         {policy.Inspect, "unknown", 0},
		"weak key":        {policy.Inspect, "unknown", 0},
		"something new":   {policy.Inspect, "unknown", 0},
		"":                {policy.Inspect, "default", 0},
		"invalid verdict": {policy.Inspect, "unknown", 0},
	} {
		d := first.WithServerCert(verdict)
		if d.Action != want.action || d.Rule != want.rule || d.Throttle != want.throttle || d.Target != first.Target || d.Awaits != (verdict == "") {
			t.Errorf("%q: %+v, want %+v", verdict, d, want)
		}
		// Somebody who knows it from the beginning gets the same.
		if known := r.Decide(policy.Facts{SNI: "example.com", ServerCert: verdict}); verdict != "" && (known.Action != want.action || known.Rule != want.rule) {
			t.Errorf("%q from the beginning: %+v, want %+v", verdict, known, want)
		}
	}
}

func TestWhenTheServersCertificateIsNotAwaited(t *testing.T) {
	r := load(t, certRules)
	if d := r.Decide(policy.Facts{SNI: "terminate.test"}); d.Awaits || d.Action != policy.Terminate {
		t.Errorf("where the server is to speak plaintext: %+v", d)
	}
	if d := r.Decide(policy.Facts{NonTLS: true}); d.Awaits || d.Action != policy.PassOn {
		t.Errorf("where there is no TLS: %+v", d)
	}
	if d := r.Decide(policy.Facts{SNI: "block.test"}); !d.Awaits || d.WithServerCert("ok").Rule != "good" || d.WithServerCert("revoked").Action != policy.Block {
		t.Errorf("where another rule would inspect: %+v", d)
	}
	same := load(t, `{"rules": [
		{"match": {"type": "server_cert", "expression": "expired"}, "action": {"type": "block"}}
	], "default": {"action": {"type": "block"}}}`)
	if d := same.Decide(hello(nil)); d.Awaits || d.Action != policy.Block {
		t.Errorf("where it makes no difference: %+v", d)
	}
}

func TestNoRulesInspect(t *testing.T) {
	var none *policy.Rules
	if d := none.Decide(hello(nil)); d.Action != policy.Inspect || d.Rule != "" {
		t.Errorf("nil rules: %+v", d)
	}
	none.Failed(hello(nil), tlsbridge.UnknownCA)
	if err := none.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	none.Watch(t.Context())
	if d := loadFrom(t, policy.Sources{}).Decide(hello(nil)); d.Action != policy.Inspect || d.Rule != "" {
		t.Errorf("rules from nowhere: %+v", d)
	}
}
