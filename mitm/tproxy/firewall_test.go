package tproxy

import (
	"strings"
	"testing"
)

// What nft 1.0.6 lists: chains of nft and of iptables-nft, and their rules.
const (
	inputChain  = `{"chain": {"family": "inet", "table": "f", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}`
	tablesChain = `{"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}`
	openChain   = `{"chain": {"family": "inet", "table": "f", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 10, "policy": "accept"}}`
	openForward = `{"chain": {"family": "inet", "table": "f", "name": "input", "handle": 1, "type": "filter", "hook": "forward", "prio": 10, "policy": "accept"}}`
	forward     = `{"chain": {"family": "ip6", "table": "f", "name": "fwd", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}`
	accepting   = `{"chain": {"family": "inet", "table": "g", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}`
	plainChain  = `{"chain": {"family": "inet", "table": "f", "name": "more", "handle": 5}}`

	markMatch  = `{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 33554432]}, "right": 33554432}}`
	otherMark  = `{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 1]}, "right": 1}}`
	portMatch  = `{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 9000}}`
	fromMatch  = `{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}}`
	xtMatch    = `{"xt": {"type": "match", "name": "conntrack"}}`
	counter    = `{"counter": {"packets": 0, "bytes": 0}}`
	accept     = `{"accept": null}`
	logs       = `{"log": {"prefix": "seen"}}`
	logsXT     = `{"xt": {"type": "target", "name": "LOG"}}`
	setMark0   = `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 0}}`
	reject     = `{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}`
	rejectXT   = `{"xt": {"type": "target", "name": "REJECT"}}`
	gotoMore   = `{"goto": {"target": "more"}}`
	byState    = `{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}], ["invalid", {"drop": null}]]}}}`
	drop       = `{"drop": null}`
	jumpToMore = `{"jump": {"target": "more"}}`
)

func inputRule(statements ...string) string {
	return `{"rule": {"family": "inet", "table": "f", "chain": "input", "handle": 2, "expr": [` + strings.Join(statements, ", ") + `]}}`
}

func ruleset(objects ...string) []byte {
	return []byte(`{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "f", "handle": 1}}, ` + strings.Join(objects, ", ") + `]}`)
}

func TestWhatAFirewallMeansForTheRules(t *testing.T) {
	tproxy, redirect := Rules{Mode: TPROXY, Port: 9000}, Rules{Mode: Redirect, Port: 9000}
	foreign := Rules{Mode: Redirect, Port: 9000, ForeignSource: true}
	for _, tt := range []struct {
		name    string
		rules   Rules
		objects []string
		want    Verdict
	}{
		{"no rule", tproxy, []string{inputChain}, Problem},
		{"a rule for the mark", tproxy, []string{inputChain, inputRule(markMatch, accept)}, OK},
		{"a rule for the mark that counts", tproxy, []string{inputChain, inputRule(markMatch, counter, accept)}, OK},
		{"a rule for another mark", tproxy, []string{inputChain, inputRule(otherMark, accept)}, Look},
		{"a rule for the mark that drops", tproxy, []string{inputChain, inputRule(markMatch, drop)}, Look},
		{"a rule for the mark and an interface", tproxy, []string{inputChain, inputRule(fromMatch, markMatch, accept)}, Look},
		{"a rule for the mark and something of iptables", tproxy, []string{inputChain, inputRule(xtMatch, markMatch, accept)}, Look},
		{"a rule for all", tproxy, []string{inputChain, inputRule(counter, accept)}, OK},
		{"a rule for the port", tproxy, []string{inputChain, inputRule(portMatch, accept)}, Look},
		{"a rule for the port, with NAT", redirect, []string{inputChain, inputRule(portMatch, accept)}, OK},
		{"a rule for the mark, with NAT", redirect, []string{inputChain, inputRule(markMatch, accept)}, Look},
		{"a rule for the port, with NAT and others' addresses", foreign, []string{inputChain, inputRule(portMatch, accept)}, Look},
		{"rules for the port and the mark, with NAT and others' addresses", foreign, []string{inputChain, inputRule(portMatch, accept), inputRule(markMatch, accept)}, OK},
		{"one that accepts others before it", tproxy, []string{inputChain, inputRule(xtMatch, accept), inputRule(markMatch, accept)}, OK},
		{"one that drops before it", tproxy, []string{inputChain, inputRule(fromMatch, drop), inputRule(markMatch, accept)}, Look},
		{"a jump before it", tproxy, []string{inputChain, inputRule(jumpToMore), inputRule(markMatch, accept)}, Look},
		{"a rule of another chain", tproxy, []string{inputChain, plainChain, strings.Replace(inputRule(markMatch, accept), `"chain": "input"`, `"chain": "more"`, 1)}, Problem},
		{"what is forwarded", tproxy, []string{forward}, Look},
		{"a rule that counts before it", tproxy, []string{inputChain, inputRule(fromMatch, counter, logs), inputRule(markMatch, accept)}, OK},
		{"a rule that changes marks before it", tproxy, []string{inputChain, inputRule(setMark0), inputRule(markMatch, accept)}, Look},
		{"an open chain that ends in a rejection", tproxy, []string{openChain, inputRule(xtMatch, accept), inputRule(reject)}, Look},
		{"an open chain that rejects in the way of iptables", tproxy, []string{openChain, inputRule(rejectXT)}, Look},
		{"an open chain that drops", tproxy, []string{openChain, inputRule(fromMatch, counter, drop)}, Look},
		{"an open chain that jumps", tproxy, []string{openChain, inputRule(jumpToMore)}, Look},
		{"an open chain that goes to another", tproxy, []string{openChain, inputRule(gotoMore)}, Look},
		{"an open chain with a map of verdicts", tproxy, []string{openChain, inputRule(byState)}, Look},
		{"an open chain that drops after a rule for the mark", tproxy, []string{openChain, inputRule(markMatch, accept), inputRule(drop)}, OK},
		{"an open chain that drops before a rule for the mark", tproxy, []string{openChain, inputRule(byState), inputRule(markMatch, accept)}, Look},
		{"an open chain where what is forwarded may be dropped", tproxy, []string{openForward, inputRule(markMatch, accept), inputRule(jumpToMore)}, Look},
	} {
		droppers, err := parseDroppers(ruleset(tt.objects...))
		if err != nil || len(droppers) != 1 {
			t.Errorf("%s: %v, %v, want one chain", tt.name, droppers, err)
			continue
		}
		if got := tt.rules.diagnose(droppers[0]); got.Verdict != tt.want || (got.Fix == "") != (tt.want == OK) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestParseDroppersLeavesOutWhatDropsNothing(t *testing.T) {
	ours := strings.NewReplacer(`"table": "f"`, `"table": "mitm"`)
	for name, objects := range map[string][]string{
		"an open chain, and another one's rule": {accepting, plainChain, inputRule(markMatch, drop)},
		"an open chain that accepts and looks":  {openChain, inputRule(fromMatch, accept), inputRule(counter, logs), inputRule(xtMatch, logsXT)},
		"a chain that others jump to":           {plainChain, strings.Replace(inputRule(drop), `"chain": "input"`, `"chain": "more"`, 1)},
		"a chain of ours":                       {ours.Replace(inputChain), ours.Replace(inputRule(reject))},
	} {
		if droppers, err := parseDroppers(ruleset(objects...)); err != nil || len(droppers) != 0 {
			t.Errorf("%s: parseDroppers: %v, %v", name, droppers, err)
		}
	}
	text := ruleset(inputChain, inputRule(markMatch, accept))
	for n := range text {
		if droppers, err := parseDroppers(text[:n]); err == nil || droppers != nil {
			t.Errorf("%d bytes of it are %v, %v", n, droppers, err)
		}
	}
}

func TestAFirewallIsOpenedByItsOwnTool(t *testing.T) {
	tproxy, redirect := Rules{Mode: TPROXY, Port: 9000}, Rules{Mode: Redirect, Port: 9000}
	foreign := Rules{Mode: Redirect, Port: 9000, ForeignSource: true}
	for _, tt := range []struct {
		chain string
		rules Rules
		want  string
	}{
		{inputChain, foreign, "nft insert rule inet f input ct state established,related accept && nft insert rule inet f input tcp dport 9000 accept && nft insert rule inet f input meta mark and 0x2000000 == 0x2000000 accept"},
		{inputChain, tproxy, "nft insert rule inet f input ct state established,related accept && nft insert rule inet f input meta mark and 0x2000000 == 0x2000000 accept"},
		{inputChain, redirect, "nft insert rule inet f input ct state established,related accept && nft insert rule inet f input tcp dport 9000 accept"},
		{tablesChain, tproxy, "iptables -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT && iptables -I INPUT -m mark --mark 0x2000000/0x2000000 -j ACCEPT"},
		{strings.Replace(tablesChain, `"ip"`, `"ip6"`, 1), redirect, "ip6tables -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT && ip6tables -I INPUT -p tcp --dport 9000 -j ACCEPT"},
	} {
		droppers, err := parseDroppers(ruleset(tt.chain))
		if err != nil || len(droppers) != 1 {
			t.Errorf("%s: %v, %v", tt.chain, droppers, err)
			continue
		}
		if got := tt.rules.diagnose(droppers[0]).Fix; got != tt.want {
			t.Errorf("%s: %s, want %s", droppers[0], got, tt.want)
		}
	}
}

func TestAFirewallConcernsItsFamily(t *testing.T) {
	for family, want := range map[string][3]bool{"inet": {true, true, true}, "ip": {true, true, false}, "ip6": {true, false, true}, "bridge": {}, "netdev": {}} {
		for i, f := range []Family{0, IPv4, IPv6} {
			if got := (dropper{Family: family}).concerns(Rules{Family: f}); got != want[i] {
				t.Errorf("a chain of %s concerns family %d: %v, want %v", family, f, got, want[i])
			}
		}
	}
}
