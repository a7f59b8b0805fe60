package demo

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunBridgesEveryStack(t *testing.T) {
	var out strings.Builder
	if err := Run(t.Context(), Config{Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, s := range stacks() {
		if !strings.Contains(out.String(), "path "+s.path) {
			t.Errorf("no path %s in\n%s", s.path, out.String())
		}
	}
}

func TestRunFailsWhenTheClientsDoNotTrustTheAuthority(t *testing.T) {
	var out strings.Builder
	err := Run(t.Context(), Config{Out: &out, Distrust: true})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Run = %v, want a certificate error", err)
	}
}
