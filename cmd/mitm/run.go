package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/flowlog"
	"github.com/bridgeio/bridgeio/mitm/intercept"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// runOptions are what the flags of run amount to.
type runOptions struct {
	config        mitm.Config
	auth          []string
	cacert        string
	otherCA       string
	export        string
	trust         []string
	noSystemRoots bool
	capture       captureOptions
	captures      *captures // what capture has opened
	flowlog       string
	tls           tlsOptions
	rules         ruleOptions
	kernel        withTProxy
	certHTTP      certHTTP
	logFormat     string
	logLevel      string
	verbose       bool
	misnamed      []string // variables of the environment
}

func newRun(s streams, use string) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:     use,
		Short:   "run the proxy",
		Example: runExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.rules.sources.Ruleset != "" && !cmd.Flags().Changed("bypassonfail") {
				o.config.Bypass = nil // the rules say it all
			}
			o.misnamed = misnamed(cmd.Root(), os.Environ())
			return o.run(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	bridgeOptions(f, &o.config)
	gatewayOptions(f, &o.config)
	proxyOptions(f, &o.config)
	transparentOptions(f, &o.config)
	o.kernel.define(f)
	limitOptions(f, &o.config.Limits)
	o.tls.define(f, &o.config)
	o.rules.define(f)
	f.StringArrayVar(&o.auth, "auth", nil, "ask for this name and password, `USER:PASS`; also env:NAME, file:PATH (repeatable)")
	f.StringVar(&o.cacert, "cacert", "", "the CA as load:FILE[:PASS], PEM or PKCS #12 with certificate and key; PASS also as env:NAME, file:PATH (default: made on first use)")
	f.StringVar(&o.otherCA, "othercacert", "", "the same for a CA whose signatures clients can check that can't check the other's: one with RSA, for old ones (default: they are let through)")
	f.StringVarP(&o.export, "export", "x", "", "write the CA certificate to `FILE`: DER for .cer and .der, else PEM")
	o.certHTTP.define(f)
	f.StringArrayVar(&o.trust, "trust", nil, "a `FILE` of roots that servers are verified against, besides the system's (repeatable)")
	f.BoolVar(&o.noSystemRoots, "no-system-roots", false, "verify servers against --trust only")
	o.capture.define(f)
	f.StringVarP(&o.flowlog, "flowlog", "f", "", "write one JSON object per flow to `FILE`; - is stdout")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "the same as --log-level debug")
	return cmd
}

// run runs the proxy until ctx ends. Files are closed last, so that the last flows
// are in them.
func (o *runOptions) run(ctx context.Context, s streams) (err error) {
	ctx, s = o.kernel.listened(ctx, s)
	if o.verbose {
		o.logLevel = "debug"
	}
	log, err := newLog(s.err, o.logFormat, o.logLevel)
	if err != nil {
		return err
	}
	o.config.Log = log
	for i, addr := range o.config.Listen {
		if o.config.Transparent == intercept.None { // else the kernel brings connections of other hosts
			o.config.Listen[i] = orLoopback(addr)
		}
	}
	for _, name := range o.misnamed {
		log.Warn("no option is set by this variable", "name", name)
	}
	if o.config.Auth, err = credentials(o.auth); err != nil {
		return err
	}
	if err := o.tls.load(&o.config, log); err != nil {
		return err
	}
	authority, err := openAuthority(o.cacert)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, failed(authority.Close())) }()
	o.config.CA = authority
	if o.otherCA != "" {
		other, err := loadAuthority("--othercacert", o.otherCA)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, failed(other.Close())) }()
		o.config.OtherCA = other
	}
	if err := o.exportTo(authority); err != nil {
		return err
	}
	if o.config.Roots, err = roots(o.trust, o.noSystemRoots); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := o.kernel.check(&o.config); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1) // one that comes now is answered when we serve
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	o.mark(intercept.Egress{Mark: o.config.Mark})
	if o.config.Rules, err = o.rules.open(ctx, log); err != nil {
		return err
	}
	closeOutputs, err := o.openOutputs(s, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, failed(closeOutputs())) }()

	server, err := mitm.New(o.config)
	if err != nil {
		if listen := (*net.OpError)(nil); errors.As(err, &listen) {
			return failed(err)
		}
		return usage("%w", err)
	}
	defer server.Close()
	stopPage, err := o.certHTTP.serve(ctx, authority, log)
	if err != nil {
		return err
	}
	defer stopPage()
	defer o.kernel.endOnce()()
	hold, err := o.kernel.up(ctx, server, log)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil // it was to end before it began
	case err != nil:
		return err
	}
	o.announce(s.err, log, server)
	defer watchRules(ctx, hangup, o.config.Rules, log)()
	if hold == nil {
		return failed(server.Serve(ctx))
	}
	return serveUnder(ctx, hold, server)
}

// mark has what else we connect to by ourselves go out as connections to servers do: rules of the
// kernel that take all of them would bring these here.
func (o *runOptions) mark(e intercept.Egress) {
	if e.Mark != 0 {
		o.rules.sources.Control, o.capture.over.Control = e.Control, e.Control
	}
}

// watchRules reads the rules again when their files change, and on a signal, until the function
// that it returns is called.
func watchRules(ctx context.Context, hangup <-chan os.Signal, rules *policy.Rules, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { rules.Watch(ctx) })
	watching.Go(func() {
		for {
			select {
			case <-hangup:
			case <-ctx.Done():
				return
			}
			if err := rules.Reload(ctx); err != nil {
				log.Error("the rules were not loaded again: the old ones stay in force", "err", err)
			} else {
				log.Info("the rules were loaded again", "rules", rules.String())
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// credentials reads the values of --auth. An error does not repeat them.
func credentials(values []string) ([]mitm.Credential, error) {
	var all []mitm.Credential
	for _, v := range values {
		v, err := mitm.ReadSecret(v)
		if err != nil {
			return nil, usage("--auth: %w", err)
		}
		c, err := mitm.ParseCredential(v)
		if err != nil {
			return nil, usage("--auth: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// check refuses options that would be without effect together, where that is not safe.
func (o *runOptions) check() error {
	c := &o.config
	if c.ClientCAs != nil && (c.NonTLS == mitm.NonTLSAllow || c.NonTLS == mitm.NonTLSEncrypt || c.NonTLS == mitm.NonTLSRedirect) {
		return usage("--clientca: clients that speak no TLS show no certificate; leave --nontls at block")
	}
	automatic := len(c.Listen) > 0 || len(c.SOCKS)+len(c.HTTPConnect)+len(c.TLS)+len(c.HAProxy) == 0
	if automatic && len(o.config.Auth) > 0 && !o.config.Connect.IsZero() {
		return usage("--auth: with --connect, --listen relays and asks nobody for a password; use --socks or --httpconnect")
	}
	if o.config.ClientCAs != nil && !o.config.Terminate && o.rules.sources.Ruleset == "" {
		return usage("--clientca: clients are asked where TLS is terminated only; use --terminate")
	}
	return nil
}

func newLog(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage("--log-level %s: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usage("--log-format %s: want text or json", format)
}

// openAuthority opens the authority that --cacert names, or the user's own.
func openAuthority(cacert string) (*ca.Authority, error) {
	if cacert == "" {
		dir, err := ca.DefaultDir()
		if err != nil {
			return nil, usage("%w", err)
		}
		authority, err := ca.Open(dir)
		if err != nil {
			return nil, usage("%w", err)
		}
		return authority, nil
	}
	return loadAuthority("--cacert", cacert)
}

// loadAuthority loads the authority that an option names.
func loadAuthority(option, v string) (*ca.Authority, error) {
	file, pass, err := splitLoad(v)
	if err == nil {
		pass, err = mitm.ReadSecret(pass)
	}
	if err != nil {
		return nil, usage("%s: %w", option, err)
	}
	authority, err := ca.LoadWithPassword(file, pass)
	if err != nil {
		return nil, usage("%s: %w", option, err)
	}
	return authority, nil
}

// splitLoad takes "load:FILE:PASS" apart. An error does not repeat it.
func splitLoad(v string) (file, pass string, err error) {
	v, ok := strings.CutPrefix(v, "load:")
	if file, pass = mitm.SplitFile(v); !ok || file == "" {
		return "", "", errors.New("want load:FILE or load:FILE:PASS")
	}
	return file, pass, nil
}

func (o *runOptions) exportTo(authority *ca.Authority) error {
	if o.export == "" {
		return nil
	}
	if err := os.WriteFile(o.export, certificate(authority, o.export), 0o644); err != nil {
		return usage("--export: %w", err)
	}
	return nil
}

// certificate returns the authority's certificate in the form that the file's name
// asks for.
func certificate(authority *ca.Authority, file string) []byte {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".cer", ".der":
		return authority.ExportDER()
	}
	return authority.ExportPEM()
}

// roots returns what servers are verified against; nil means the system's roots.
func roots(files []string, noSystem bool) (*x509.CertPool, error) {
	if len(files) == 0 && !noSystem {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !noSystem {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, usage("the system's roots: %w (--no-system-roots does without)", err)
		}
		pool = system
	}
	for _, file := range files {
		if err := addCertificates(pool, "--trust", file); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

// openOutputs opens what flows are written to, and returns the function that closes it.
func (o *runOptions) openOutputs(s streams, log *slog.Logger) (_ func() error, err error) {
	var closers []func() error
	closeAll := func() error {
		var err error
		for _, c := range closers {
			err = errors.Join(err, c())
		}
		return err
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	if o.capture.file == "-" && o.flowlog == "-" {
		return nil, usage("-w - and -f -: only one of them can have stdout")
	}
	if keys, err := o.tls.openKeyLog(); err != nil {
		return nil, err
	} else if keys != nil {
		closers = append(closers, keys.Close)
		o.config.KeyLog = keys
		log.Warn("the secrets of all TLS connections are written", "file", keys.Name())
	}
	observers := []*bridge.Observer{o.config.Observer}
	o.capture.config.Port = decryptedPort(o.config)
	if o.captures, err = o.capture.open(s.out, log); err != nil {
		return nil, err
	}
	closers = append(closers, o.captures.Close)
	observers = append(observers, o.captures.observers...)
	o.config.Wire = o.captures.wire()
	if o.flowlog != "" {
		l, err := createLog(o.flowlog, s.out)
		if err != nil {
			return nil, usage("-f: %w", err)
		}
		l.Logger = log
		closers = append(closers, l.Close)
		observers = append(observers, l.Observer())
	}
	if o.capture.file != "-" && o.flowlog != "-" {
		l := flowlog.NewText(s.out)
		l.Logger = log
		closers = append(closers, l.Close)
		observers = append(observers, l.Observer())
	}
	o.config.Observer = bridge.Observers(observers...)
	return closeAll, nil
}

// createLog opens the file of -f, to which it appends; "-" is stdout.
func createLog(file string, stdout io.Writer) (*flowlog.Log, error) {
	if file == "-" {
		return flowlog.New(stdout), nil
	}
	return flowlog.Create(file)
}

// announce says where we listen, and how to try it.
func (o *runOptions) announce(w io.Writer, log *slog.Logger, server *mitm.Server) {
	log.Info("certificate authority", "sha256", server.Authority().Fingerprint())
	if other := o.config.OtherCA; other != nil {
		log.Info("certificate authority for clients that can't check the other's signatures", "sha256", other.Fingerprint())
	}
	first := ""
	for _, l := range server.Listening() {
		log.Info("listening", "kind", l.Kind, "addr", l.Addr.String())
		if first == "" && l.Kind == "auto" && o.config.Connect.IsZero() && o.config.Transparent == intercept.None {
			first = l.Addr.String()
		}
	}
	o.captures.announce(log)
	if first == "" || o.logFormat != "text" {
		return
	}
	pem := o.export
	if pem == "" {
		pem = "ca.pem"
		fmt.Fprintln(w, "\nto try it:  mitm ca export ca.pem")
	} else {
		fmt.Fprintln(w, "\nto try it:")
	}
	fmt.Fprintf(w, "  curl --cacert %s -x socks5h://%s https://example.com/\n", pem, first)
	fmt.Fprintf(w, "  curl --cacert %s -x http://%s https://example.com/\n\n", pem, first)
}
