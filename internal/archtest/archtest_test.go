package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bridgeio/bridgeio"

func TestImportsPointOneWay(t *testing.T) {
	root := moduleRoot(t)
	name, err := Module(root)
	if err != nil {
		t.Fatal(err)
	}
	if name != module {
		t.Errorf("Module() = %q, want %q", name, module)
	}
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	self := func(f File) bool { return f.Path == "internal/archtest/rules.go" }
	if !slices.ContainsFunc(files, self) {
		t.Fatalf("Files() found %d files, but not this package's own", len(files))
	}
	for _, v := range Check(name, files) {
		t.Error(v)
	}
}

func TestTopLevelHoldsOnlyKnownFolders(t *testing.T) {
	entries, err := os.ReadDir(moduleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch {
		case e.Name()[0] == '.':
		case e.IsDir() && !slices.Contains(topLevel, e.Name()):
			t.Errorf("folder %s: not one of %s", e.Name(), strings.Join(topLevel, ", "))
		case strings.HasSuffix(e.Name(), ".go"):
			t.Errorf("file %s: the top level is not a package", e.Name())
		}
	}
}

func TestCheckFindsViolations(t *testing.T) {
	const ours = module + "/"
	tests := []struct {
		name     string
		file     string
		imported string
		ok       bool
	}{
		{"bridge uses the standard library", "bridge/relay.go", "net/netip", true},
		{"bridge knows nothing of detect", "bridge/relay.go", ours + "detect", false},
		{"bridge knows nothing of its own test package", "bridge/relay.go", ours + "bridge/bridgetest", false},
		{"bridge uses no other module", "bridge/splice_linux.go", "golang.org/x/sys/unix", false},
		{"bridgetest uses bridge", "bridge/bridgetest/conn.go", ours + "bridge", true},
		{"bridgetest does not use detect", "bridge/bridgetest/conn.go", ours + "detect", false},
		{"detect knows nothing of bridge", "detect/tls.go", ours + "bridge", false},
		{"detecttest uses detect", "detect/detecttest/laws.go", ours + "detect", true},
		{"what writes detect's documentation uses detect", "detect/internal/collisiontable/main.go", ours + "detect", true},
		{"what writes detect's documentation uses nothing else", "detect/internal/collisiontable/main.go", ours + "bridge", false},
		{"the switch uses bridge and detect", "layers/switch.go", ours + "detect", true},
		{"the switch does not use a layer", "layers/switch.go", ours + "layers/socks", false},
		{"the switch uses no other module", "layers/switch.go", "golang.org/x/net/idna", false},
		{"a layer uses bridge", "layers/socks/relay.go", ours + "bridge", true},
		{"a layer uses other modules", "layers/tlsbridge/hello.go", "github.com/refraction-networking/utls", true},
		{"a layer does not use another layer", "layers/socks/relay.go", ours + "layers/tlsbridge", false},
		{"a layer does not use the switch", "layers/socks/relay.go", ours + "layers", false},
		{"a layer does not use the product", "layers/tlsbridge/mint.go", ours + "mitm/ca", false},
		{"a layer uses its own sub-package", "layers/tlsbridge/relay.go", ours + "layers/tlsbridge/hello", true},
		{"a layer's sub-package uses its own tree only", "layers/tlsbridge/hello/spec.go", ours + "layers/socks", false},
		{"a layer's sub-package may be internal to it", "layers/tlsbridge/relay.go", ours + "layers/tlsbridge/internal/spec", true},
		{"a layer uses the cache of what is remembered", "layers/tlsbridge/memory.go", ours + "internal/expiring", true},
		{"a layer uses nothing else internal", "layers/tlsbridge/memory.go", ours + "internal/peers", false},
		{"the switch remembers nothing", "layers/switch.go", ours + "internal/expiring", false},
		{"bridge remembers nothing", "bridge/relay.go", ours + "internal/expiring", false},
		{"detect remembers nothing", "detect/tls.go", ours + "internal/expiring", false},
		{"the cache knows nothing of ours", "internal/expiring/cache.go", ours + "internal/peers", false},
		{"the cache uses no other module", "internal/expiring/cache.go", "github.com/maypok86/otter/v2", false},
		{"the policy uses the cache", "mitm/policy/bypass.go", ours + "internal/expiring", true},
		{"the policy does not use the product", "mitm/policy/bypass.go", ours + "mitm", false},
		{"a layer does not use a test package", "layers/socks/relay.go", ours + "bridge/bridgetest", false},
		{"the authority uses a layer", "mitm/ca/ca.go", ours + "layers/tlsbridge", true},
		{"the authority does not use its sister", "mitm/ca/ca.go", ours + "mitm/capture", false},
		{"the authority does not use the product", "mitm/ca/ca.go", ours + "mitm", false},
		{"the product uses everything below", "mitm/chain.go", ours + "mitm/ca", true},
		{"the product does not use the command", "mitm/chain.go", ours + "cmd/mitm", false},
		{"the product does not use a test module", "mitm/demo.go", "go.uber.org/goleak", false},
		{"the demonstration uses the product", "mitm/demo/demo.go", ours + "mitm", true},
		{"the demonstration uses no test module", "mitm/demo/demo.go", "github.com/pires/go-proxyproto", false},
		{"the command uses the product", "cmd/mitm/main.go", ours + "mitm", true},
		{"the command does not reach for a layer", "cmd/mitm/main.go", ours + "layers/socks", false},
		{"the command uses one other module", "cmd/mitm/main.go", "github.com/spf13/cobra", true},
		{"the command uses no further module", "cmd/mitm/main.go", "golang.org/x/sys/unix", false},
		{"a leaf knows nothing above it", "internal/peers/nginx.go", ours + "bridge", false},
		{"interop uses what it likes", "interop/peer.go", "github.com/pires/go-proxyproto", true},
		{"cgo is nowhere allowed", "mitm/chain.go", "C", false},
		{"another module of the same owner is not ours", "bridge/relay.go", module + "tools/x", false},
		{"a package without a rule", "util/util.go", "fmt", false},
		{"a package in the top level", "main.go", "fmt", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Check(module, []File{{Path: tt.file, Imports: []string{tt.imported}}})
			if (len(got) == 0) != tt.ok {
				t.Errorf("%s imports %s: violations %q, want ok %v", tt.file, tt.imported, got, tt.ok)
			}
			for _, v := range got {
				if !strings.HasPrefix(v, tt.file+": ") {
					t.Errorf("violation %q does not begin with the file", v)
				}
			}
		})
	}
}

func TestFilesParsesWhatTheCompilerMayIgnore(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                "module example.test/m\n\ngo 1.26.0\n",
		"bridge/a.go":           "package bridge\n\nimport \"fmt\"\n\nfunc F() { fmt.Println(",
		"bridge/b_windows.go":   "//go:build windows\n\npackage bridge\n\nimport x \"example.test/m/mitm\"\n",
		"bridge/c_test.go":      "package bridge\n\nimport \"example.test/m/mitm\"\n",
		"bridge/testdata/d.go":  "package d\n\nimport \"example.test/m/mitm\"\n",
		"tools/go.mod":          "module example.test/tools\n",
		"tools/e.go":            "package e\n\nimport \"example.test/m/mitm\"\n",
		".cache/f.go":           "package f\n\nimport \"example.test/m/mitm\"\n",
		"layers/socks/codec.go": "package socks\n",
	} {
		write(t, filepath.Join(root, filepath.FromSlash(name)), text)
	}
	found, err := Root(filepath.Join(root, "layers", "socks"))
	if err != nil || found != root {
		t.Fatalf("Root() = %q, %v, want %q", found, err, root)
	}
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	got := Check("example.test/m", files)
	want := []string{"bridge/b_windows.go: imports example.test/m/mitm; bridge may import the standard library"}
	if !slices.Equal(got, want) || len(files) != 3 {
		t.Errorf("Check() = %q of %d files, want %q of 3", got, len(files), want)
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := Root(".")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
