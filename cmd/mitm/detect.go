package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/mitm/classify"
)

const detectHelp = `Reads what a client sent first, from FILE or stdin, and names the protocol: on one
line, with name=value for what else the bytes say. With --server it is what a server
sent first; with that and FILE or -, each gets a line of its own, begun by client: or
server:. With --datagram FILE is a client's first datagram, whole.

--pcap reads a capture instead, pcap or pcapng, and prints a line for each flow: the
addresses (client > server), first= who spoke first, what is missing (midstream: the
capture lacks the beginning; gap: it lacks bytes; evicted: judged early, to make room
for others), and what the client and the server said. What the server said is left
out where it is only the reply to a client. What could not be read is on stderr.

--trace adds, for each detector in the order of priority, the verdicts as the bytes
come: "need 5 at 0, need 9 at 5 to 12 at 8, match at 24" wanted 5 bytes in all when
there were none, 9 when there were 5, one more with each of the next three, and was
sure at 24. The last line says who decided, and if that was after its match, whom it
waited for.

With --json each line is an object; fields that do not apply are absent.
  an answer: from (client, server, datagram), verdict (match, none, undecided,
    silent), bytes, need, detector, protocol, version, verb, host, port, alpn, user,
    database, path, software, src, dst, ja3, ja4
  a flow: flow (its number), network (tcp, udp), first, client and server (each addr
    and an answer), midstream, gap, evicted, panic
  a trace: for each detector from, detector, steps (each at, verdict (need more,
    match, no match), need, until (need rises up to there), ended (the bytes had to
    end for it)), then the answer with decided, matched, waited_for; of a flow, behind
    the flow and with its number

Exit code 0: something is known; 1: nothing is; 2: wrong usage.`

const detectExamples = `  mitm detect hello.bin
  printf 'GET / HTTP/1.1\r\n\r\n' | mitm detect --trace
  mitm detect --server banner.bin
  mitm detect --datagram quic.bin
  mitm detect --pcap traffic.pcapng --json
  tcpdump -i any -U -w - | mitm detect --pcap -`

// detectOptions are the flags of detect.
type detectOptions struct {
	server, pcap          string
	trace, json, datagram bool
}

func newDetect(s streams) *cobra.Command {
	var o detectOptions
	cmd := &cobra.Command{
		Use:     "detect [FILE|-]",
		Short:   "say which protocol the first bytes of a client, a server or a capture's flows are",
		Long:    detectHelp,
		Example: detectExamples,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if o.pcap != "" {
				return detectPcap(s, o, args)
			}
			return detectFiles(s, o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "a `FILE` with what a server sent first")
	f.StringVar(&o.pcap, "pcap", "", "read a capture: `FILE`, or - for stdin")
	f.BoolVar(&o.trace, "trace", false, "show how each detector came to its verdict")
	f.BoolVar(&o.json, "json", false, "an object a line")
	f.BoolVar(&o.datagram, "datagram", false, "FILE is a client's first datagram")
	cmd.MarkFlagsMutuallyExclusive("pcap", "server", "datagram")
	return cmd
}

// detectMax is more than any detector looks at.
const detectMax = 256 << 10

// detectFiles names what is in files: the client's unless only a server's is given.
func detectFiles(s streams, o detectOptions, args []string) error {
	p := printer{out: s.out, json: o.json, trace: o.trace}
	if len(args) == 1 || o.server == "" {
		family, name := classify.Clients(), "-"
		if o.datagram {
			family = classify.Datagrams()
		}
		if len(args) == 1 {
			name = args[0]
		}
		if err := p.file(s, family, name, o.server != ""); err != nil {
			return err
		}
	}
	if o.server != "" {
		if err := p.file(s, classify.Servers(), o.server, len(args) == 1); err != nil {
			return err
		}
	}
	return p.verdict()
}

// detectPcap names the flows of a capture.
func detectPcap(s streams, o detectOptions, args []string) error {
	if len(args) > 0 {
		return usage("detect: --pcap and a FILE of a client's bytes: want one of them")
	}
	in, err := openInput(s, o.pcap, "a capture")
	if err != nil {
		return err
	}
	defer in.Close()
	p := printer{out: s.out, json: o.json, trace: o.trace}
	summary, err := classify.Capture(in, classify.Config{}, p.flow)
	if err != nil {
		fmt.Fprintf(s.err, "mitm: detect: %s: %v\n", o.pcap, err)
	}
	if losses := summary.Losses(); losses != "" {
		fmt.Fprintf(s.err, "mitm: detect: %s: %s\n", o.pcap, losses)
	}
	if errors.Is(err, classify.ErrNotCapture) {
		return &exit{code: exitUsage}
	}
	return p.verdict()
}

// openInput opens a file, or stdin; a terminal is told what is waited for.
func openInput(s streams, name, what string) (io.ReadCloser, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usage("detect: %w", err)
		}
		return f, nil
	}
	if isTerminal(s.in) {
		fmt.Fprintf(s.err, "mitm: detect: waiting for %s on stdin; end it with Ctrl-D\n", what)
	}
	return io.NopCloser(s.in), nil
}

// isTerminal says whether somebody may sit there: a character device that is not the null device.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(info, null)
}

// printer prints answers, and remembers whether one of them was a match.
type printer struct {
	out         io.Writer
	json, trace bool
	matched     bool
}

// file prints what a family says of a file; labelled it says whose bytes they are.
func (p *printer) file(s streams, family classify.Family, name string, labelled bool) error {
	in, err := openInput(s, name, "what a "+family.From+" sends first")
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, detectMax))
	if err != nil {
		return usage("detect: %w", err)
	}
	answer, ended := classify.Answer{}, len(data) < detectMax
	if p.trace {
		trace := family.Trace(data, ended)
		p.traceOf(trace, 0)
		answer = trace.Answer
	} else {
		answer = family.Identify(data, ended)
	}
	p.matched = p.matched || answer.Verdict == classify.Match
	switch {
	case p.json && !p.trace:
		p.object(answer)
	case !p.json && labelled:
		fmt.Fprintf(p.out, "%s: %s\n", answer.From, answer)
	case !p.json:
		fmt.Fprintln(p.out, answer)
	}
	return nil
}

// flow prints a flow of a capture, and how its answers came about.
func (p *printer) flow(f classify.Flow) {
	p.matched = p.matched || f.Matched()
	if p.json {
		p.object(f)
	} else {
		fmt.Fprintln(p.out, f)
	}
	if !p.trace || f.Panic != "" {
		return
	}
	for _, trace := range f.Traces() {
		p.traceOf(trace, f.Number)
	}
}

// traceOf prints a trace, of the flow of that number unless it is 0.
func (p *printer) traceOf(t classify.Trace, flow int) {
	if !p.json {
		fmt.Fprint(p.out, t)
		return
	}
	type number struct {
		Flow int `json:"flow,omitempty"`
	}
	for _, trail := range t.Trails {
		p.object(struct {
			number
			classify.Trail
		}{number{flow}, trail})
	}
	p.object(struct {
		number
		classify.Trace
	}{number{flow}, t})
}

// object prints a line of JSON.
func (p *printer) object(v any) {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.Encode(v) // what is printed here always has a form in JSON, and a pipe that is closed ends the process
}

// verdict is the end of the command: exit code 1 if nothing was known.
func (p *printer) verdict() error {
	if p.matched {
		return nil
	}
	return &exit{code: exitFailed}
}
