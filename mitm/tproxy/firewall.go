package tproxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A dropper is a chain of somebody else that drops what no rule of it accepts.
type dropper struct {
	Family string
	Table  string
	Name   string
	Hook   string
	rules  []rule
}

func (d dropper) String() string { return fmt.Sprintf("chain %s %s %s", d.Family, d.Table, d.Name) }

// rule is one of nft's, as a list of statements: each an object with one name.
type rule []map[string]json.RawMessage

// parseDroppers reads them from "nft -j list ruleset" (libnftables-json(5)). What iptables-nft has put
// there is among them.
func parseDroppers(list []byte) ([]dropper, error) {
	var all struct {
		NFTables []struct {
			Chain *struct{ Family, Table, Name, Hook, Policy string }
			Rule  *struct {
				Family, Table, Chain string
				Expr                 rule
			}
		}
	}
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, fmt.Errorf("nft: %w", err)
	}
	var found []dropper
	for _, object := range all.NFTables {
		if c := object.Chain; c != nil && c.Policy == "drop" {
			found = append(found, dropper{Family: c.Family, Table: c.Table, Name: c.Name, Hook: c.Hook})
		}
		r := object.Rule
		if r == nil {
			continue
		}
		for i := range found {
			if d := &found[i]; d.Family == r.Family && d.Table == r.Table && d.Name == r.Chain {
				d.rules = append(d.rules, r.Expr)
			}
		}
	}
	return found, nil
}

// concerns reports whether the rules' connections pass the chain.
func (d dropper) concerns(r Rules) bool {
	switch d.Family {
	case "inet":
		return true
	case "ip":
		return r.Family.has(IPv4)
	case "ip6":
		return r.Family.has(IPv6)
	}
	return false
}

// isManaged reports whether the chain is one of iptables-nft, as far as names tell.
func (d dropper) isManaged() bool {
	return d.Family != "inet" && d.Table == "filter" && d.Name == strings.ToUpper(d.Name)
}

// accepted is by what packets are known, where they come in, that were brought to the proxy: in
// nft's language, in that of iptables, and as nft lists it.
func (r Rules) accepted() (nft, iptables, listed string) {
	if r.Mode == TPROXY {
		return fmt.Sprintf("meta mark and %s == %s", bit, bit), fmt.Sprintf("-m mark --mark %s/%s", bit, bit),
			fmt.Sprintf(`{"op":"==","left":{"&":[{"meta":{"key":"mark"}},%d]},"right":%d}`, divertMark, divertMark)
	}
	return fmt.Sprintf("tcp dport %d", r.Port), fmt.Sprintf("-p tcp --dport %d", r.Port),
		fmt.Sprintf(`{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":%d}`, r.Port)
}

// opening is the command that has the chain accept what is brought to the proxy, and what servers
// answer it.
func (r Rules) opening(d dropper) string {
	nft, iptables, _ := r.accepted()
	if d.isManaged() {
		program := map[string]string{"ip": "iptables", "ip6": "ip6tables"}[d.Family]
		return fmt.Sprintf("%s -I %s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT && %s -I %s %s -j ACCEPT", program, d.Name, program, d.Name, iptables)
	}
	chain := fmt.Sprintf("%s %s %s", d.Family, d.Table, d.Name)
	return fmt.Sprintf("nft insert rule %s ct state established,related accept && nft insert rule %s %s accept", chain, chain, nft)
}

// diagnose says what becomes in the chain of what is brought to the proxy, or, where it is forwarded, of
// what is left alone. Which rule of a firewall accepts what can't be said in general.
func (r Rules) diagnose(d dropper) Finding {
	const drops = "%s drops what it does not accept"
	if d.Hook == "forward" {
		return look(fmt.Sprintf(drops+": what is left alone must be accepted there, to and fro", d), fmt.Sprintf("nft list %s", d))
	}
	switch _, _, listed := r.accepted(); {
	case len(d.rules) == 0:
		return problem(fmt.Sprintf(drops+", which is everything: what is brought to the proxy, too", d), r.opening(d))
	case d.accepts(listed):
		return ok(fmt.Sprintf(drops+": what is brought to the proxy is accepted there", d))
	}
	return look(fmt.Sprintf(drops+": what is brought to the proxy must be accepted there", d), r.opening(d))
}

// accepts reports whether a rule accepts what matches, whatever else it is, before one that does
// anything else than accept.
func (d dropper) accepts(listed string) bool {
	for _, rule := range d.rules {
		if !slices.ContainsFunc(rule, func(s map[string]json.RawMessage) bool { return s["accept"] != nil }) {
			return false
		}
		isAll := true
		for _, statement := range rule {
			match := statement["match"]
			isSame := match != nil && compact(match) == listed
			isAll = isAll && (isSame || match == nil && statement["xt"] == nil)
		}
		if isAll {
			return true
		}
	}
	return false
}

func compact(b json.RawMessage) string {
	return strings.Join(strings.Fields(string(b)), "")
}
