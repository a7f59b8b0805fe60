package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// BuildMitm builds our own command into a file, from anywhere in the module, with
// the race detector if asked. A build knows nothing of version control, because a
// copy of the tree need not be a repository.
func BuildMitm(ctx context.Context, file string, race bool) error {
	args := []string{"build", "-buildvcs=false", "-o", file}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/bridgeio/bridgeio/cmd/mitm")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build mitm: %w\n%s", err, out)
	}
	return nil
}

// NoRaceDelay is the environment of a program with the race detector that is to end at
// once: it waits a second otherwise, for races that other threads may still run into.
const NoRaceDelay = "GORACE=atexit_sleep_ms=0"

// Mitm is our own command, in the given file. It gets a home folder of its own,
// so it makes its authority anew, and logs JSON. It is ready when it has announced
// one listener for each flag that asks for one; [Listeners] tells where. Built with
// the race detector it ends without that one's customary second of sleep.
func Mitm(file string, args ...string) Program {
	fronts := 0
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains([]string{"--listen", "--socks", "--httpconnect", "--pcapoverip"}, name) {
			fronts++
		}
	}
	return Program{
		Name:  file,
		Args:  append(slices.Clone(args), "--log-format", "json"),
		Env:   []string{"HOME=" + Here, "XDG_CONFIG_HOME=" + Here + "/config", "GORACE=atexit_sleep_ms=10"},
		Ready: func(stderr string) bool { return len(Listeners(stderr)) >= max(fronts, 1) },
	}
}

// Listeners returns the addresses that mitm has announced on stderr, in order. A
// port 0 was asked for, the real one is announced.
func Listeners(stderr string) []string {
	var addrs []string
	for line := range strings.Lines(stderr) {
		var record struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "listening" {
			addrs = append(addrs, record.Addr)
		}
	}
	return addrs
}

// A Flow is a line of mitm's flow log, as far as the tests look at it.
type Flow struct {
	V          int              `json:"v"`
	ID         string           `json:"id"`
	DurationMS float64          `json:"duration_ms"`
	Client     string           `json:"client"`
	Server     string           `json:"server"`
	Target     string           `json:"target"`
	Path       string           `json:"path"`
	Frames     []map[string]any `json:"frames"`
	Originated []map[string]any `json:"originated"`
	Action     string           `json:"action"`
	Rule       string           `json:"rule"`
	TLS        *FlowTLS         `json:"tls"`
	Bytes      struct {
		FromClient int64 `json:"from_client"`
		FromServer int64 `json:"from_server"`
	} `json:"bytes"`
	EndedBy string `json:"ended_by"`
	Reason  string `json:"reason"`
	Error   string `json:"error"`
}

// FlowTLS is what a flow's log line says about its innermost TLS.
type FlowTLS struct {
	Client      FlowTLSSide `json:"client"`
	Server      FlowTLSSide `json:"server"`
	Certificate struct {
		ServerSHA256 string `json:"server_sha256"`
		LeafSHA256   string `json:"leaf_sha256"`
		Verdict      string `json:"verdict"`
	} `json:"certificate"`
	Refused string `json:"refused"`
}

// FlowTLSSide is what was agreed with one peer.
type FlowTLSSide struct {
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	Group   string `json:"group"`
	ALPN    string `json:"alpn"`
	JA3     string `json:"ja3"`
	JA4     string `json:"ja4"`
	Rung    string `json:"rung"`
	Resumed bool   `json:"resumed"`
	ECH     string `json:"ech"`
}

// ParseFlows reads a flow log that may still be growing: a last line that has no
// end yet is left for later.
func ParseFlows(log []byte) ([]Flow, error) {
	var flows []Flow
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var f Flow
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, fmt.Errorf("parse flow log line %d: %w", len(flows)+1, err)
		}
		flows = append(flows, f)
	}
	return flows, nil
}
