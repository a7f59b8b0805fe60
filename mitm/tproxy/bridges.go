package tproxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A bridge has switches of its own by which it asks nftables about the packets that it carries.
type bridge struct {
	name         string
	call4, call6 bool
}

func (b bridge) calls(f Family) bool { return f == IPv4 && b.call4 || f == IPv6 && b.call6 }

// parseBridges reads "ip -d -j link show type bridge".
func parseBridges(links []byte) ([]bridge, error) {
	var all []struct {
		IfName   string
		LinkInfo struct {
			Data struct {
				IPTables  int `json:"nf_call_iptables"`
				IP6Tables int `json:"nf_call_ip6tables"`
			} `json:"info_data"`
		}
	}
	if err := json.Unmarshal(links, &all); err != nil {
		return nil, fmt.Errorf("bridges: %w", err)
	}
	var bridges []bridge
	for _, link := range all {
		if link.IfName != "" { // ip writes empty objects for links of other types
			bridges = append(bridges, bridge{link.IfName, link.LinkInfo.Data.IPTables == 1, link.LinkInfo.Data.IP6Tables == 1})
		}
	}
	return bridges, nil
}

// callFile is the switch of all bridges (ip-sysctl.rst, /proc/sys/net/bridge).
func callFile(f Family) string {
	if f == IPv6 {
		return "net/bridge/bridge-nf-call-ip6tables"
	}
	return "net/bridge/bridge-nf-call-iptables"
}

// bridged says what it means that bridges ask nftables, each by its own switch or by that of all. The kernel asks about a packet
// while it is the bridge's, and not again when it is the host's: the socket that TPROXY has found is lost in between.
func (r Rules) bridged(f Family, bridges []bridge, all string) []Finding {
	var findings []Finding
	for _, b := range bridges {
		if len(r.Interfaces) > 0 && !slices.Contains(r.Interfaces, b.name) {
			continue
		}
		var fixes []string
		if all == "1" {
			fixes = append(fixes, fmt.Sprintf("sysctl -w %s=0", strings.ReplaceAll(callFile(f), "/", ".")))
		}
		if b.calls(f) {
			_, option, _ := strings.Cut(callFile(f), "bridge-")
			fixes = append(fixes, fmt.Sprintf("ip link set %s type bridge %s 0", b.name, strings.ReplaceAll(option, "-", "_")))
		}
		if fixes != nil {
			findings = append(findings, problem(fmt.Sprintf("the bridge %s hands packets of %s to nftables: with TPROXY what comes in there has no answer, with REDIRECT it has",
				b.name, familyName(f)), strings.Join(fixes, " && ")))
		}
	}
	if findings == nil {
		findings = append(findings, ok(fmt.Sprintf("no bridge where clients come in hands packets of %s to nftables", familyName(f))))
	}
	return findings
}
