package tproxy

import (
	"strings"
	"testing"
)

func TestComplaintIsTheProgramsFirstErrorInOneLine(t *testing.T) {
	for _, tt := range []struct{ name, stderr, stdin, want string }{
		{"nothing", "", "", ""},
		{"ip", "RTNETLINK answers: Operation not permitted\n", "", "RTNETLINK answers: Operation not permitted"},
		{"ip with two lines", "Error: ipv4: FIB table does not exist.\nDump terminated\n", "", "Error: ipv4: FIB table does not exist."},
		{"nft without a line", "netlink: Error: cache initialization failed: Operation not permitted\n", "x", "netlink: Error: cache initialization failed: Operation not permitted"},
		{
			"nft with a line", "/dev/stdin:2:3-9: Error: Could not process rule: No such file or directory\n\t\tqueue num 0\n\t\t^^^^^^^\n", "first\n\t\tqueue num 0\n",
			"Could not process rule: No such file or directory: queue num 0",
		},
		{"nft with a line that is none", "/dev/stdin:9:3-9: Error: syntax error\n", "first\n", "/dev/stdin:9:3-9: Error: syntax error"},
		{"a warning before it", "a warning\n/dev/stdin:1:1-2: Error: bad\n", "first", "bad: first"},
	} {
		if got := complaint(tt.stderr, tt.stdin); got != tt.want || strings.Contains(got, "\n") {
			t.Errorf("%s: complaint = %q, want %q", tt.name, got, tt.want)
		}
	}
}
