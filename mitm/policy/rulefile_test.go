package policy_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/mitm/policy"
)

// loadError returns why rules are refused, without the folder of the file.
func loadError(t *testing.T, folder string, s policy.Sources) string {
	t.Helper()
	r, err := policy.LoadRules(t.Context(), s)
	if err == nil || r != nil {
		t.Fatalf("loaded %v, error %v; want an error", r, err)
	}
	return strings.ReplaceAll(err.Error(), folder+string(filepath.Separator), "")
}

func TestWhatIsWrongWithARuleFile(t *testing.T) {
	const (
		fallback = `"default": {"action": {"type": "inspect"}}`
		matches  = "want nontls, domain, domain_regex, domain_in_file, alpn, ja3, ja4, decrypt_fail, decrypt_fail_errorcode, client, destination, path, ech or server_cert"
		actions  = "want inspect, bypass, block, encrypt or terminate"
	)
	match := func(m string) string {
		return "{" + fallback + ",\n\"rules\": [{\n\"match\": " + m + ",\n\"action\": {\"type\": \"block\"}}]}"
	}
	action := func(a string) string {
		return "{" + fallback + ",\n\"rules\": [{\n\"match\": {\"type\": \"client\", \"expression\": \"192.0.2.1\"},\n\"action\": " + a + "}]}"
	}
	pair := func(m, a string) string {
		return "{" + fallback + ",\n\"rules\": [{\"match\": " + m + ",\n\"action\": " + a + "}]}"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "1: not JSON: the file ends in the middle"},
		{"a beginning", "{\n\"rules\": [\n", "3: not JSON: the file ends in the middle"},
		{"an open string", "{\n\"name", "2: not JSON: the file ends in the middle"},
		{"no JSON", "{\n\"name\": rules}", "2: not JSON: invalid character 'r' looking for beginning of value"},
		{"a comma too much", "{" + fallback + ",\n\n}", "3: not JSON: invalid character '}' looking for beginning of object key string"},
		{"a comma too few", "{" + fallback + "\n\"rules\": []}", "2: not JSON: invalid character '\"' after object key:value pair"},
		{"something after the end", "{" + fallback + "}\n{}", "2: { after the end of the rules: want one object"},
		{"a bracket after the end", "{" + fallback + "}\n]", "2: not JSON: invalid character ']' looking for beginning of value"},
		{"an array", "[]", "1: the file is an array: want an object"},
		{"a string", "\n\"rules\"", "2: the file is \"rules\": want an object"},
		{"too many arrays", strings.Repeat("[", 1000), "1: nested too deep"},
		{"a name that is a number", "{\"name\": 7}", "1: name is 7: want a string"},
		{"a version that is an array", "{\n\"version\": []}", "2: version is an array: want a string"},
		{"an unknown field", "{" + fallback + ",\n\"rulez\": []}", "2: the file has no \"rulez\": want name, description, version, rules or default"},
		{"a field in capitals", "{" + fallback + ",\n\"Rules\": []}", "2: the file has no \"Rules\": want name, description, version, rules or default"},
		{"a field twice", "{" + fallback + ",\n" + fallback + "}", "2: \"default\" is there twice"},
		{"no default", "{\"rules\": []}", "1: no default: want one, like \"default\": {\"action\": {\"type\": \"inspect\"}}"},
		{"a default that is a word", "{\n\"default\": \"inspect\"}", "2: default is \"inspect\": want an object"},
		{"a default without an action", "{\n\"default\": {}}", "2: default has no action"},
		{"a default with a match", "{\"default\": {\"action\": {\"type\": \"block\"},\n\"match\": {}}}", "2: default has no \"match\": want action or description"},
		{"rules that are an object", "{" + fallback + ",\n\"rules\": {}}", "2: rules is an object: want an array"},
		{"a rule that is a word", "{" + fallback + ",\n\"rules\": [\n\"x\"]}", "3: a rule is \"x\": want an object"},
		{"a rule without a match", "{" + fallback + ",\n\"rules\": [\n{\"action\": {\"type\": \"block\"}}]}", "3: the rule has no match"},
		{"a rule without an action", "{" + fallback + ",\n\"rules\": [\n{\"match\": {\"type\": \"nontls\"}}]}", "3: the rule has no action"},
		{"active in words", "{" + fallback + ",\n\"rules\": [{\n\"active\": \"yes\"}]}", "3: active is \"yes\": want true or false"},
		{"a description that is none", "{" + fallback + ",\n\"rules\": [{\n\"description\": true}]}", "3: description is true: want a string"},
		{"an unknown field of a rule", "{" + fallback + ",\n\"rules\": [{\"match\": {\"type\": \"ech\"}, \"action\": {\"type\": \"block\"},\n\"enabled\": true}]}", "3: a rule has no \"enabled\": want active, description, match or action"},

		{"a match that is a word", match(`"nontls"`), "3: match is \"nontls\": want an object"},
		{"a match without type", match(`{"expression": "x"}`), "3: match type is null: " + matches},
		{"an unknown type", match(`{"type": "domian"}`), "3: match type is \"domian\": " + matches},
		{"a type that is a number", match(`{"type": 1}`), "3: match type is 1: " + matches},
		{"an unknown field of a match", match("{\"type\": \"domain\", \"expression\": \"a.test\",\n\"format\": \"rpz\"}"), "4: match domain has no \"format\": want type or expression"},
		{"an unknown field where none is known", match(`{"type": "nontls", "period": 1}`), "3: match nontls has no \"period\": want type"},
		{"nontls with an expression", match(`{"type": "nontls", "expression": "x"}`), "3: nontls has no expression"},

		{"a domain with a space", match(`{"type": "domain", "expression": "a b"}`), "3: expression is \"a b\": want a domain name, or null for none"},
		{"an empty domain", match(`{"type": "domain", "expression": ""}`), "3: expression is \"\": want a domain name, or null for none"},
		{"a domain that is a number", match(`{"type": "domain", "expression": 7}`), "3: expression is 7: want a domain name, or null for none"},
		{"a domain with an empty label", match(`{"type": "domain", "expression": "a..b"}`), "3: expression is \"a..b\": want a domain name, or null for none"},

		{"a bad expression", match("{\"type\": \"domain_regex\",\n\"expression\": \"a(b\"}"), "4: expression is \"a(b\": missing closing ): \"(?i)a(b\"; see the syntax of RE2"},
		{"an expression that looks ahead", match(`{"type": "domain_regex", "expression": "(?!www)"}`), "3: expression is \"(?!www)\": invalid or unsupported Perl syntax: \"(?!\"; RE2 has no lookahead and no lookbehind; use two rules"},
		{"an expression without end", match(`{"type": "domain_regex", "expression": "` + strings.Repeat("a", 70_000) + `"}`), "3: expression is \"" + strings.Repeat("a", 80) + "...\": longer than 65536 bytes: use a list"},
		{"no expression", match(`{"type": "domain_regex"}`), "3: expression is null: want a regular expression"},

		{"a list without a name", match(`{"type": "domain_in_file"}`), "3: expression is null: want a file or a URL"},
		{"a list that is not there", match(`{"type": "domain_in_file", "expression": "missing.txt"}`), "3: open missing.txt: no such file or directory"},
		{"a list that is a folder", match(`{"type": "domain_in_file", "expression": "folder"}`), "3: open folder: it is a directory"},
		{"a list of an unknown format", match(`{"type": "domain_in_file", "expression": "list.txt", "format": "hosts"}`), "3: format is \"hosts\": want domainlist, rpz, easylist or crux"},
		{"a list of a format that is a number", match(`{"type": "domain_in_file", "expression": "list.txt", "format": 2}`), "3: format is 2: want domainlist, rpz, easylist or crux"},
		{"a list with a wrong line", match(`{"type": "domain_in_file", "expression": "bad.txt"}`), "bad.txt:3: \"<html>\": want a domain name"},
		{"gzip in words", match(`{"type": "domain_in_file", "expression": "list.txt", "gzip": "no"}`), "3: gzip is \"no\": want true or false"},
		{"no gzip where it should be", match(`{"type": "domain_in_file", "expression": "list.txt", "gzip": true}`), "3: list.txt: it is not packed with gzip: want \"gzip\": false"},
		{"gzip where it should not be", match(`{"type": "domain_in_file", "expression": "list.gz", "gzip": false}`), "3: list.gz: it is packed with gzip: want \"gzip\": true"},
		{"gzip that is damaged", match(`{"type": "domain_in_file", "expression": "list.gz"}`), "3: list.gz: unexpected EOF"},
		{"reload in the past", match(`{"type": "domain_in_file", "expression": "list.txt", "reload": -1}`), "3: reload is -1: want a whole number from 0 to 31536000"},
		{"reload in a fraction", match(`{"type": "domain_in_file", "expression": "list.txt", "reload": 1.5}`), "3: reload is 1.5: want a whole number from 0 to 31536000"},

		{"an empty ALPN", match(`{"type": "alpn", "expression": ""}`), "3: expression is \"\": want the name of a protocol, like h2"},
		{"a short JA3", match(`{"type": "ja3", "expression": "0149"}`), "3: expression is \"0149\": want a JA3 hash, 32 hexadecimal digits"},
		{"a JA3 that is a JA4", match(`{"type": "ja4", "expression": "0149f47eabf9a20d0893e2a44e5a6323"}`), "3: expression is \"0149f47eabf9a20d0893e2a44e5a6323\": want a JA4 fingerprint, like t13d1516h2_8daaf6152771_02713d6af862"},

		{"no count", match(`{"type": "decrypt_fail", "period": 1}`), "3: expression is null: want a whole number from 1 to 100"},
		{"a count of nothing", match(`{"type": "decrypt_fail", "expression": 0, "period": 1}`), "3: expression is 0: want a whole number from 1 to 100"},
		{"a count of too much", match(`{"type": "decrypt_fail", "expression": 1000, "period": 1}`), "3: expression is 1000: want a whole number from 1 to 100"},
		{"a period of nothing", match("{\"type\": \"decrypt_fail\", \"expression\": 1,\n\"period\": 0}"), "4: period is 0: want a whole number from 1 to 31536000"},
		{"an unknown alert", match(`{"type": "decrypt_fail_errorcode", "expression": "unknown ca"}`), "3: expression is \"unknown ca\": want an alert by number or name, like 48 or unknown_ca, or OpenSSL's code for it, like 0x0A000418"},
		{"a code of another library", match(`{"type": "decrypt_fail_errorcode", "expression": "0x02000002"}`), "3: expression is \"0x02000002\": want an alert by number or name, like 48 or unknown_ca, or OpenSSL's code for it, like 0x0A000418"},
		{"a count of an alert", match(`{"type": "decrypt_fail_errorcode", "expression": 48, "count": 101}`), "3: count is 101: want a whole number from 1 to 100"},

		{"no client", match(`{"type": "client"}`), "3: expression is null: want addresses like 192.0.2.0/24"},
		{"a client by name", match(`{"type": "client", "expression": "localhost"}`), "3: \"localhost\": want an address or a prefix, like 192.0.2.0/24"},
		{"a prefix that is too long", match("{\"type\": \"destination\", \"expression\": [\"10.0.0.0/8\",\n\"10.0.0.0/33\"]}"), "4: \"10.0.0.0/33\": want an address or a prefix, like 192.0.2.0/24"},
		{"a comma at the end", match(`{"type": "client", "expression": "10.0.0.0/8,"}`), "3: \"\" in expression: want addresses like 192.0.2.0/24"},
		{"no clients", match(`{"type": "client", "expression": []}`), "3: expression is an array: want addresses like 192.0.2.0/24"},
		{"clients that are numbers", match(`{"type": "client", "expression": [1]}`), "3: 1 in expression: want addresses like 192.0.2.0/24"},
		{"an empty layer", match(`{"type": "path", "expression": "socks5>>tls"}`), "3: expression is \"socks5>>tls\": want layers like socks5>tls; * is any characters of a layer, ** any layers"},
		{"ECH in a string", match(`{"type": "ech", "expression": "grease"}`), "3: expression is \"grease\": want true (which it is without one) or false"},
		{"an unknown certificate", match(`{"type": "server_cert", "expression": "valid,revoked"}`), "3: expression is \"revoked\": want valid, expired, selfsigned, untrusted or wronghost"},
		{"no certificate", match(`{"type": "server_cert"}`), "3: expression is null: want valid, expired, selfsigned, untrusted or wronghost"},

		{"an action that is a word", action(`"block"`), "4: action is \"block\": want an object"},
		{"an action without type", action(`{}`), "4: action type is null: " + actions},
		{"an unknown action", action(`{"type": "allow"}`), "4: action type is \"allow\": " + actions},
		{"an action that is nothing", action(`{"type": ""}`), "4: action type is \"\": " + actions},
		{"an unknown field of an action", action("{\"type\": \"block\",\n\"log\": true}"), "5: action has no \"log\": want type, target or throttle"},
		{"a target without a host", action(`{"type": "bypass", "target": ":80"}`), "4: target is \":80\": want HOST:PORT, or HOST to keep the port"},
		{"a target with a name for a port", action(`{"type": "bypass", "target": "a.test:http"}`), "4: target is \"a.test:http\": want HOST:PORT, or HOST to keep the port"},
		{"a target with port 0", action(`{"type": "bypass", "target": "a.test:0"}`), "4: target is \"a.test:0\": want HOST:PORT, or HOST to keep the port"},
		{"a target that is a URL", action(`{"type": "bypass", "target": "http://a.test"}`), "4: target is \"http://a.test\": want HOST:PORT, or HOST to keep the port"},
		{"a target that is a number", action(`{"type": "bypass", "target": 80}`), "4: target is 80: want HOST:PORT, or HOST to keep the port"},
		{"a throttle in words", action(`{"type": "bypass", "throttle": "slow"}`), "4: throttle is \"slow\": want bytes a second, like 500000 or \"10k\""},
		{"a throttle of nothing", action(`{"type": "bypass", "throttle": 0}`), "4: throttle is 0: want bytes a second, like 500000 or \"10k\""},
		{"a throttle below nothing", action(`{"type": "bypass", "throttle": "-1k"}`), "4: throttle is \"-1k\": want bytes a second, like 500000 or \"10k\""},
		{"a throttle that is none", action(`{"type": "bypass", "throttle": "9999999999999G"}`), "4: throttle is \"9999999999999G\": want bytes a second, like 500000 or \"10k\""},
		{"a block with a target", action(`{"type": "block", "target": "a.test:80"}`), "4: what is blocked has no target and no throttle"},

		{"TLS that is encrypted", pair(`{"type": "ech"}`, `{"type": "encrypt"}`), "3: ech matches TLS only, which is encrypted already: want another action, or match nontls"},
		{"no TLS that is inspected", pair(`{"type": "nontls"}`, `{"type": "inspect"}`), "3: nontls matches what is no TLS: there is nothing to inspect; want bypass, block or encrypt"},
		{"no TLS that is terminated", pair(`{"type": "nontls"}`, `{"type": "terminate"}`), "3: nontls matches what is no TLS: there is nothing to terminate; want bypass, block or encrypt"},
		{"a target when it is too late", pair(`{"type": "server_cert", "expression": "valid"}`, `{"type": "bypass", "target": "a.test"}`), "3: when the server's certificate is known, the server was dialled: want inspect, bypass or block, without target"},
		{"terminated when it is too late", pair(`{"type": "server_cert", "expression": "valid"}`, `{"type": "terminate"}`), "3: when the server's certificate is known, the server was dialled: want inspect, bypass or block, without target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "list.txt", "example.com\n")
			write(t, folder, "bad.txt", "example.com\n# a comment\n<html>\n")
			write(t, folder, "list.gz", "\x1f\x8b\x08")
			if err := os.Mkdir(filepath.Join(folder, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			got := loadError(t, folder, policy.Sources{Ruleset: write(t, folder, "rules.json", tt.text)})
			want := tt.want
			if !strings.HasPrefix(want, "bad.txt") {
				want = "rules.json:" + want
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestFilesThatAreNotThere(t *testing.T) {
	folder := t.TempDir()
	missing := filepath.Join(folder, "missing")
	for _, s := range []policy.Sources{{Ruleset: missing}, {Bypass: []string{missing}}, {BypassExact: []string{missing}}} {
		if r, err := policy.LoadRules(t.Context(), s); r != nil || !errors.Is(err, fs.ErrNotExist) || err.Error() != fmt.Sprintf("open %s: no such file or directory", missing) {
			t.Errorf("%+v: %v, error %v", s, r, err)
		}
	}
}

// What people's files have besides what they need.
func TestWhatARuleFileMayHave(t *testing.T) {
	for name, text := range map[string]string{
		"a byte order mark":             "\ufeff" + `{"default": {"action": {"type": "inspect"}}}`,
		"white space around":            "\r\n\t " + `{"default": {"action": {"type": "inspect"}}}` + " \r\n",
		"null for what is not there":    `{"name": null, "version": null, "description": null, "rules": null, "default": {"action": {"type": "inspect", "target": null, "throttle": null}, "description": null}}`,
		"a version that is a number":    `{"version": 1.5, "default": {"action": {"type": "inspect"}}}`,
		"no rules":                      `{"rules": [], "default": {"action": {"type": "inspect"}}}`,
		"numbers in strings":            one(`{"type": "decrypt_fail", "expression": "2", "period": "60"}`),
		"an alert by number":            one(`{"type": "decrypt_fail_errorcode", "expression": 48}`),
		"a rule that is active in null": `{"rules": [{"active": null, "description": null, "match": {"type": "ech"}, "action": {"type": "block"}}], "default": {"action": {"type": "inspect"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if d := load(t, text).Decide(hello(nil)); d.Action != policy.Inspect || d.Rule != "default" {
				t.Errorf("%+v", d)
			}
		})
	}
}

// FuzzRules holds that whatever a rule file says is either refused in one line with file and line, or decides flows as
// asking rule by rule does.
func FuzzRules(f *testing.F) {
	f.Add(certRules)
	f.Add(one(`{"type": "nontls"}`))
	f.Add(one(`{"type": "domain", "expression": null}`))
	f.Add(one(`{"type": "domain_regex", "expression": "^www\\."}`))
	f.Add(one(`{"type": "domain_in_file", "expression": "list.txt", "format": "domainlist", "gzip": false, "reload": 5}`))
	f.Add(one(`{"type": "decrypt_fail", "expression": 2, "period": 3600}`))
	f.Add(one(`{"type": "decrypt_fail_errorcode", "expression": "0x0A000418", "period": 60, "count": 1}`))
	f.Add(one(`{"type": "client", "expression": ["10.0.0.0/8", "::1"]}`))
	f.Add(one(`{"type": "path", "expression": "**>socks*"}`))
	f.Add(one(`{"type": "ech", "expression": false}`))
	folder := f.TempDir()
	write(f, folder, "list.txt", "example.com\n")
	flows := []policy.Facts{hello(nil), {}, {NonTLS: true}, hello(func(f *policy.Facts) { f.ServerCert = "expired" })}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "http") || strings.Contains(text, "/") || strings.Contains(text, `\u`) {
			return // no file but list.txt, and nothing is fetched
		}
		file := write(t, folder, "rules.json", text)
		r, err := policy.LoadRules(t.Context(), policy.Sources{Ruleset: file})
		if err != nil {
			if msg := err.Error(); !strings.HasPrefix(msg, folder) || strings.ContainsAny(msg, "\n\r\x1b") {
				t.Errorf("error %q", msg)
			}
			return
		}
		for _, flow := range flows {
			sameAsExplained(t, r, flow)
		}
	})
}

// sameAsExplained holds that what is looked up is what asking rule by rule comes to.
func sameAsExplained(t *testing.T, r *policy.Rules, flow policy.Facts) {
	t.Helper()
	d, steps := r.Explain(flow)
	last := steps[len(steps)-1]
	rule := last.Rule
	if last.Description != "" {
		rule = last.Description
	}
	if last.Verdict != policy.Matches || rule != d.Rule {
		t.Errorf("%+v is decided by %q, and explained by %v", flow, d.Rule, last)
	}
}
