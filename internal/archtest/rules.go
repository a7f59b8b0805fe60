package archtest

import "strings"

// A rule says what the packages that match pkg may import besides the standard
// library: packages of this module (ours), and of others (third).
type rule struct {
	pkg   string
	ours  []string
	third []string
	tests bool // the package exists for tests, so it may use what they use
}

func (r rule) String() string {
	allowed := append([]string{"the standard library"}, r.ours...)
	return strings.Join(append(allowed, r.third...), ", ")
}

// rules is the import rule. The first that matches a package counts.
var rules = []rule{
	{pkg: "bridge"},
	{pkg: "bridge/bridgetest", ours: []string{"bridge"}},
	{pkg: "detect"},
	{pkg: "detect/detecttest", ours: []string{"detect"}},
	{pkg: "detect/internal/...", ours: []string{"detect"}},

	{pkg: "layers", ours: []string{"bridge", "detect"}},
	{pkg: "layers/*/...", ours: []string{"bridge", "detect", "internal/expiring"}, third: []string{"..."}},

	{pkg: "mitm", ours: []string{"bridge", "detect", "layers/...", "mitm/...", "internal/..."}, third: []string{"..."}},
	// The demonstration uses the product as its users do, from above.
	{pkg: "mitm/demo", ours: []string{"bridge", "detect", "layers/...", "mitm", "mitm/..."}, third: []string{"..."}},
	{pkg: "mitm/*/...", ours: []string{"bridge", "detect", "layers/...", "internal/..."}, third: []string{"..."}},
	{pkg: "cmd/mitm", ours: []string{"bridge", "detect", "mitm/..."}, third: []string{"github.com/spf13/..."}},

	// What the layers build on builds on nothing itself.
	{pkg: "internal/expiring"},
	{pkg: "internal/...", ours: []string{"internal/..."}, third: []string{"..."}, tests: true},
	{pkg: "interop/...", ours: []string{"..."}, third: []string{"..."}, tests: true},
	{pkg: "bench/...", ours: []string{"..."}, third: []string{"..."}, tests: true},
	{pkg: "scripts/...", ours: []string{"internal/..."}},
}

// testOnly are the modules that the tests use and a user's build must not pull in.
var testOnly = []string{
	"github.com/coder/websocket/...",
	"github.com/google/go-cmp/...",
	"github.com/pires/go-proxyproto/...",
	"github.com/rogpeppe/go-internal/...",
	"github.com/santhosh-tekuri/jsonschema/...",
	"go.uber.org/goleak/...",
}

// topLevel are the folders that the repository's top level may hold. Hidden ones
// apart, another folder there is a new idea, and belongs into ARCHITECTURE.md first.
var topLevel = []string{
	"bench", "bridge", "cmd", "detect", "interop", "internal", "layers", "mitm", "scripts", "testdata", "tools",
}

func ruleFor(dir string) (rule, bool) {
	for _, r := range rules {
		if match(r.pkg, dir) {
			return r, true
		}
	}
	return rule{}, false
}
