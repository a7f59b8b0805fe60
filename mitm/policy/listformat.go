package policy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// listFormats are the formats of lists of domains.
var listFormats = []string{"domainlist", "rpz", "easylist", "crux"}

// listParser takes the lines of a list.
type listParser interface {
	// line takes a line without its end.
	line(text string, to *domains) error

	// end is called after the last line.
	end(to *domains) error
}

func parserOf(format string) listParser {
	switch format {
	case "rpz":
		return &rpzParser{}
	case "easylist":
		return &easyParser{}
	case "crux":
		return &cruxParser{}
	}
	return nameParser{}
}

// maxLine is more than a line of a list has that says something to us. The longest in EasyList have some 10 KB.
const maxLine = 64 << 10

// parseList reads a list.
func parseList(format string, r io.Reader) (*domains, error) {
	names, parser := newDomains(), parserOf(format)
	lines := bufio.NewReaderSize(r, maxLine)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, at(number, "a line longer than %d bytes: is it %s?", maxLine, format)
		}
		if len(text) > 0 {
			line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
			if number == 1 {
				line = strings.TrimPrefix(line, "\ufeff")
			}
			if bad := parser.line(line, names); bad != nil {
				return nil, at(number, "%w", bad)
			}
		}
		switch {
		case names.count > maxNames:
			return nil, at(number, "more than %d names", maxNames)
		case errors.Is(err, io.EOF):
			if bad := parser.end(names); bad != nil {
				return nil, at(number, "%w", bad)
			}
			return names, nil
		case err != nil:
			return nil, err
		}
	}
}

// nameParser reads a domain a line; those below it are listed too. What comes after # is a comment. There may be more on
// a line, as it is in the files that people have: an address first, like in /etc/hosts, or a rank, like in the lists of
// the most popular names.
type nameParser struct{}

func (nameParser) line(text string, to *domains) error {
	text, _, _ = strings.Cut(text, "#")
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	if rank, rest, ok := strings.Cut(text, ","); ok && isNumber(rank) {
		text = rest
	}
	if address, hosts, ok := strings.Cut(strings.ReplaceAll(text, "\t", " "), " "); ok {
		if _, err := netip.ParseAddr(address); err == nil {
			return sayAll(strings.Fields(hosts), to)
		}
	}
	return sayAll([]string{text}, to)
}

func sayAll(words []string, to *domains) error {
	for _, word := range words {
		name, _, err := domainName(word)
		if err != nil {
			return fmt.Errorf("%q: want a domain name", shortened(word))
		}
		to.say(name, itself|below)
	}
	return nil
}

func (nameParser) end(*domains) error { return nil }

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// cruxParser reads the lists of popular origins of the Chrome UX Report: a line with names of columns, then an origin
// like https://www.example.com and its rank. The names below an origin's are listed too. Lists that have a rank and a
// name, as Tranco and Umbrella do, are read as well.
type cruxParser struct{ begun bool }

func (p *cruxParser) line(text string, to *domains) error {
	text = strings.TrimSpace(text)
	header := !p.begun
	if text != "" {
		p.begun = true
	}
	origin, rank, _ := strings.Cut(text, ",")
	switch {
	case text == "", header && origin == "origin":
		return nil
	case isNumber(origin):
		origin = rank
	case rank != "" && !isNumber(rank):
		return fmt.Errorf("%q: want an origin and its rank, like https://example.com,1000", shortened(text))
	}
	host := origin
	if u, err := url.Parse(origin); err == nil && u.Host != "" {
		host = u.Hostname()
	}
	name, wildcard, err := domainName(host)
	if err != nil || wildcard {
		return fmt.Errorf("%q: want an origin and its rank, like https://example.com,1000", shortened(text))
	}
	to.say(name, itself|below)
	return nil
}

func (*cruxParser) end(*domains) error { return nil }

// easyParser reads the filters of EasyList: of these, the ones that are for a whole domain, like ||example.com^, and not
// only for a kind of content or on some pages; and the exceptions, @@||example.com^. All others are for browsers, which
// see addresses.
type easyParser struct{ text bool }

func (p *easyParser) line(text string, to *domains) error {
	p.text = p.text || text != ""
	filter, exception := strings.CutPrefix(strings.TrimSpace(text), "@@")
	filter, anchored := strings.CutPrefix(filter, "||")
	host, options, separated := strings.Cut(filter, "^")
	if !anchored || !separated || !isForAll(options) {
		return nil
	}
	name, wildcard, err := domainName(host)
	switch {
	case err != nil || wildcard:
		return nil // * in a name
	case exception:
		to.say(name, exceptSelf|exceptBelow)
	default:
		to.say(name, itself|below)
	}
	return nil
}

// isForAll reports whether what comes after a filter's domain leaves it one for all that comes from the domain.
func isForAll(options string) bool {
	if options == "" || options == "|" {
		return true
	}
	options, ok := strings.CutPrefix(options, "$")
	if !ok {
		return false
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "third-party", "3p", "all", "document", "doc", "important":
		default:
			return false
		}
	}
	return true
}

func (p *easyParser) end(to *domains) error {
	if p.text && to.count == 0 {
		return errors.New("no filter for a domain in the file: is it easylist?")
	}
	return nil
}
