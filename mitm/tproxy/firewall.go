package tproxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A dropper is a chain of somebody else by which the kernel asks about packets, and that drops what no rule of
// it accepts, or has rules that may.
type dropper struct {
	Family string
	Table  string
	Name   string
	Hook   string
	Policy string
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
			Chain *dropper
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
		if c := object.Chain; c != nil && c.Hook != "" && !(c.Family == "inet" && c.Table == tableName) {
			found = append(found, *c)
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
	return slices.DeleteFunc(found, func(d dropper) bool { return !d.drops() && !slices.ContainsFunc(d.rules, rule.mayDrop) }), nil
}

// drops reports whether the chain drops what no rule of it decides about.
func (d dropper) drops() bool { return d.Policy == "drop" }

// mayDrop reports whether a rule drops, or leaves it to other chains and programs.
func (r rule) mayDrop() bool {
	return slices.ContainsFunc(r, func(s map[string]json.RawMessage) bool {
		for _, name := range []string{"drop", "reject", "jump", "goto", "vmap", "queue"} {
			if s[name] != nil {
				return true
			}
		}
		var xt struct{ Type, Name string } // of iptables
		err := json.Unmarshal(s["xt"], &xt)
		return err == nil && xt.Type == "target" && !strings.HasSuffix(xt.Name, "LOG")
	})
}

// onlyWatches reports whether a rule lets all packets go on as they are.
func (r rule) onlyWatches() bool {
	return !slices.ContainsFunc(r, func(s map[string]json.RawMessage) bool {
		return s["match"] == nil && s["counter"] == nil && s["log"] == nil && s["limit"] == nil
	})
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

// A sign is by what packets are known: in nft's language, in that of iptables, and as nft lists it.
type sign struct{ nft, iptables, listed string }

// signs are those of what is for the proxy where it comes in: connections that were brought, and
// what servers send to addresses that are not ours, which nothing else tells from the rest.
func (r Rules) signs() []sign {
	var all []sign
	if r.Mode == Redirect {
		all = append(all, sign{
			fmt.Sprintf("tcp dport %d", r.Port), fmt.Sprintf("-p tcp --dport %d", r.Port),
			fmt.Sprintf(`{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":%d}`, r.Port),
		})
	}
	if r.diverts() {
		all = append(all, sign{
			fmt.Sprintf("meta mark and %s == %s", bit, bit), fmt.Sprintf("-m mark --mark %s/%s", bit, bit),
			fmt.Sprintf(`{"op":"==","left":{"&":[{"meta":{"key":"mark"}},%d]},"right":%d}`, divertMark, divertMark),
		})
	}
	return all
}

// opening is the command that has the chain accept what is for the proxy, and what servers answer it.
func (r Rules) opening(d dropper) string {
	insert, established := fmt.Sprintf("nft insert rule %s %s %s %%s accept", d.Family, d.Table, d.Name), "ct state established,related"
	managed := d.isManaged()
	if managed {
		program := map[string]string{"ip": "iptables", "ip6": "ip6tables"}[d.Family]
		insert, established = fmt.Sprintf("%s -I %s %%s -j ACCEPT", program, d.Name), "-m conntrack --ctstate ESTABLISHED,RELATED"
	}
	commands := []string{fmt.Sprintf(insert, established)}
	for _, sign := range r.signs() {
		match := sign.nft
		if managed {
			match = sign.iptables
		}
		commands = append(commands, fmt.Sprintf(insert, match))
	}
	return strings.Join(commands, " && ")
}

// diagnose says what becomes in the chain of what is brought to the proxy, or, where it is forwarded, of
// what is left alone. Which rule of a firewall accepts what can't be said in general.
func (r Rules) diagnose(d dropper) Finding {
	drops := d.String() + " drops what it does not accept"
	if !d.drops() {
		drops = d.String() + " may drop what it does not accept first"
	}
	if d.Hook == "forward" {
		return look(drops+": what is left alone must be accepted there, to and fro", fmt.Sprintf("nft list %s", d))
	}
	isClosed := func(s sign) bool { return !d.accepts(s.listed) }
	switch {
	case len(d.rules) == 0:
		return problem(drops+", which is everything: what is brought to the proxy, too", r.opening(d))
	case !slices.ContainsFunc(r.signs(), isClosed):
		return ok(drops + ": what is brought to the proxy is accepted there")
	}
	return look(drops+": what is brought to the proxy must be accepted there", r.opening(d))
}

// accepts reports whether a rule accepts what matches, whatever else it is, before one that does
// anything else than accept or watch.
func (d dropper) accepts(listed string) bool {
	for _, rule := range d.rules {
		if rule.onlyWatches() {
			continue
		}
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
