package policy_test

import (
	"path/filepath"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

func TestNamesThatArePassedOn(t *testing.T) {
	folder := t.TempDir()
	s := policy.Sources{
		Ruleset:     write(t, folder, "rules.json", one(`{"type": "domain", "expression": "test"}`)),
		Bypass:      []string{write(t, folder, "bypass", "\ufeff# expressions\r\n\r\n^bank[0-9]*\\.\r\n"), write(t, folder, "more", "\\.More\\.test$")},
		BypassExact: []string{write(t, folder, "exact", "# names\nExact.test.\nb\u00fccher.test\n")},
	}
	r := loadFrom(t, s)
	for name, rule := range map[string]string{
		"bank7.test": "bypass", "BANK.test.": "bypass", "www.bank.test": "rule 1", "a.more.test": "bypass", "more.test": "rule 1",
		"exact.TEST": "bypassexact", "www.exact.test": "rule 1", "xn--bcher-kva.test": "bypassexact", "example.com": "default", "": "default",
	} {
		d := r.Decide(policy.Facts{SNI: name})
		if d.Rule != rule || (d.Action == policy.PassOn) != (rule == "bypass" || rule == "bypassexact") {
			t.Errorf("%q: %+v, want %s", name, d, rule)
		}
		sameAsExplained(t, r, policy.Facts{SNI: name})
	}
	s.BypassAll = true
	for _, f := range []policy.Facts{{}, {NonTLS: true}, {SNI: "www.exact.test"}} {
		if d := loadFrom(t, s).Decide(f); d.Action != policy.PassOn || d.Rule != "bypass" {
			t.Errorf("everything: %+v", d)
		}
	}
}

func TestWhatIsWrongWithFilesOfNames(t *testing.T) {
	for _, tt := range []struct{ text, bypass, exact string }{
		{"a(b", `1: missing closing ): "(?i)a(b"; see the syntax of RE2`, `1: "a(b": want a name, or --bypass with a regular expression`},
		{"\n# x\n(?=a)", `3: invalid or unsupported Perl syntax: "(?="; RE2 has no lookahead and no lookbehind; use two rules`, `3: "(?=a)": want a name, or --bypass with a regular expression`},
		{"*.a.test", `1: missing argument to repetition operator: "*"; see the syntax of RE2`, `1: "*.a.test": want a name, or --bypass with a regular expression`},
	} {
		folder := t.TempDir()
		file := write(t, folder, "names", tt.text)
		if got := loadError(t, folder, policy.Sources{Bypass: []string{file}}); got != "names:"+tt.bypass {
			t.Errorf("%q: %s, want %s", tt.text, got, tt.bypass)
		}
		if got := loadError(t, folder, policy.Sources{BypassExact: []string{file}}); got != "names:"+tt.exact {
			t.Errorf("%q: %s, want %s", tt.text, got, tt.exact)
		}
	}
}

func TestRedirects(t *testing.T) {
	var s policy.Sources
	for _, text := range []string{"a.test,B.Test.:c.test", "*.a.test:192.0.2.1:8443", "d.test:[2001:db8::1]:443", "www.a.test:e.test:1"} {
		redirect, err := policy.ParseRedirect(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Redirects = append(s.Redirects, redirect)
	}
	s.Ruleset = write(t, t.TempDir(), "rules.json", `{"rules": [
		{"match": {"type": "alpn", "expression": "block"}, "action": {"type": "block"}},
		{"match": {"type": "alpn", "expression": "target"}, "action": {"type": "terminate", "target": "f.test:80"}}
	], "default": {"action": {"type": "bypass"}}}`)
	r := loadFrom(t, s)
	c := bridge.Addr{Host: "c.test"}
	for _, tt := range []struct {
		name   string
		flow   policy.Facts
		target bridge.Addr
	}{
		{"the name", policy.Facts{SNI: "A.test."}, c},
		{"another of the names", policy.Facts{SNI: "b.test"}, c},
		{"a name below", policy.Facts{SNI: "www.a.test"}, bridge.Addr{Host: "192.0.2.1", Port: 8443}},
		{"a name that only ends alike", policy.Facts{SNI: "xa.test"}, bridge.Addr{}},
		{"IPv6", policy.Facts{SNI: "d.test"}, bridge.Addr{Host: "2001:db8::1", Port: 443}},
		{"the name of the destination", policy.Facts{NonTLS: true, Destination: bridge.Addr{Host: "a.test", Port: 80}}, c},
		{"the SNI before that", policy.Facts{SNI: "x.test", Destination: bridge.Addr{Host: "a.test", Port: 443}}, bridge.Addr{}},
		{"what is blocked", policy.Facts{SNI: "a.test", ALPN: []string{"block"}}, bridge.Addr{}},
		{"a rule's target", policy.Facts{SNI: "a.test", ALPN: []string{"target"}}, bridge.Addr{Host: "f.test", Port: 80}},
		{"nothing", policy.Facts{}, bridge.Addr{}},
	} {
		if got := r.Decide(tt.flow).Target; got != tt.target {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.target)
		}
	}
	for _, text := range []string{"", ":", "a.test", "a.test:", ":b.test", "a b:c.test", "a.test,:b.test", "a.test:b.test:0", "a.test:b.test:x", "a.test:b.test:99999", "a.test:*.b.test", "a.test:/b"} {
		if got, err := policy.ParseRedirect(text); err == nil || got.Names != nil {
			t.Errorf("ParseRedirect(%q) = %+v, error %v", text, got, err)
		}
	}
}

func TestPathPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		matches       bool
	}{
		{"socks5", "socks5", true},
		{"socks5", "socks5>tls(h2)", false},
		{"*", "raw", true},
		{"*", "proxy2>socks5", false},
		{"**", "proxy2>socks5>tls(h2)", true},
		{"**>tls(*)", "proxy2>socks5>tls(h2)", true},
		{"**>tls(*)", "tls(h2)", true},
		{"**>tls(*)", "tls", false},
		{"proxy?>socks5", "proxy2>socks5", false},
		{"proxy*>socks*", "proxy2>socks4a", true},
		{"**>socks5>**", "proxy2>socks5", true},
		{"**>socks5>**", "socks5>connect>tls", true},
		{"**>socks5>**", "connect>tls", false},
		{"**>connect>**>connect", "connect>x>connect>y>connect", true},
		{"**>connect>**>connect", "connect", false},
		{"*a*b*a", "abba", true},
		{"*a*b*a", "aab", false},
	} {
		r := load(t, one(`{"type": "path", "expression": "`+tt.pattern+`"}`))
		if got := r.Decide(policy.Facts{Path: tt.path}).Action == policy.Block; got != tt.matches {
			t.Errorf("%s of %s: %v, want %v", tt.pattern, tt.path, got, tt.matches)
		}
	}
}

// A list is found beside the rules that mention it, wherever they are read from.
func TestListsLieBesideTheirRules(t *testing.T) {
	folder := t.TempDir()
	list := write(t, folder, "list", "a.test\n")
	beside := write(t, folder, "rules.json", one(`{"type": "domain_in_file", "expression": "list"}`))
	elsewhere := write(t, t.TempDir(), "rules.json", one(`{"type": "domain_in_file", "expression": "`+filepath.ToSlash(list)+`"}`))
	for _, file := range []string{beside, elsewhere} {
		if r := loadFrom(t, policy.Sources{Ruleset: file}); !blocks(r, "a.test") {
			t.Errorf("%s does not block", file)
		}
	}
}
