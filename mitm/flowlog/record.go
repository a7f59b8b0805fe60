package flowlog

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// Version is the "v" of the lines. It changes when a reader that ignores new fields
// could be misled.
const Version = 1

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a line.
func Schema() []byte { return []byte(schema) }

// record is a line.
type record struct {
	V          int            `json:"v"`
	ID         string         `json:"id"`
	Start      string         `json:"start"`
	DurationMS float64        `json:"duration_ms"`
	Client     bridge.Addr    `json:"client,omitzero"`
	Server     bridge.Addr    `json:"server,omitzero"`
	Target     bridge.Addr    `json:"target,omitzero"`
	Path       string         `json:"path"`
	Frames     []bridge.Frame `json:"frames,omitempty"`
	Originated []bridge.Frame `json:"originated,omitempty"`
	Action     string         `json:"action"`
	Rule       string         `json:"rule,omitempty"`
	TLS        *tlsRecord     `json:"tls,omitempty"`
	Bytes      byteCount      `json:"bytes"`
	EndedBy    bridge.Party   `json:"ended_by"`
	Reason     bridge.Reason  `json:"reason"`
	Error      string         `json:"error"`
}

type byteCount struct {
	FromClient int64 `json:"from_client"`
	FromServer int64 `json:"from_server"`
}

func newRecord(f *bridge.Flow, out bridge.Outcome) record {
	frames := f.Frames()
	r := record{
		V:          Version,
		ID:         f.ID(),
		Start:      f.Start().UTC().Format("2006-01-02T15:04:05.000000Z"),
		DurationMS: float64(out.Duration.Round(time.Microsecond).Microseconds()) / 1000,
		Client:     f.Client(),
		Server:     f.Server(),
		Target:     f.Target(),
		Path:       f.Path(),
		Frames:     frames,
		Originated: f.Originated(),
		Action:     actionOf(frames, out),
		Rule:       defaultRule,
		Bytes:      byteCount{f.Bytes(bridge.Client), f.Bytes(bridge.Server)},
		EndedBy:    out.EndedBy,
		Reason:     out.Reason,
	}
	if tls := tlsbridge.Innermost(frames); tls != nil {
		r.TLS, r.Rule = newTLSRecord(tls.Detail), ruleOf(tls.Detail)
	}
	if out.Err != nil {
		r.Error = out.Err.Error()
	}
	return r
}

// line encodes the record.
func (r record) line() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a path is "socks5>tls", also for grep
	if err := e.Encode(r); err != nil {
		panic(err) // it is all strings and numbers
	}
	return b.Bytes()
}
