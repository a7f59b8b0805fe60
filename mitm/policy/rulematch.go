package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
)

// matcherReader reads what a match of one type says besides.
type matcherReader struct {
	read  func(r *ruleReader, f *fields, expression node) (matcher, error)
	known []string // the fields that it may have besides type
}

// matcherReaders are the types of match.
func matcherReaders() map[string]matcherReader {
	const expression = "expression"
	return map[string]matcherReader{
		"nontls":                 {readNonTLS, nil},
		"domain":                 {readDomain, []string{expression}},
		"domain_regex":           {readRegexp, []string{expression}},
		"domain_in_file":         {readList, []string{expression, "format", "gzip", "reload"}},
		"alpn":                   {readALPN, []string{expression}},
		"ja3":                    {readJA3, []string{expression}},
		"ja4":                    {readJA4, []string{expression}},
		"decrypt_fail":           {readFailures, []string{expression, "period"}},
		"decrypt_fail_errorcode": {readErrorCode, []string{expression, "period", "count"}},
		"client":                 {readClient, []string{expression}},
		"destination":            {readDestination, []string{expression}},
		"path":                   {readPath, []string{expression}},
		"ech":                    {readECH, []string{expression}},
		"server_cert":            {readServerCert, []string{expression}},
	}
}

// matchTypes are their names, in the order in which they are explained.
var matchTypes = []string{
	"nontls", "domain", "domain_regex", "domain_in_file", "alpn", "ja3", "ja4", "decrypt_fail", "decrypt_fail_errorcode",
	"client", "destination", "path", "ech", "server_cert",
}

// match reads the match of a rule.
func (r *ruleReader) match(to *rule, n node) error {
	f, err := n.object("match")
	if err != nil {
		return err
	}
	kind, _ := f.take("type")
	to.kind, _ = kind.value.(string)
	reader, ok := r.known[to.kind]
	if !ok {
		return at(kind.line, "match type is %s: want %s", kind, oneOf(matchTypes))
	}
	expression, has := f.take("expression")
	if !has {
		expression.line = n.line
	}
	if to.expression = written(expression); to.kind == "nontls" {
		to.expression = ""
	}
	if to.matcher, err = reader.read(r, f, expression); err != nil {
		return err
	}
	return f.finish("match "+to.kind, append([]string{"type"}, reader.known...)...)
}

// written is an expression as people read it.
func written(n node) string {
	switch v := n.value.(type) {
	case string:
		return v
	case []node:
		words := make([]string, len(v))
		for i, n := range v {
			words[i] = written(n)
		}
		return strings.Join(words, ",")
	}
	return n.String()
}

func readNonTLS(_ *ruleReader, _ *fields, n node) (matcher, error) {
	if n.value != nil {
		return nil, at(n.line, "nontls has no expression")
	}
	return matchNonTLS{}, nil
}

func readDomain(_ *ruleReader, _ *fields, n node) (matcher, error) {
	if n.value == nil {
		return matchDomain{}, nil
	}
	s, _ := n.value.(string)
	name, _, err := domainName(s)
	if err != nil {
		return nil, at(n.line, "expression is %s: want a domain name, or null for none", n)
	}
	return matchDomain{name: name}, nil
}

func readRegexp(_ *ruleReader, _ *fields, n node) (matcher, error) {
	s, ok := n.value.(string)
	if !ok || s == "" {
		return nil, at(n.line, "expression is %s: want a regular expression", n)
	}
	expression, err := compileName(s)
	if err != nil {
		return nil, at(n.line, "expression is %s: %w", n, err)
	}
	return matchRegexp{expression: expression}, nil
}

// maxRegexp bounds what a regular expression may be compiled to, by its length.
const maxRegexp = 64 << 10

// compileName compiles a regular expression for names, which has matched when it has matched anywhere in one.
func compileName(s string) (*regexp.Regexp, error) {
	if len(s) > maxRegexp {
		return nil, fmt.Errorf("longer than %d bytes: use a list", maxRegexp)
	}
	expression, err := regexp.Compile("(?i)" + s)
	if bad := (*syntax.Error)(nil); errors.As(err, &bad) {
		hint := "see the syntax of RE2"
		if bad.Code == syntax.ErrInvalidPerlOp {
			hint = "RE2 has no lookahead and no lookbehind; use two rules"
		}
		return nil, fmt.Errorf("%s: %q; %s", bad.Code, shortened(bad.Expr), hint)
	}
	return expression, err
}

func readList(r *ruleReader, f *fields, n node) (matcher, error) {
	source, ok := n.value.(string)
	if !ok || source == "" {
		return nil, at(n.line, "expression is %s: want a file or a URL", n)
	}
	spec := listSpec{source: source, format: "domainlist"}
	if format, has := f.take("format"); has && format.value != nil {
		spec.format, _ = format.value.(string)
		if !slices.Contains(listFormats, spec.format) {
			return nil, at(format.line, "format is %s: want %s", format, oneOf(listFormats))
		}
	}
	gzip, has, err := f.flag("gzip")
	if err != nil {
		return nil, err
	}
	if has {
		spec.gzip = plain
		if gzip {
			spec.gzip = gzipped
		}
	}
	seconds, err := f.number("reload", 0, maxSeconds, 0)
	if err != nil {
		return nil, err
	}
	spec.reload = time.Duration(seconds) * time.Second
	if !isURL(source) && !filepath.IsAbs(source) {
		spec.source = filepath.Join(r.folder, source)
	}
	return matchList{list: r.list(spec, n.line)}, nil
}

const maxSeconds = int64(maxPeriod / time.Second)

func readALPN(_ *ruleReader, _ *fields, n node) (matcher, error) {
	// RFC 7301 §3.1: ProtocolName is 1 to 255 bytes.
	s, ok := n.value.(string)
	if !ok || s == "" || len(s) > 255 {
		return nil, at(n.line, "expression is %s: want the name of a protocol, like h2", n)
	}
	return matchALPN{protocol: s}, nil
}

var (
	ja3 = regexp.MustCompile(`^[0-9a-f]{32}$`)
	ja4 = regexp.MustCompile(`^[tqd][0-9a-z]{2}[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)
)

func readJA3(_ *ruleReader, _ *fields, n node) (matcher, error) {
	s, _ := n.value.(string)
	if s = strings.ToLower(s); !ja3.MatchString(s) {
		return nil, at(n.line, "expression is %s: want a JA3 hash, 32 hexadecimal digits", n)
	}
	return matchJA3{hash: s}, nil
}

func readJA4(_ *ruleReader, _ *fields, n node) (matcher, error) {
	s, _ := n.value.(string)
	if !ja4.MatchString(s) {
		return nil, at(n.line, "expression is %s: want a JA4 fingerprint, like t13d1516h2_8daaf6152771_02713d6af862", n)
	}
	return matchJA4{hash: s}, nil
}

func readClient(_ *ruleReader, _ *fields, n node) (matcher, error) {
	prefixes, err := readPrefixes(n)
	return matchClient{prefixes}, err
}

func readDestination(_ *ruleReader, _ *fields, n node) (matcher, error) {
	prefixes, err := readPrefixes(n)
	return matchDestination{prefixes}, err
}

func readPrefixes(n node) ([]netip.Prefix, error) {
	words, err := readWords(n, "addresses like 192.0.2.0/24")
	if err != nil {
		return nil, err
	}
	prefixes := make([]netip.Prefix, len(words))
	for i, w := range words {
		if prefixes[i], err = parsePrefix(w.value.(string)); err != nil {
			return nil, at(w.line, "%s: want an address or a prefix, like 192.0.2.0/24", w)
		}
	}
	return prefixes, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// readWords reads a list: strings in an array, or joined by commas.
func readWords(n node, what string) ([]node, error) {
	var words []node
	switch v := n.value.(type) {
	case string:
		for word := range strings.SplitSeq(v, ",") {
			words = append(words, node{n.line, strings.TrimSpace(word)})
		}
	case []node:
		words = v
	}
	for _, w := range words {
		if s, ok := w.value.(string); !ok || s == "" {
			return nil, at(w.line, "%s in expression: want %s", w, what)
		}
	}
	if len(words) == 0 {
		return nil, at(n.line, "expression is %s: want %s", n, what)
	}
	return words, nil
}

func readPath(_ *ruleReader, _ *fields, n node) (matcher, error) {
	s, _ := n.value.(string)
	pattern, err := parsePathPattern(s)
	if err != nil {
		return nil, at(n.line, "expression is %s: %w", n, err)
	}
	return matchPath{pattern}, nil
}

func readECH(_ *ruleReader, _ *fields, n node) (matcher, error) {
	wanted, ok := n.value.(bool)
	if !ok && n.value != nil {
		return nil, at(n.line, "expression is %s: want true (which it is without one) or false", n)
	}
	return matchECH{wanted: wanted || n.value == nil}, nil
}

func readServerCert(_ *ruleReader, _ *fields, n node) (matcher, error) {
	nodes, err := readWords(n, oneOf(certWords))
	if err != nil {
		return nil, err
	}
	words := make([]string, len(nodes))
	for i, w := range nodes {
		if words[i] = w.value.(string); !slices.Contains(certWords, words[i]) {
			return nil, at(w.line, "expression is %s: want %s", w, oneOf(certWords))
		}
	}
	return matchServerCert{words: words}, nil
}
