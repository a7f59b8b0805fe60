package policy

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// said returns what a list says, as text: name, and * for what is below it, and - for exceptions.
func said(d *domains) []string {
	all := []string{}
	for i, tag := range d.tags {
		if tag == 0 {
			continue
		}
		name, value := string(d.name(d.slots[i])), d.slots[i].value
		for what, form := range map[uint32]string{itself: name, below: "*." + name, exceptSelf: "!" + name, exceptBelow: "!*." + name} {
			if value&what != 0 {
				all = append(all, form)
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestWhatListsSay(t *testing.T) {
	for _, tt := range []struct {
		name, format, text string
		want               []string
	}{
		{"nothing", "domainlist", "", nil},
		{"a name", "domainlist", "example.com", []string{"*.example.com", "example.com"}},
		{"lines of Windows", "domainlist", "\ufeffa.test\r\nb.test\r\n", []string{"*.a.test", "*.b.test", "a.test", "b.test"}},
		{"comments and empty lines", "domainlist", "# a list\n\n  a.test  # bad\n#b.test\n", []string{"*.a.test", "a.test"}},
		{"capitals, final dots, wildcards", "domainlist", "A.Test.\n*.B.test\n.c.test\n", []string{"*.a.test", "*.b.test", "*.c.test", "a.test", "b.test", "c.test"}},
		{"an international name", "domainlist", "bücher.example\n", []string{"*.xn--bcher-kva.example", "xn--bcher-kva.example"}},
		{"a name with an underscore", "domainlist", "_dmarc.a.test\n", []string{"*._dmarc.a.test", "_dmarc.a.test"}},
		{"a file of hosts", "domainlist", "0.0.0.0 a.test b.test\n::1\tc.test\n", []string{"*.a.test", "*.b.test", "*.c.test", "a.test", "b.test", "c.test"}},
		{"ranks", "domainlist", "1,a.test\n2,b.test\n", []string{"*.a.test", "*.b.test", "a.test", "b.test"}},

		{"origins", "crux", "origin,rank\nhttps://www.a.test,1000\nhttp://b.test:8080,5000\n", []string{"*.b.test", "*.www.a.test", "b.test", "www.a.test"}},
		{"origins without names of columns", "crux", "https://a.test,1000\n\nhttps://b.test\n", []string{"*.a.test", "*.b.test", "a.test", "b.test"}},
		{"ranks first", "crux", "1,a.test\n", []string{"*.a.test", "a.test"}},

		{"filters", "easylist", "[Adblock Plus 2.0]\n! a list\n||a.test^\n||b.test^$third-party\n||c.test^$script\n||d.test/ads\n||e.test^$domain=x.test\n||f.*.test^\n/banner/\na.test##.ad\n||g.test^|\n||h.test^path\n||192.0.2.1^\n", []string{"*.192.0.2.1", "*.a.test", "*.b.test", "*.g.test", "192.0.2.1", "a.test", "b.test", "g.test"}},
		{"an exception", "easylist", "||a.test^\n@@||good.a.test^\n@@||bad.a.test^$script\n@@||b.test^$third-party,document\n", []string{"!*.b.test", "!*.good.a.test", "!b.test", "!good.a.test", "*.a.test", "a.test"}},
		{"an empty file of filters", "easylist", "", nil},

		{"a zone", "rpz", "$TTL 30\n@ SOA ns.rpz.test. admin.rpz.test. 1 300 1800 604800 30\n NS localhost.\n;\n; comment\na.test CNAME . ; bad\n*.b.test CNAME *.\n", []string{"*.b.test", "a.test"}},
		{"a zone with its own name", "rpz", "$ORIGIN rpz.local.\n@ 3600 IN SOA ns admin (\n 1 ; serial\n 300 1800\n)\n@ IN NS ns\na.test.rpz.local. 60 IN CNAME .\nb.test IN 60 CNAME .\n", []string{"a.test", "b.test"}},
		{"a zone that names itself", "rpz", "rpz.local. 3600 IN SOA ns.rpz.local. admin.rpz.local. (1 300\n1800 604800 30)\na.test.rpz.local. CNAME .\n", []string{"a.test"}},
		{"an origin that changes", "rpz", "$ORIGIN rpz.local.\n@ SOA a b 1 2 3 4 5\n$ORIGIN test.rpz.local.\na CNAME .\n", []string{"a.test"}},
		{"exceptions", "rpz", "*.a.test CNAME .\ngood.a.test CNAME rpz-passthru.\n*.good.a.test CNAME RPZ-PASSTHRU.\n", []string{"!*.good.a.test", "!good.a.test", "*.a.test"}},
		{"all policies", "rpz", "a.test A 192.0.2.1\n  AAAA 2001:db8::1\nb.test TXT \"a ; (text)\"\nc.test CNAME rpz-drop.\nd.test CNAME rpz-tcp-only.\ne.test TYPE65 \\# 0\n", []string{"a.test", "b.test", "c.test", "d.test", "e.test"}},
		{"other triggers", "rpz", "32.1.2.0.192.rpz-ip CNAME .\n32.1.2.0.192.rpz-client-ip CNAME .\nns.a.test.rpz-nsdname CNAME .\n24.0.2.0.192.rpz-nsip CNAME .\na.test CNAME .\n", []string{"a.test"}},
		{"a record over lines", "rpz", "a.test TXT (\n \"x\"\n)\nb.test CNAME .\n", []string{"a.test", "b.test"}},
		{"a time with units", "rpz", "a.test 1h30m CNAME .\n", []string{"a.test"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":     strings.NewReader(tt.text),
				"by the byte": iotest.OneByteReader(strings.NewReader(tt.text)),
			} {
				d, err := parseList(tt.format, r)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if got := said(d); !slices.Equal(got, tt.want) {
					t.Errorf("%s: %q, want %q", how, got, tt.want)
				}
			}
		})
	}
}

func TestWhatIsWrongWithALine(t *testing.T) {
	for _, tt := range []struct{ name, format, text, want string }{
		{"a page", "domainlist", "<!DOCTYPE html>\n", `:1: "<!DOCTYPE html>": want a domain name`},
		{"two names", "domainlist", "a.test\na.test b.test\n", `:2: "a.test b.test": want a domain name`},
		{"a URL", "domainlist", "https://a.test/\n", `:1: "https://a.test/": want a domain name`},
		{"a label that is too long", "domainlist", strings.Repeat("a", 64) + ".test\n", `:1: "` + strings.Repeat("a", 64) + `.test": want a domain name`},
		{"a name that is too long", "domainlist", strings.Repeat("a.", 127) + "a\n", `:1: "` + strings.Repeat("a.", 40) + `...": want a domain name`},
		{"a wrong host", "domainlist", "127.0.0.1 a.test /b\n", `:1: "/b": want a domain name`},
		{"a line without end", "domainlist", "a.test\n" + strings.Repeat("a", maxLine), `:2: a line longer than 65536 bytes: is it domainlist?`},
		{"an origin with a path", "crux", "origin,rank\nhttps://a.test,high\n", `:2: "https://a.test,high": want an origin and its rank, like https://example.com,1000`},
		{"names of columns twice", "crux", "origin,rank\norigin,rank\n", `:2: "origin,rank": want an origin and its rank, like https://example.com,1000`},
		{"an origin that is none", "crux", "<html>\n", `:1: "<html>": want an origin and its rank, like https://example.com,1000`},
		{"no filters", "easylist", "a.test\nb.test\n", `:3: no filter for a domain in the file: is it easylist?`},
		{"a name alone", "rpz", "a.test\n", `:1: "a.test": want a record, like "bad.example CNAME ."`},
		{"a page for a zone", "rpz", "<html>\n", `:1: "<html>": want a record, like "bad.example CNAME ."`},
		{"a record of no type", "rpz", "a.test .\n", `:1: ".": want the type of a record, like CNAME`},
		{"a record without data", "rpz", "a.test CNAME\n", `:1: CNAME of "a.test" has no data`},
		{"a record without owner", "rpz", " CNAME .\n", `:1: the first record has no owner`},
		{"a wildcard for everything", "rpz", "* CNAME .\n", `:1: "*": want a domain name`},
		{"a wildcard in the middle", "rpz", "*.*.test CNAME .\n", `:1: "*.*.test": want a domain name`},
		{"a zone that includes", "rpz", "$INCLUDE /etc/passwd\n", `:1: $INCLUDE is not for lists: want the records themselves`},
		{"an origin without name", "rpz", "$ORIGIN\n", `:1: want $ORIGIN and a name`},
		{"a parenthesis too much", "rpz", "a.test TXT x)\n", `:1: a parenthesis is closed that was not opened`},
		{"a parenthesis too few", "rpz", "a.test TXT (x\n", `:2: the file ends within parentheses`},
		{"a quotation mark too few", "rpz", "a.test TXT \"x\n", `:1: a quotation mark is missing`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseList(tt.format, strings.NewReader(tt.text))
			if err == nil || err.Error() != tt.want || d != nil {
				t.Errorf("%v, error %v\nwant %s", d, err, tt.want)
			}
		})
	}
}

func TestAListThatCantBeRead(t *testing.T) {
	broken := errors.New("broken")
	if _, err := parseList("domainlist", io.MultiReader(strings.NewReader("a.test\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestAtMost(t *testing.T) {
	for length, most := range map[int]int64{0: 10, 9: 10, 10: 10} {
		if text, err := io.ReadAll(atMost(strings.NewReader(strings.Repeat("x", length)), most)); len(text) != length || err != nil {
			t.Errorf("%d of at most %d: %d, error %v", length, most, len(text), err)
		}
	}
	for _, r := range []io.Reader{strings.NewReader(strings.Repeat("x", 2<<20+1)), iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 2<<20+1)))} {
		if text, err := io.ReadAll(atMost(r, 2<<20)); len(text) != 2<<20 || err == nil || err.Error() != "longer than 2 MiB" {
			t.Errorf("%d bytes, error %v", len(text), err)
		}
	}
}

// FuzzLists holds for each format that what is accepted says the same in any pieces, that only names are said, and that
// an error is one line.
func FuzzLists(f *testing.F) {
	for _, text := range []string{
		"a.test\n*.b.test # x\n0.0.0.0 c.test d.test\n1,e.test\n",
		"$ORIGIN rpz.local.\n@ IN SOA a b (1\n 2) ; x\na.test.rpz.local. 60 IN CNAME .\n*.b CNAME rpz-passthru.\n",
		"[Adblock]\n||a.test^\n@@||b.a.test^$third-party\n||c.test^$script\n",
		"origin,rank\nhttps://www.a.test,1000\n",
		"a.test TXT \"x\\\" (\"\n", "\ufeff", "(", "\\",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range listFormats {
			d, err := parseList(format, strings.NewReader(text))
			if err != nil {
				if msg := err.Error(); strings.ContainsAny(msg, "\n\r\x1b") {
					t.Errorf("%s: error %q", format, msg)
				}
				continue
			}
			again, err := parseList(format, iotest.HalfReader(bytes.NewReader([]byte(text))))
			if err != nil || !slices.Equal(said(again), said(d)) {
				t.Errorf("%s: %q, in pieces %q, error %v", format, said(d), said(again), err)
			}
			for _, name := range said(d) {
				if !isDomainName(strings.TrimPrefix(strings.TrimPrefix(name, "!"), "*.")) {
					t.Errorf("%s says %q", format, name)
				}
			}
		}
	})
}
