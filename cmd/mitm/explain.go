package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

const explainHelp = `Says which of the operator's rules would decide a flow, and why: each rule that is
asked up to that one, with what it looked at. Nothing is run, and nothing is dialled.

The flow is what the options say. --hello reads the first bytes of a client from a
file, as they are on the wire, and takes name, ALPN, fingerprints and ECH from them;
options beside it change what it says. A flow with --nontls is no TLS.

What a rule can only know later can be said too: --server-cert, in the words of the
rules, and --failed, an alert with which the client has refused before (repeatable).

With --json it is one object: action, rule, target, throttle, awaits (the server's
certificate is asked for first, and then the action is what then says, unless a rule
that awaits it matches), and the steps, each with rule, line, type,
expression, description, verdict (match, no, awaits, inactive) and why.`

const explainExamples = `  mitm explain --ruleset rules.json --sni www.example.com
  mitm explain --ruleset rules.json --hello hello.bin --client 192.0.2.7
  mitm explain --bypass names.txt --sni bank.example --json
  mitm explain --ruleset rules.json --sni example.com --server-cert expired`

// explainOptions are the flags of explain.
type explainOptions struct {
	rules  ruleOptions
	facts  policy.Facts
	hello  string
	failed []policy.Refusal
	json   bool
}

func newExplain(s streams) *cobra.Command {
	var o explainOptions
	var given policy.Facts
	cmd := &cobra.Command{
		Use:     "explain",
		Short:   "say which rule would decide a flow, and why",
		Long:    explainHelp,
		Example: explainExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.readHello(); err != nil {
				return err
			}
			o.change(cmd.Flags().Changed, given)
			return o.run(cmd, s)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.rules.define(f)
	f.StringVar(&o.hello, "hello", "", "a `FILE` with a ClientHello, in its records")
	f.BoolVar(&given.NonTLS, "nontls", false, "the flow is not TLS")
	f.StringVar(&given.SNI, "sni", "", "the `NAME` that the client asks for")
	f.StringSliceVar(&given.ALPN, "alpn", nil, "the protocols that it offers, `NAME,...`")
	f.StringVar(&given.JA3, "ja3", "", "the `HASH` of its hello")
	f.StringVar(&given.JA4, "ja4", "", "the `FINGERPRINT` of its hello")
	f.BoolVar(&given.ECH, "ech", false, "the hello has ECH")
	add(f, "client", "IP", "the client's address", func(v string) (err error) {
		if given.Client, err = netip.ParseAddr(v); err != nil {
			err = errors.New("want an IP address")
		}
		return err
	})
	add(f, "destination", "HOST:PORT", "where the flow is to go", func(v string) (err error) {
		if given.Destination, err = bridge.ParseAddr(v); err != nil {
			err = errors.New("want HOST:PORT")
		}
		return err
	})
	f.StringVar(&given.Path, "path", "", "the layers around it, outermost first, like `proxy2>socks5`")
	add(f, "server-cert", "WORD", "what is wrong with the server's certificate: expired, selfsigned, untrusted, wronghost, or valid",
		oneOf(&given.ServerCert, certificates, "valid, expired, selfsigned, untrusted or wronghost"))
	add(f, "failed", "ALERT", "the client has refused with this alert before, like unknown_ca (repeatable)", func(v string) error {
		how, ok := policy.ParseRefusal(v)
		if !ok {
			return errors.New("want an alert by number or name, like 48 or unknown_ca, or OpenSSL's code for it")
		}
		o.failed = append(o.failed, how)
		return nil
	})
	f.BoolVar(&o.json, "json", false, "one object")
	for _, ofHello := range []string{"hello", "sni", "alpn", "ja3", "ja4", "ech", "server-cert"} {
		cmd.MarkFlagsMutuallyExclusive("nontls", ofHello)
	}
	return cmd
}

// certificates are the verdicts that the words of rules are for.
var certificates = map[string]string{
	"valid": "ok", "expired": "expired", "selfsigned": "self-signed", "untrusted": "unknown issuer", "wronghost": "wrong host",
}

// readHello takes the facts from a file with a hello.
func (o *explainOptions) readHello() error {
	if o.hello == "" {
		return nil
	}
	file, err := os.Open(o.hello)
	if err != nil {
		return usage("--hello: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, detectMax))
	if err != nil {
		return usage("--hello: %w", err)
	}
	hello, _, err := detect.ParseClientHello(data)
	if err != nil {
		return usage("--hello %s: %w", o.hello, err)
	}
	o.facts = policy.FactsOfHello(hello)
	return nil
}

// change puts what was given on the command line in the place of what the hello says.
func (o *explainOptions) change(changed func(string) bool, given policy.Facts) {
	f := &o.facts
	for name, set := range map[string]func(){
		"nontls":      func() { f.NonTLS = given.NonTLS },
		"sni":         func() { f.SNI = given.SNI },
		"alpn":        func() { f.ALPN = given.ALPN },
		"ja3":         func() { f.JA3 = given.JA3 },
		"ja4":         func() { f.JA4 = given.JA4 },
		"ech":         func() { f.ECH = given.ECH },
		"server-cert": func() { f.ServerCert = given.ServerCert },
	} {
		if changed(name) {
			set()
		}
	}
	f.Client, f.Destination, f.Path = given.Client, given.Destination, given.Path
}

// run explains the flow.
func (o *explainOptions) run(cmd *cobra.Command, s streams) error {
	rules, err := o.rules.open(cmd.Context(), nil)
	if err != nil {
		return err
	}
	if rules == nil {
		return usage("explain: want rules: --ruleset, --bypass, --bypassexact or --redirect")
	}
	for _, how := range o.failed {
		rules.Failed(o.facts, how)
	}
	decision, steps := rules.Explain(o.facts)
	if o.json {
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		return failed(e.Encode(explanation{
			Action: decision.Action, Rule: decision.Rule, Target: target(decision.Target),
			Throttle: decision.Throttle, Awaits: decision.Awaits, Then: decision.Then, Steps: steps,
		}))
	}
	for _, step := range steps {
		fmt.Fprintln(s.out, step)
	}
	fmt.Fprintln(s.out, inWords(decision))
	return nil
}

// explanation is what --json prints.
type explanation struct {
	Action   policy.Action `json:"action"`
	Rule     string        `json:"rule,omitempty"`
	Target   string        `json:"target,omitempty"`
	Throttle int64         `json:"throttle,omitempty"`
	Awaits   bool          `json:"awaits,omitzero"`
	Then     policy.Action `json:"then,omitempty"`
	Steps    []policy.Step `json:"steps"`
}

func inWords(d policy.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "action: %s", d.Action)
	if to := target(d.Target); to != "" {
		fmt.Fprintf(&b, " to %s", to)
	}
	if d.Throttle > 0 {
		fmt.Fprintf(&b, " at %d bytes a second", d.Throttle)
	}
	if d.Rule != "" {
		fmt.Fprintf(&b, ", by %q", d.Rule)
	}
	if d.Awaits {
		fmt.Fprintf(&b, ", until the server's certificate is known; then %s, unless a rule that awaits it matches", d.Then)
	}
	return b.String()
}

// target is a destination whose port may be left open.
func target(a bridge.Addr) string {
	if a.Port == 0 {
		return a.Host
	}
	return a.String()
}
