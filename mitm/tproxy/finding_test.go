package tproxy

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// line is one of /proc/net/tcp on this machine.
func line(addr, state string) string {
	ap := netip.MustParseAddrPort(addr)
	b := ap.Addr().AsSlice()
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	return fmt.Sprintf("   0: %s:%04X %s:0000 %s 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n",
		strings.ToUpper(hex.EncodeToString(b)), ap.Port(), strings.Repeat("0", 2*len(b)), state)
}

const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestTheWordsOfAnAddressAreInTheHostsOrder(t *testing.T) {
	loopback := "7F000001"
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		loopback = "0100007F"
	}
	text := head + "   0: " + loopback + ":1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
	if got := parseListeners(text, 8080); len(got) != 1 || got[0] != (listener{loopback: true}) {
		t.Errorf("parseListeners(127.0.0.1:8080) = %+v", got)
	}
}

func TestReached(t *testing.T) {
	forwarded, local := Rules{Mode: TPROXY, Port: 8080}, Rules{Mode: TPROXY, Port: 8080, Users: []uint32{1}}
	for _, tt := range []struct {
		name         string
		rules        Rules
		tcp, tcp6    string
		v4, v6       bool
		loop4, loop6 bool
	}{
		{name: "nobody listens", rules: forwarded},
		{name: "every address of both", rules: forwarded, tcp6: line("[::]:8080", "0A"), v4: true, v6: true},
		{name: "every address of IPv4", rules: forwarded, tcp: line("0.0.0.0:8080", "0A"), v4: true},
		{name: "an address of IPv6", rules: forwarded, tcp6: line("[2001:db8::1]:8080", "0A"), v6: true},
		{name: "another port", rules: forwarded, tcp6: line("[::]:8081", "0A")},
		{name: "a connection", rules: forwarded, tcp: line("192.0.2.1:8080", "01")},
		{name: "loopback for others", rules: forwarded, tcp: line("127.0.0.1:8080", "0A"), tcp6: line("[::1]:8080", "0A"), loop4: true, loop6: true},
		{name: "loopback for this host", rules: local, tcp: line("127.0.0.2:8080", "0A"), tcp6: line("[::1]:8080", "0A"), v4: true, v6: true},
		{name: "loopback and an address", rules: forwarded, tcp: line("127.0.0.1:8080", "0A") + line("192.0.2.1:8080", "0A"), v4: true},
		{name: "a line that is none", rules: forwarded, tcp: "   0: XYZ:1F90 0:0 0A\n   1: 0A\n  2: 00:1F90 0:0 0A\n"},
	} {
		v4, v6 := parseListeners(head+tt.tcp, 8080), parseListeners(head+tt.tcp6, 8080)
		if got, loop := tt.rules.reached(IPv4, v4, v6); got != tt.v4 || loop != tt.loop4 {
			t.Errorf("%s: IPv4 %v, loopback %v, want %v, %v", tt.name, got, loop, tt.v4, tt.loop4)
		}
		if got, loop := tt.rules.reached(IPv6, v4, v6); got != tt.v6 || loop != tt.loop6 {
			t.Errorf("%s: IPv6 %v, loopback %v, want %v, %v", tt.name, got, loop, tt.v6, tt.loop6)
		}
	}
}

// A list is that of a script when it has its comment and as many objects.
func TestIsListed(t *testing.T) {
	script := Rules{Mode: Redirect, Port: 1}.Script()
	_, comment, _ := strings.Cut(script, "comment ")
	comment, _, _ = strings.Cut(comment, "\n")
	objects := strings.Repeat(" # handle 1\n", 1+2+4+3) // the table, two chains, four rules and three
	for _, tt := range []struct {
		name, list string
		want       bool
	}{
		{"the same", "\tcomment " + comment + objects, true},
		{"the same, of a proxy", "\tcomment " + strings.TrimSuffix(comment, `"`) + ` ABC"` + objects, true},
		{"a rule less", "\tcomment " + comment + strings.Replace(objects, " # handle 1", "", 1), false},
		{"a rule more", "\tcomment " + comment + objects + " # handle 9", false},
		{"another comment", "\tcomment \"mitm 0000000000000000\"" + objects, false},
	} {
		if got := isListed(tt.list, script); got != tt.want {
			t.Errorf("%s: isListed = %v (size %d), want %v", tt.name, got, size(script), tt.want)
		}
	}
}

func TestATableIsOursByItsComment(t *testing.T) {
	for _, tt := range []struct {
		name, list string
		want       bool // it is somebody else's
	}{
		{"none", "", false},
		{"ours", "table inet mitm { # handle 7\n\tcomment \"mitm 385c880d5360fdec\"\n\n\tchain pass {\n", false},
		{"a proxy's of ours", "table inet mitm { # handle 7\n\tcomment \"mitm 385c880d5360fdec ABC234\"\n\n\tchain pass {\n", false},
		{"without a comment", "table inet mitm { # handle 7\n\tchain pass {\n", true},
		{"with another comment", "table inet mitm { # handle 7\n\tcomment \"mitm of a kind\"\n", true},
		{"with more than ours", "table inet mitm { # handle 7\n\tcomment \"mitm 385c880d5360fdec or so\"\n", true},
		{"with a rule's comment", "table inet mitm { # handle 7\n\tchain pass { # handle 1\n\t\taccept comment \"mitm 385c880d5360fdec\"\n", true},
	} {
		if got := isForeign(tt.list); got != tt.want {
			t.Errorf("%s: isForeign = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestATableHasTheOwnerOfItsScript(t *testing.T) {
	script := Rules{Mode: Redirect, Port: 1}.Script()
	for _, owner := range []string{"", "ABC234"} {
		owned := owned(script, owner)
		if got := ownerOf(owned); got != owner || isForeign(owned) || !hasComment(owned, script) || strings.Count(owned, "\n") != strings.Count(script, "\n") {
			t.Errorf("ownerOf = %q, want %q\n%s", got, owner, owned)
		}
	}
	for _, list := range []string{"", "\tcomment \"mitm ABC\"\n", "\tcomment \"mitm 385c880d5360fdec abc\"\n"} {
		if got := ownerOf(list); got != "" {
			t.Errorf("ownerOf(%q) = %q", list, got)
		}
	}
}
