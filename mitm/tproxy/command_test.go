package tproxy

import (
	"errors"
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

func TestACommandThatFailsSaysWhichAndWhy(t *testing.T) {
	_, err := command{name: "ip", args: []string{"-4", "nonsense"}}.run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "ip -4 nonsense: ") || !says(err, "nonsense") || strings.Contains(err.Error(), "\n") {
		t.Errorf("run: %v", err)
	}
	if _, err := (command{name: "no-such-program"}).run(t.Context()); err == nil || !strings.Contains(err.Error(), "is not installed") {
		t.Errorf("run: %v", err)
	}
	if says(errors.New("nonsense"), "nonsense") {
		t.Error("an error of no program says what a program would")
	}
}
