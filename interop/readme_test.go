package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// codeLines returns the command lines of the README: those of its code blocks without a
// language.
func codeLines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, block := range strings.Split("\n"+string(text), "\n```") {
		if i%2 == 0 || !strings.HasPrefix(block, "\n") {
			continue
		}
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, "  #")
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// The command lines of the README run as they are written, but for the port and the
// server, which are the test's own.
func TestTheREADMEsCommandsRun(t *testing.T) {
	lines := codeLines(t)
	find := func(prefix string) string {
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) })
		if at < 0 {
			t.Fatalf("no line of the README begins with %q:\n%s", prefix, strings.Join(lines, "\n"))
		}
		return lines[at]
	}
	s, trust := secureSite(t)
	module, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	asWritten := strings.TrimSuffix(find("go run ./cmd/mitm -x"), " &")
	m := startGoRun(t, module, strings.Fields(asWritten)[3:], "--listen", "127.0.0.1:0", "--trust", trust)
	curls := 0
	for _, line := range lines {
		args := strings.Fields(line)
		if args[0] != "curl" {
			continue
		}
		curls++
		for i, a := range args {
			a = strings.ReplaceAll(a, "127.0.0.1:8080", m.addrs[0])
			a = strings.ReplaceAll(a, "https://example.com/", s.URL)
			args[i] = strings.ReplaceAll(a, "ca.pem", filepath.Join(m.Dir, "ca.pem"))
		}
		if got := succeed(t, "curl", curlArgs(args[1:]...)...); got != "secret page" {
			t.Errorf("%s: got %q", line, got)
		}
	}
	if curls != 3 {
		t.Errorf("%d lines with curl, want three", curls)
	}
	m.flowLog = filepath.Join(m.Dir, "flows.jsonl")
	m.flows(t, curls)
	if code := m.ends(t, syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	reader := strings.Fields(find("tshark"))
	reader[2] = filepath.Join(m.Dir, reader[2])
	if got := succeed(t, reader[0], reader[1:]...); strings.Count(got, "GET / HTTP/1.1") != curls {
		t.Errorf("tshark shows\n%s", got)
	}
}

// startGoRun builds what "go run ./cmd/mitm" would, and runs it in a folder of its own
// with the flags as they are written.
func startGoRun(t *testing.T, module string, flags []string, more ...string) *mitm {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mitm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", file, "./cmd/mitm")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	proc := start(t, peers.Mitm(file, append(flags, more...)...))
	return &mitm{Process: proc, addrs: peers.Listeners(proc.Stderr())}
}

// Each flag that the documents name is one of the command, and so is each command.
func TestTheDocumentsNameFlagsThatExist(t *testing.T) {
	home := t.TempDir()
	help, _, _ := command(t, home, "--help")
	for _, sub := range []string{"run", "demo", "ca", "ca export", "ca install", "detect", "doctor", "explain", "tproxy", "completion", "version"} {
		text, stderr, code := command(t, home, append(strings.Fields(sub), "--help")...)
		if code != 0 || text == "" || stderr != "" {
			t.Errorf("mitm %s --help: exit code %d, %s", sub, code, stderr)
		}
		help += text
	}
	others := map[string]bool{ // of curl, editcap and tshark
		"--socks4a": true, "--inject-secrets": true, "--discard-all-secrets": true, "--disable-protocol": true, "--disable-heuristic": true,
	}
	flag := regexp.MustCompile("--[a-z][a-z0-9-]+")
	for _, file := range []string{"README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range flag.FindAllString(string(text), -1) {
			if !others[name] && !strings.Contains(help, name+" ") && !strings.Contains(help, name+"\n") {
				t.Errorf("%s names %s, which no command has", file, name)
			}
		}
	}
}
