package tproxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckRefusesWhatNoKernelWouldTake(t *testing.T) {
	good := Rules{Mode: TPROXY, Port: 9100}
	for _, tt := range []struct {
		name   string
		change func(*Rules)
		want   string // in the error; empty: there is none
	}{
		{"the least", func(*Rules) {}, ""},
		{"no mode", func(r *Rules) { r.Mode = 0 }, "want redirect or tproxy"},
		{"no port", func(r *Rules) { r.Port = 0 }, "the port that the proxy listens on"},
		{"a mark with our own bit", func(r *Rules) { r.Mark = 0x2000001 }, "the bit 0x2000000"},
		{"a mark of all other bits", func(r *Rules) { r.Mark = 0xfdffffff }, ""},
		{"port zero", func(r *Rules) { r.Ports = []PortRange{{0, 5}} }, "ports 0-5"},
		{"a range backwards", func(r *Rules) { r.Ports = []PortRange{{9, 5}} }, "ports 9-5"},
		{"all ports", func(r *Rules) { r.Ports = []PortRange{{1, 65535}} }, ""},
		{"a prefix that is none", func(r *Rules) { r.Exclude = []netip.Prefix{{}} }, "prefix"},
		{"an interface of 15 letters", func(r *Rules) { r.Interfaces = []string{"wlp0s20f3abcdef"} }, ""},
		{"an interface of 16 letters", func(r *Rules) { r.Interfaces = []string{"wlp0s20f3abcdefg"} }, "interface"},
		{"an interface with a dot and a dash", func(r *Rules) { r.Interfaces = []string{"br-0.100@x"} }, ""},
		{"an interface without a name", func(r *Rules) { r.Interfaces = []string{""} }, "interface"},
		{"a parent folder for an interface", func(r *Rules) { r.Interfaces = []string{".."} }, "interface"},
		{"an interface that ends a string of nft", func(r *Rules) { r.Interfaces = []string{`a" drop`} }, "interface"},
		{"an interface with a quote", func(r *Rules) { r.Interfaces = []string{`a"b`} }, "interface"},
		{"an interface with a line's end", func(r *Rules) { r.Interfaces = []string{"a\nEOF"} }, "interface"},
		{"an interface that means many to nft", func(r *Rules) { r.Interfaces = []string{"eth*"} }, "interface"},
		{"an interface that shells expand", func(r *Rules) { r.Interfaces = []string{"$HOME"} }, "interface"},
		{"loopback", func(r *Rules) { r.Interfaces = []string{"lo"} }, "user or control group"},
		{"a control group", func(r *Rules) { r.Cgroups = []string{"system.slice/a@1.service"} }, ""},
		{"a control group from the root", func(r *Rules) { r.Cgroups = []string{"/system.slice"} }, "control group"},
		{"a control group elsewhere", func(r *Rules) { r.Cgroups = []string{"../x"} }, "control group"},
		{"a control group that is not in its shortest form", func(r *Rules) { r.Cgroups = []string{"a//b"} }, "control group"},
		{"all control groups", func(r *Rules) { r.Cgroups = []string{"."} }, "control group"},
		{"a control group with a quote", func(r *Rules) { r.Cgroups = []string{`a"b`} }, "control group"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			tt.change(&r)
			switch err := r.Check(); {
			case tt.want == "" && err != nil:
				t.Errorf("Check: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("Check: %v, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestParsePorts(t *testing.T) {
	for text, want := range map[string][]PortRange{
		"443":              {{443, 443}},
		"80,443,8000-8100": {{80, 80}, {443, 443}, {8000, 8100}},
		"1-65535":          {{1, 65535}},
		"7-7":              {{7, 7}},
		"":                 nil,
		"0":                nil,
		"65536":            nil,
		"80,":              nil,
		"9-8":              nil,
		"-8":               nil,
		"8-":               nil,
		"1-2-3":            nil,
		"+5":               nil,
		"https":            nil,
		" 80":              nil,
	} {
		got, err := ParsePorts(text)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("ParsePorts(%q): %v, -want +got:\n%s", text, err, diff)
		}
	}
}

func TestMergePortsLeavesNothingThatOverlaps(t *testing.T) {
	for _, tt := range []struct {
		name     string
		in, want []PortRange
	}{
		{"none", nil, nil},
		{"one twice", []PortRange{{5, 5}, {5, 5}}, []PortRange{{5, 5}}},
		{"neighbours", []PortRange{{6, 7}, {5, 5}}, []PortRange{{5, 7}}},
		{"one in the other", []PortRange{{1, 65535}, {443, 443}}, []PortRange{{1, 65535}}},
		{"a gap of one", []PortRange{{7, 9}, {1, 5}}, []PortRange{{1, 5}, {7, 9}}},
		{"the last port", []PortRange{{65535, 65535}, {65534, 65535}}, []PortRange{{65534, 65535}}},
	} {
		if diff := cmp.Diff(tt.want, mergePorts(tt.in)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.name, diff)
		}
	}
}

func TestMergePrefixesLeavesNothingThatOverlaps(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"one in the other", "10.1.2.3/32 10.0.0.0/8 11.0.0.0/8", "10.0.0.0/8 11.0.0.0/8"},
		{"bits beyond the length", "10.1.2.3/8", "10.0.0.0/8"},
		{"the same twice", "::1/128 ::1/128", "::1/128"},
		{"everything of one version", "10.0.0.0/8 0.0.0.0/0 ::1/128", "0.0.0.0/0 ::1/128"},
		{"IPv4 in IPv6", "::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"three deep", "10.0.0.0/8 10.0.0.0/16 10.0.0.0/24 10.200.0.0/16", "10.0.0.0/8"},
	} {
		var in []netip.Prefix
		for text := range strings.FieldsSeq(tt.in) {
			in = append(in, netip.MustParsePrefix(text))
		}
		var got []string
		for _, p := range mergePrefixes(in) {
			got = append(got, p.String())
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s: mergePrefixes(%s) = %s, want %s", tt.name, tt.in, got, tt.want)
		}
	}
}
