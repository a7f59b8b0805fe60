package demo

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/bridgeio/bridgeio/bridge"
)

// recorder writes down what is said in each flow.
type recorder struct {
	mu     sync.Mutex
	open   map[*bridge.Flow]*conversation
	closed chan *conversation
}

// conversation is what was said in a flow, as the rungs of a ladder.
type conversation struct {
	*bridge.Flow
	outcome bridge.Outcome
	rungs   []rung
}

// rung is one message, or one thing that a layer learnt.
type rung struct {
	from, to bridge.Party
	label    string
	size     int
	gist     string
}

func newRecorder() *recorder {
	return &recorder{open: map[*bridge.Flow]*conversation{}, closed: make(chan *conversation, 64)}
}

func (r *recorder) observer() *bridge.Observer {
	return &bridge.Observer{
		Open: func(f *bridge.Flow) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.open[f] = &conversation{Flow: f}
		},
		Message: func(f *bridge.Flow, m bridge.Message) {
			r.add(f, rung{m.From, m.To, m.Layer, len(m.Data), gist(m.Data)})
		},
		Frame: func(f *bridge.Flow, frame bridge.Frame) { r.add(f, rung{label: learnt(frame)}) },
		Tap: func(f *bridge.Flow) func(bridge.Side, []byte) {
			return func(from bridge.Side, data []byte) {
				r.add(f, rung{bridge.By(from), bridge.By(from.Other()), "data", len(data), gist(data)})
			}
		},
		Close: func(f *bridge.Flow, out bridge.Outcome) {
			r.mu.Lock()
			defer r.mu.Unlock()
			c := r.open[f]
			delete(r.open, f)
			c.outcome = out
			r.closed <- c
		},
	}
}

// add adds a rung. Data that goes on in the same direction is one.
func (r *recorder) add(f *bridge.Flow, next rung) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.open[f]
	if n := len(c.rungs); n > 0 {
		last := &c.rungs[n-1]
		if next.label == "data" && last.label == "data" && last.from == next.from {
			last.size += next.size
			return
		}
	}
	c.rungs = append(c.rungs, next)
}

// next returns the next flow that has ended.
func (r *recorder) next(ctx context.Context) (*conversation, error) {
	select {
	case c := <-r.closed:
		return c, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the flow did not end: %w", ctx.Err())
	}
}

// learnt says what a layer has learnt.
func learnt(f bridge.Frame) string {
	words := []string{f.Proto, string(f.Verb)}
	for _, pair := range [][2]string{{"from", f.Src.String()}, {"to", f.Dst.String()}, {"name", f.SNI}, {"alpn", f.ALPN}} {
		if pair[1] != "" {
			words = append(words, pair[0]+" "+pair[1])
		}
	}
	return strings.Join(words, " ")
}

// gist is the beginning of a message: its first line, or a few bytes.
func gist(data []byte) string {
	const width = 20
	line, _, _ := strings.Cut(string(data), "\r\n")
	if printable(line) {
		return strings.TrimSpace(line[:min(len(line), width)])
	}
	return hex.EncodeToString(data[:min(len(data), width/2)])
}

func printable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

const column = 44 // between the client and us, and between us and the server

// print writes the ladder.
func (c *conversation) print(w io.Writer, title string) {
	fmt.Fprintf(w, "%s\n%s\n", title, heads())
	for _, r := range c.rungs {
		fmt.Fprintln(w, r)
	}
	fmt.Fprintf(w, "%s, path %s, %d bytes up, %d down\n\n",
		c.outcome.Reason, c.Path(), c.Bytes(bridge.Client), c.Bytes(bridge.Server))
}

func heads() string {
	return fmt.Sprintf("%-*s%-*s%s", column, "client", column, "mitm", "server")
}

func (r rung) String() string {
	if r.from == "" {
		return fmt.Sprintf("|%*s|", -(2*column - 1), center(" "+r.label+" ", 2*column-1, "="))
	}
	text := fmt.Sprintf(" %s: %s (%d) ", r.label, r.gist, r.size)
	left, right := position(r.from), position(r.to)
	arrow := center(text, max(left, right)-min(left, right)-2, "-")
	if left < right {
		arrow += ">"
	} else {
		arrow = "<" + arrow
	}
	line := strings.Repeat(" ", min(left, right)) + "|" + arrow + "|"
	if min(left, right) > 0 {
		line = "|" + line[1:]
	}
	return line + rest(max(left, right))
}

func rest(end int) string {
	if end == 2*column {
		return ""
	}
	return strings.Repeat(" ", column-1) + "|"
}

func position(p bridge.Party) int {
	switch p {
	case bridge.ByClient:
		return 0
	case bridge.ByMITM:
		return column
	}
	return 2 * column
}

func center(text string, width int, fill string) string {
	if len(text) > width {
		text = text[:width]
	}
	left := (width - len(text)) / 2
	return strings.Repeat(fill, left) + text + strings.Repeat(fill, width-len(text)-left)
}
