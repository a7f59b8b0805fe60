package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/intercept"
	"github.com/bridgeio/bridgeio/mitm/tproxy"
)

// withTProxy are the kernel's rules for as long as the proxy runs.
type withTProxy struct {
	on    bool
	rules tproxy.Rules
}

func (w *withTProxy) define(f *pflag.FlagSet) {
	f.BoolVar(&w.on, "with-tproxy", false, "put up the kernel's rules for --transparent, and take them away at the end, as mitm tproxy does (with --fail closed what comes meanwhile is refused); which connections:")
	choiceOptions(f, &w.rules)
}

// check says what is wrong with the options, and completes the configuration: without a mark
// the rules would bring back our own connections.
func (w *withTProxy) check(c *mitm.Config) error {
	switch {
	case !w.on && !reflect.DeepEqual(w.rules, tproxy.Rules{}):
		return usage("--ports, --interface, --exclude, --uid, --cgroup, --family and --keep-forwarding are about the kernel's rules: add --with-tproxy")
	case !w.on:
		return nil
	case c.Transparent == intercept.None:
		return usage("--with-tproxy: want --transparent redirect or tproxy, too")
	case len(c.Listen)+len(c.TLS) > 1, len(c.Listen)+len(c.TLS) == 0 && len(c.SOCKS)+len(c.HTTPConnect)+len(c.HAProxy) > 0:
		return usage("--with-tproxy: want one --listen or -p: the rules bring everything to one port")
	}
	for _, addr := range transparentAddrs(*c) {
		if host, _, _ := net.SplitHostPort(addr); host != "" && host != "::" && host != "0.0.0.0" {
			return usage("--with-tproxy: listen on all addresses, not on %s: connections come to whichever the kernel chooses", host)
		}
	}
	if c.Mark == 0 {
		c.Mark = tproxy.DefaultMark
	}
	w.rules.Mark = c.Mark
	w.rules.Mode = tproxy.Redirect
	if c.Transparent == intercept.TPROXY {
		w.rules.Mode = tproxy.TPROXY
	}
	w.rules.ForeignSource = c.Source != mitm.SourceOwn
	w.rules.FailClosed = c.Limits.Fail == bridge.FailClosed
	rules := w.rules
	rules.Port = 1 // it is known when somebody listens
	return checkRules(rules)
}

// transparentAddrs are where the kernel can bring connections.
func transparentAddrs(c mitm.Config) []string {
	all := slices.Clone(c.Listen)
	for _, l := range c.TLS {
		all = append(all, l.Addr)
	}
	return all
}

// listened ends the context also when nobody reads any more what we write, as in a pipe or over a connection
// that is gone. Other processes a signal ends then; here that would leave the rules up, and the clients without
// servers.
func (w *withTProxy) listened(ctx context.Context, s streams) (context.Context, streams) {
	if !w.on {
		return ctx, s
	}
	signal.Ignore(syscall.SIGPIPE)
	ctx, end := context.WithCancel(ctx)
	s.out, s.err = listenedTo{s.out, end}, listenedTo{s.err, end}
	return ctx, s
}

// listenedTo calls unread when nobody reads what is written.
type listenedTo struct {
	io.Writer
	unread func()
}

func (w listenedTo) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		w.unread()
	}
	return n, err
}

// endOnce has signals after the first one wait for the end, which is bounded, until the function is
// called that it returns. They would end other processes at once; here that would leave the rules up, and
// the clients without servers.
func (w *withTProxy) endOnce() (stop func()) {
	impatience := make(chan os.Signal, 1)
	if w.on {
		signal.Notify(impatience, os.Interrupt, syscall.SIGTERM)
	}
	return func() { signal.Stop(impatience) }
}

// up puts up the rules for a server; nil: there are to be none.
func (w *withTProxy) up(ctx context.Context, server *mitm.Server, log *slog.Logger) (*tproxy.Hold, error) {
	if !w.on {
		return nil, nil
	}
	for _, l := range server.Listening() {
		if l.Kind == "auto" || l.Kind == "tls" {
			w.rules.Port = l.Addr.(*net.TCPAddr).AddrPort().Port()
		}
	}
	hold, err := w.rules.Up(ctx, log)
	return hold, failed(err)
}

// serveUnder serves while the rules bring connections. At the end they are released before the
// listeners close, and taken away when the flows have ended.
func serveUnder(ctx context.Context, hold *tproxy.Hold, server *mitm.Server) error {
	lasting := context.WithoutCancel(ctx)
	serving, closeListeners := context.WithCancel(lasting)
	ending, end := context.WithCancel(ctx)
	var releasing sync.WaitGroup
	var released error
	releasing.Go(func() {
		<-ending.Done()
		released = hold.Release(lasting)
		closeListeners()
	})
	err := server.Serve(serving)
	end()
	releasing.Wait()
	return failed(errors.Join(err, released, hold.Down(lasting)))
}
