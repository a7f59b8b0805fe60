package flowlog

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Version is the "v" of the lines. It changes when a reader that ignores new fields
// could be misled.
const Version = 1

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a line.
func Schema() []byte { return []byte(schema) }

// TLSDetail is the Detail of a TLS layer's frame: the layer says itself what the "tls"
// object of its flow is, in the form that the schema has. Nil means that there is none.
type TLSDetail interface{ FlowLogTLS() any }

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
	Action     action         `json:"action"`
	Rule       string         `json:"rule,omitempty"`
	TLS        any            `json:"tls,omitempty"`
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
		Action:     actionOf(frames, out),
		Rule:       "default", // the one that is always there
		Bytes:      byteCount{f.Bytes(bridge.Client), f.Bytes(bridge.Server)},
		EndedBy:    out.EndedBy,
		Reason:     out.Reason,
	}
	if tls := innermostTLS(frames); tls != nil {
		if detail, ok := tls.Detail.(TLSDetail); ok {
			r.TLS = detail.FlowLogTLS()
		}
	}
	if out.Err != nil {
		r.Error = out.Err.Error()
	}
	return r
}

// line encodes the record. A layer's own object that can't be encoded is left out.
func (r record) line() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a path is "socks5>tls", also for grep
	if e.Encode(r) == nil {
		return b.Bytes()
	}
	b.Reset()
	r.TLS = nil
	if err := e.Encode(r); err != nil {
		panic(err) // the rest is strings and numbers
	}
	return b.Bytes()
}

// innermostTLS returns the last TLS frame, or nil.
func innermostTLS(frames []bridge.Frame) *bridge.Frame {
	for i, frame := range slices.Backward(frames) {
		if frame.Proto == "tls" {
			return &frames[i]
		}
	}
	return nil
}

// action is what was done with a flow.
type action string

const (
	inspect   action = "inspect"
	bypass    action = "bypass"
	rescue    action = "rescue"
	block     action = "block"
	encrypt   action = "encrypt"
	terminate action = "terminate"
	allow     action = "allow"
)

// rescued is how the note of a frame begins that was let through because the server's
// side could not be bridged.
const rescued = "rescue"

func actionOf(frames []bridge.Frame, out bridge.Outcome) action {
	switch out.Reason {
	case bridge.Block, bridge.Denied, bridge.Loop:
		return block
	}
	tls := innermostTLS(frames)
	switch {
	case tls == nil:
		return allow
	case tls.Verb == bridge.VerbPass && strings.HasPrefix(tls.Note, rescued):
		return rescue
	case tls.Verb == bridge.VerbPass, tls.Opaque && !tls.Decrypted:
		return bypass
	case tls.Verb == bridge.VerbTerminate:
		return terminate
	case tls.Verb == bridge.VerbOriginate:
		return encrypt
	}
	return inspect
}
