package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// rpzParser reads a response policy zone (draft-vixie-dnsop-dns-rpz), in the master file format of RFC 1035 §5.1: which
// names it has a policy for. A name is listed without those below it, and *.name for those below it without the name, as
// it is in DNS. The policy rpz-passthru is an exception. Triggers other than names are not for us: addresses of answers
// and of clients, and servers of names.
type rpzParser struct {
	origin string // of relative names, without a final dot; "": the root
	apex   string // the zone's name; "": not known
	owner  string // of the record before, absolute
	begun  bool   // there was one
	open   int    // parentheses that are open: the record goes on, with what is not for us
}

func (p *rpzParser) line(text string, to *domains) error {
	inherits := text != "" && (text[0] == ' ' || text[0] == '\t')
	goesOn := p.open > 0
	words, err := p.words(text)
	if err != nil || goesOn || len(words) == 0 {
		return err
	}
	switch strings.ToUpper(words[0]) {
	case "$ORIGIN":
		if len(words) != 2 {
			return errors.New("want $ORIGIN and a name")
		}
		if p.origin = p.absolute(words[1]); p.apex == "" {
			p.apex = p.origin
		}
		return nil
	case "$TTL":
		return nil
	case "$INCLUDE", "$GENERATE":
		return fmt.Errorf("%s is not for lists: want the records themselves", words[0])
	}
	switch {
	case !inherits:
		p.owner, words, p.begun = p.absolute(words[0]), words[1:], true
	case !p.begun:
		return errors.New("the first record has no owner")
	}
	return p.record(words, to)
}

// words splits a line, without comment, parentheses and what is in quotes, which are texts.
func (p *rpzParser) words(text string) ([]string, error) {
	var plain strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			plain.WriteString(text[i : i+2])
			i++
		case c == '"':
			quoted = !quoted
			plain.WriteString(` "`)
		case quoted:
		case c == ';':
			return strings.Fields(plain.String()), nil
		case c == '(':
			p.open++
		case c == ')':
			if p.open--; p.open < 0 {
				return nil, errors.New("a parenthesis is closed that was not opened")
			}
		default:
			plain.WriteByte(c)
		}
	}
	if quoted {
		return nil, errors.New("a quotation mark is missing")
	}
	return strings.Fields(plain.String()), nil
}

// record takes a record after its owner: TTL and class, in any order and both optional, type and data.
func (p *rpzParser) record(words []string, to *domains) error {
	for len(words) > 0 && (isTTL(words[0]) || isClass(words[0])) {
		words = words[1:]
	}
	if len(words) == 0 {
		return fmt.Errorf("%q: want a record, like \"bad.example CNAME .\"", shortened(p.owner))
	}
	kind, data := strings.ToUpper(words[0]), words[1:]
	switch {
	case kind == "SOA":
		p.apex = p.owner // RFC 1035 §5.2: it is at the top of the zone
		return nil
	case kind == "NS", kind == "RRSIG", kind == "NSEC", kind == "NSEC3", kind == "NSEC3PARAM", kind == "DNSKEY":
		return nil
	case !isType(kind):
		return fmt.Errorf("%q: want the type of a record, like CNAME", shortened(words[0]))
	case len(data) == 0 && p.open == 0:
		return fmt.Errorf("%s of %q has no data", kind, shortened(p.owner))
	}
	return p.policy(kind == "CNAME" && len(data) == 1 && isPassthru(data[0]), to)
}

func isPassthru(data string) bool {
	return strings.EqualFold(strings.TrimSuffix(data, "."), "rpz-passthru")
}

// policy takes the owner of a record: a name for which there is a policy, within the zone.
func (p *rpzParser) policy(exception bool, to *domains) error {
	text := p.owner
	if p.apex != "" {
		text = strings.TrimSuffix(text, "."+p.apex)
	}
	if text == "" || text == p.apex || isOtherTrigger(text) {
		return nil
	}
	rest, wildcard := strings.CutPrefix(text, "*.")
	name, odd, err := domainName(rest)
	if err != nil || odd {
		return fmt.Errorf("%q: want a domain name", shortened(text))
	}
	switch {
	case exception && wildcard:
		to.say(name, exceptBelow)
	case exception:
		to.say(name, exceptSelf)
	case wildcard:
		to.say(name, below)
	default:
		to.say(name, itself)
	}
	return nil
}

// isOtherTrigger reports whether the policy is not for a name that is asked for.
func isOtherTrigger(name string) bool {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "rpz-ip", "rpz-nsip", "rpz-nsdname", "rpz-client-ip":
		return true
	}
	return false
}

// absolute returns the whole of a name of the zone, in lower case and without a final dot.
func (p *rpzParser) absolute(name string) string {
	name = strings.ToLower(name)
	switch {
	case name == "@":
		return p.origin
	case strings.HasSuffix(name, "."), p.origin == "":
		return strings.TrimSuffix(name, ".")
	}
	return name + "." + p.origin
}

// isTTL reports whether a word is a time: digits, or those with the units of BIND.
func isTTL(s string) bool {
	digits := strings.TrimRight(strings.ToLower(s), "smhdw0123456789")
	_, err := strconv.Atoi(s[:1])
	return digits == "" && err == nil
}

func isClass(s string) bool {
	switch strings.ToUpper(s) {
	case "IN", "CH", "HS", "CS":
		return true
	}
	return false
}

// isType reports whether a word in capitals may be the type of a record.
func isType(s string) bool {
	letters := strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
	return letters == "" && s[0] >= 'A' && s[0] <= 'Z'
}

func (p *rpzParser) end(*domains) error {
	if p.open > 0 {
		return errors.New("the file ends within parentheses")
	}
	return nil
}
