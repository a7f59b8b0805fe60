package policy

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// ruleReader makes a ruleset of a rule file.
type ruleReader struct {
	folder string                   // what relative names of lists are relative to
	known  map[string]matcherReader // by type
	lists  []mentioned
}

// mentioned is a list, and the line of a rule file on which it is mentioned first.
type mentioned struct {
	*list
	line int
}

// readRules reads a rule file. Its lists are not loaded yet.
func readRules(text []byte, folder string) (*ruleset, error) {
	n, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	r := &ruleReader{folder: folder, known: matcherReaders()}
	s, err := r.ruleset(n)
	if err != nil {
		return nil, err
	}
	s.lists = r.lists
	s.index()
	return s, nil
}

// list returns the list of a specification, which is one for all rules that mean the same.
func (r *ruleReader) list(spec listSpec, line int) *list {
	for _, l := range r.lists {
		if l.listSpec == spec {
			return l.list
		}
	}
	l := &list{listSpec: spec}
	r.lists = append(r.lists, mentioned{l, line})
	return l
}

func (r *ruleReader) ruleset(n node) (s *ruleset, err error) {
	f, err := n.object("the file")
	if err != nil {
		return nil, err
	}
	s = &ruleset{}
	if s.name, err = f.text("name"); err != nil {
		return nil, err
	}
	if s.version, err = f.version(); err != nil {
		return nil, err
	}
	if _, err = f.text("description"); err != nil {
		return nil, err
	}
	if s.rules, err = r.rules(f); err != nil {
		return nil, err
	}
	if s.otherwise, err = r.fallback(f); err != nil {
		return nil, err
	}
	return s, f.finish("the file", "name", "description", "version", "rules", "default")
}

// version is a string in most files, and a number in some.
func (f *fields) version() (string, error) {
	n, _ := f.take("version")
	switch n.value.(type) {
	case nil:
		return "", nil
	case []node, *fields, bool:
		return "", at(n.line, "version is %s: want a string", n)
	}
	return strings.Trim(n.String(), `"`), nil
}

func (r *ruleReader) rules(f *fields) ([]rule, error) {
	n, ok := f.take("rules")
	if !ok || n.value == nil {
		return nil, nil
	}
	nodes, ok := n.value.([]node)
	if !ok {
		return nil, at(n.line, "rules is %s: want an array", n)
	}
	rules := make([]rule, len(nodes))
	for i, n := range nodes {
		var err error
		if rules[i], err = r.rule(n); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

func (r *ruleReader) rule(n node) (rule, error) {
	f, err := n.object("a rule")
	if err != nil {
		return rule{}, err
	}
	one := rule{line: n.line, active: true}
	if active, has, err := f.flag("active"); err != nil {
		return rule{}, err
	} else if has {
		one.active = active
	}
	if one.description, err = f.text("description"); err != nil {
		return rule{}, err
	}
	match, hasMatch := f.take("match")
	action, hasAction := f.take("action")
	switch {
	case !hasMatch:
		return rule{}, at(n.line, "the rule has no match")
	case !hasAction:
		return rule{}, at(n.line, "the rule has no action")
	}
	if err := r.match(&one, match); err != nil {
		return rule{}, err
	}
	if one.outcome, err = readAction(action); err != nil {
		return rule{}, err
	}
	if err := one.fits(action.line); err != nil {
		return rule{}, err
	}
	return one, f.finish("a rule", "active", "description", "match", "action")
}

// fits reports an action that the match can't be for.
func (r *rule) fits(line int) error {
	_, ofHello := r.matcher.(interface{ hello() })
	_, nonTLS := r.matcher.(matchNonTLS)
	_, cert := r.matcher.(matchServerCert)
	action := r.outcome.action
	switch {
	case ofHello && action == Encrypt:
		return at(line, "%s matches TLS only, which is encrypted already: want another action, or match nontls", r.kind)
	case nonTLS && (action == Inspect || action == Terminate):
		return at(line, "nontls matches what is no TLS: there is nothing to %s; want bypass, block or encrypt", action)
	case cert && action == Terminate, cert && !r.outcome.target.IsZero():
		return at(line, "when the server's certificate is known, the server was dialled: want inspect, bypass or block, without target")
	}
	return nil
}

func (r *ruleReader) fallback(f *fields) (outcome, error) {
	n, ok := f.take("default")
	if !ok {
		return outcome{}, at(f.line, "no default: want one, like \"default\": {\"action\": {\"type\": \"inspect\"}}")
	}
	d, err := n.object("default")
	if err != nil {
		return outcome{}, err
	}
	if _, err := d.text("description"); err != nil {
		return outcome{}, err
	}
	action, ok := d.take("action")
	if !ok {
		return outcome{}, at(n.line, "default has no action")
	}
	o, err := readAction(action)
	if err != nil {
		return outcome{}, err
	}
	return o, d.finish("default", "action", "description")
}

// readAction reads an action.
func readAction(n node) (o outcome, err error) {
	f, err := n.object("action")
	if err != nil {
		return outcome{}, err
	}
	kind, _ := f.take("type")
	if o.action, err = actionType(kind); err != nil {
		return outcome{}, err
	}
	target, _ := f.take("target")
	if o.target, err = readTarget(target); err != nil {
		return outcome{}, err
	}
	throttle, _ := f.take("throttle")
	if o.throttle, err = readThrottle(throttle); err != nil {
		return outcome{}, err
	}
	if o.action == Block && (!o.target.IsZero() || o.throttle > 0) {
		return outcome{}, at(n.line, "what is blocked has no target and no throttle")
	}
	return o, f.finish("action", "type", "target", "throttle")
}

func actionType(n node) (Action, error) {
	s, _ := n.value.(string)
	switch a := Action(s); a {
	case Inspect, PassOn, Block, Encrypt, Terminate:
		return a, nil
	}
	return "", at(n.line, "action type is %s: want inspect, bypass, block, encrypt or terminate", n)
}

func readTarget(n node) (bridge.Addr, error) {
	switch s, ok := n.value.(string); {
	case n.value == nil:
		return bridge.Addr{}, nil
	case ok:
		if target, ok := parseTarget(s); ok {
			return target, nil
		}
	}
	return bridge.Addr{}, at(n.line, "target is %s: want HOST:PORT, or HOST to keep the port", n)
}

// parseTarget parses HOST, HOST:PORT, an IPv6 address, and one in brackets with or without a port.
func parseTarget(s string) (bridge.Addr, bool) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && ip.Zone() == "" {
		return bridge.Addr{Host: ip.String()}, true
	}
	if !strings.Contains(s, ":") {
		name, wildcard, err := domainName(s)
		return bridge.Addr{Host: name}, err == nil && !wildcard
	}
	addr, err := bridge.ParseAddr(s)
	if err != nil || addr.Port == 0 {
		return bridge.Addr{}, false
	}
	host, ok := parseTarget(addr.Host)
	host.Port = addr.Port
	return host, ok
}

// maxThrottle is beyond what anything can do.
const maxThrottle = 1_000_000_000_000

// readThrottle reads bytes a second: a number, with k, M or G for thousands, millions and billions.
func readThrottle(n node) (int64, error) {
	if n.value == nil {
		return 0, nil
	}
	s := strings.Trim(n.String(), `"`)
	factor := int64(1)
	for suffix, f := range map[string]int64{"k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "g": 1e9, "G": 1e9} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = rest, f
			break
		}
	}
	rate, err := strconv.ParseInt(s, 10, 64)
	if err != nil || rate < 1 || rate > maxThrottle/factor {
		return 0, at(n.line, "throttle is %s: want bytes a second, like 500000 or \"10k\"", n)
	}
	return rate * factor, nil
}
