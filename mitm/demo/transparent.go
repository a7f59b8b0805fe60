package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/intercept"
	"github.com/bridgeio/bridgeio/mitm/tproxy"
)

// The addresses of the transparent demo: clients, a router on which the proxy runs, servers.
const (
	clientAddr = "198.51.100.2"
	serverAddr = "203.0.113.2"
	routerPort = 9000
)

// RunTransparent runs the transparent demo in a network of its own, by starting this very
// program once more with the arguments, which have it call Run with c.Transparent. It takes
// Linux, and root or user namespaces.
func RunTransparent(ctx context.Context, args ...string) error {
	return inOwnNetwork(ctx, args...)
}

// stage makes the networks of clients and servers beside this one, which becomes the router
// between them.
func stage(ctx context.Context) (clients, servers *place, err error) {
	if clients, err = newPlace(); err != nil {
		return nil, nil, err
	}
	if servers, err = newPlace(); err != nil {
		clients.close()
		return nil, nil, err
	}
	here := (*place)(nil)
	err = errors.Join(
		here.run(
			ctx, "link set lo up",
			"link add clients type veth peer name router netns "+clients.path(),
			"link add servers type veth peer name router netns "+servers.path(),
			"addr add 198.51.100.1/24 dev clients", "addr add 203.0.113.1/24 dev servers",
			"link set clients up", "link set servers up",
		),
		clients.run(ctx, "link set lo up", "addr add "+clientAddr+"/24 dev router", "link set router up", "route add default via 198.51.100.1"),
		servers.run(ctx, "link set lo up", "addr add "+serverAddr+"/24 dev router", "link set router up", "route add default via 203.0.113.1"),
	)
	if err != nil {
		clients.close()
		servers.close()
		return nil, nil, err
	}
	return clients, servers, nil
}

// transparentStacks are the ways to the origin for clients that know of no proxy of ours.
func transparentStacks(mode intercept.Mode) []stack {
	configure := func(c *mitm.Config, _ *peers) {
		c.Listen = []string{fmt.Sprintf(":%d", routerPort)}
		c.Transparent, c.Mark, c.Source = mode, tproxy.DefaultMark, mitm.SourceClientIP
	}
	return []stack{
		{"HTTPS, " + mode.String(), "tls(h2)", true, configure, nil, func(p *peers) bridge.Addr { return p.origin }, clientAddr},
		{"a SOCKS5 server behind us, " + mode.String(), "socks5>tls(h2)", true, configure, steps{saySOCKS5}, (*peers).socksAddr, ""},
		{"an HTTP proxy behind us, " + mode.String(), "connect>tls(http/1.1)", false, configure, steps{sayConnect}, (*peers).proxyAddr, ""},
	}
}

// recordTransparent runs the stacks of both modes, each with its rules in the kernel.
func (d *demo) recordTransparent(ctx context.Context, observer *bridge.Observer) error {
	for _, m := range []struct {
		mode  intercept.Mode
		rules tproxy.Mode
	}{{intercept.Redirect, tproxy.Redirect}, {intercept.TPROXY, tproxy.TPROXY}} {
		rules := tproxy.Rules{Mode: m.rules, Port: routerPort, ForeignSource: true, Family: tproxy.IPv4, Interfaces: []string{"clients"}}
		hold, err := rules.Up(ctx, nil)
		if err != nil {
			return err
		}
		err = d.tryAll(ctx, transparentStacks(m.mode), observer)
		if err = errors.Join(err, hold.Down(context.WithoutCancel(ctx))); err != nil {
			return err
		}
	}
	return nil
}

// ownState has the rules' state kept with the demo: it is of a network that ends with it.
func ownState(dir string) error {
	runtimeDir := filepath.Join(dir, "run")
	if err := os.Mkdir(runtimeDir, 0o700); err != nil {
		return err
	}
	return os.Setenv("XDG_RUNTIME_DIR", runtimeDir)
}
