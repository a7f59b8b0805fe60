package detect_test

import (
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

func sshVerdicts(testing.TB) []verdictTest {
	yes := func(version, software string) detect.Verdict {
		return detect.Yes(detect.Info{Protocol: "ssh", Version: version, Software: software})
	}
	tests := []struct {
		name, in string
		want     detect.Verdict
	}{
		{"nothing", "", detect.More(10)},
		{"three letters", "SSH", detect.More(10)},
		{"the name", "SSH-", detect.More(10)},
		{"half a version", "SSH-2.", detect.More(10)},
		{"a version", "SSH-2.0", detect.More(10)},
		{"version 1.99", "SSH-1.99", detect.More(11)},
		{"a version and its dash", "SSH-2.0-", detect.More(10)},
		{"no line end yet", "SSH-2.0-Go", detect.More(11)},
		{"a CR whose LF is to come", "SSH-2.0-Go\r", detect.More(12)},
		{"OpenSSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", yes("2.0", "OpenSSH_9.2p1")},
		{"a dash in the software", "SSH-2.0-a-b\r\n", yes("2.0", "a-b")},
		{"LF only", "SSH-2.0-Go\n", yes("2.0", "Go")},
		{"bytes behind the line", "SSH-1.99-x\r\n\x00\x00", yes("1.99", "x")},
		{"version 1.5", "SSH-1.5-x\r\n", yes("1.5", "x")},
		{"free text that looks like HTTP", "SSH-2.0-x y HTTP/1.1\r\n", yes("2.0", "x")},
		{"UTF-8 in comments", "SSH-2.0-x é\r\n", yes("2.0", "x")},
		{"another name", "SSG", detect.No()},
		{"version 3", "SSH-3", detect.No()},
		{"version 2.1", "SSH-2.1", detect.No()},
		{"version 2.00", "SSH-2.00", detect.No()},
		{"version 1.999", "SSH-1.999", detect.No()},
		{"a version without a minor", "SSH-1.-", detect.No()},
		{"a version without a dot", "SSH-20", detect.No()},
		{"a word after the version", "SSH-2.0x", detect.No()},
		{"no software", "SSH-2.0-\r\n", detect.No()},
		{"no software, LF", "SSH-2.0-\n", detect.No()},
		{"a space for software", "SSH-2.0- x\r\n", detect.No()},
		{"a NUL", "SSH-2.0-x\x00", detect.No()},
		{"a CR inside", "SSH-2.0-x\ry\r\n", detect.No()},
		{"UTF-8 in the software", "SSH-2.0-é", detect.No()},
		{"the longest line", "SSH-2.0-" + strings.Repeat("x", 245) + "\r\n", yes("2.0", strings.Repeat("x", 245))},
		{"a line that is too long", "SSH-2.0-" + strings.Repeat("x", 246) + "\r\n", detect.No()},
	}
	var all []verdictTest
	for _, tt := range tests {
		all = append(all, verdictTest{tt.name, detect.SSH(), []byte(tt.in), tt.want})
	}
	return all
}

func TestParseSSHIdentification(t *testing.T) {
	for in, want := range map[string]detect.SSHIdentification{
		"SSH-2.0-OpenSSH_9.2p1 Debian-2 x\r\n": {ProtoVersion: "2.0", SoftwareVersion: "OpenSSH_9.2p1", Comments: "Debian-2 x"},
		"SSH-1.99-a-b-c\n":                     {ProtoVersion: "1.99", SoftwareVersion: "a-b-c"},
		"SSH-2.0-x \r\n":                       {ProtoVersion: "2.0", SoftwareVersion: "x"},
	} {
		got, n, err := detect.ParseSSHIdentification([]byte(in + "more"))
		if err != nil || n != len(in) || got != want {
			t.Errorf("ParseSSHIdentification(%q) = %+v, %d, %v, want %+v", in, got, n, err, want)
		}
	}
	_, _, err := detect.ParseSSHIdentification([]byte("SSH-2.0-x\x07"))
	wantMalformed(t, err, "softwareversion")
}
