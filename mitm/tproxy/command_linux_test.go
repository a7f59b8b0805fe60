package tproxy

import (
	"errors"
	"strings"
	"testing"
)

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
