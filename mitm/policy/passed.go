package policy

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// passedNames are the names that are passed on undecrypted, whatever the rules say.
type passedNames struct {
	all         bool
	expressions []*regexp.Regexp
	exact       *domains
}

// passes reports whether a flow is passed on, and by which option.
func (p *passedNames) passes(f *Facts) (by string, ok bool) {
	if p.all {
		return "bypass", true
	}
	name := f.name()
	if name == "" {
		return "", false
	}
	if p.isExact(name) {
		return "bypassexact", true
	}
	for _, expression := range p.expressions {
		if expression.MatchString(name) {
			return "bypass", true
		}
	}
	return "", false
}

func (p *passedNames) isExact(name string) bool {
	_, found, ok := p.exact.find(name, p.exact.start(name))
	return ok && found == 0
}

// addExpressions reads regular expressions, one a line. Lines that begin with # are comments.
func (p *passedNames) addExpressions(text []byte) error {
	return eachLine(text, func(line string) error {
		expression, err := compileName(line)
		if err == nil {
			p.expressions = append(p.expressions, expression)
		}
		return err
	})
}

// addNames reads names, one a line. Lines that begin with # are comments.
func (p *passedNames) addNames(text []byte) error {
	return eachLine(text, func(line string) error {
		name, wildcard, err := domainName(line)
		if err != nil || wildcard {
			return fmt.Errorf("%q: want a name, or --bypass with a regular expression", shortened(line))
		}
		p.exact.say(name, itself)
		return nil
	})
}

func eachLine(text []byte, take func(string) error) error {
	number := 0
	for raw := range bytes.Lines(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))) {
		number++
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' {
			continue
		}
		if err := take(line); err != nil {
			return at(number, "%w", err)
		}
	}
	return nil
}

// Redirect sends what is for some names to another server.
type Redirect struct {
	Names  []string // in lower case; *.name stands for the names below it
	Target bridge.Addr
}

// ParseRedirect parses NAME,…:TARGET. The target is HOST:PORT, or HOST to keep the port.
func ParseRedirect(s string) (Redirect, error) {
	names, to, found := strings.Cut(s, ":")
	target, ok := parseTarget(to)
	if !found || !ok {
		return Redirect{}, fmt.Errorf("%q: want NAME,...:HOST or NAME,...:HOST:PORT", shortened(s))
	}
	r := Redirect{Target: target}
	for text := range strings.SplitSeq(names, ",") {
		name, wildcard, err := domainName(text)
		if err != nil {
			return Redirect{}, fmt.Errorf("%q: want a domain name", shortened(text))
		}
		if wildcard {
			name = "*." + name
		}
		r.Names = append(r.Names, name)
	}
	return r, nil
}

func (r *Redirect) matches(name string) bool {
	for _, own := range r.Names {
		if own == name || own[0] == '*' && strings.HasSuffix(name, own[1:]) {
			return true
		}
	}
	return false
}
