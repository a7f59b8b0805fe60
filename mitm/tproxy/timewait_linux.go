package tproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
)

// forget has the kernel drop what is left of connections that were brought and have ended: sockets in TIME_WAIT
// (RFC 9293 §3.6.1) with an address that is not this host's. A packet of a client that uses its port again
// would find such a socket before it is forwarded, and what has a socket is not: the client would have no answer for
// a minute. Where the kernel can't do it (before Linux 4.5, or without INET_DIAG_DESTROY) ss says nothing, and it stays so.
func (h *host) forget(ctx context.Context) error {
	var local []netip.Prefix
	for _, f := range []Family{IPv4, IPv6} {
		prefixes, err := listLocal(ctx, f)
		if err != nil {
			return err
		}
		local = append(local, prefixes...)
	}
	c := forgetting(local)
	if _, err := c.path(); err != nil {
		h.show("# " + err.Error() + ": for a minute clients have no answers who use a port of theirs again")
		return nil
	}
	return h.run(ctx, c)
}

// forgetting is the command for it. Its filter needs no parentheses, which are a shell's.
func forgetting(local []netip.Prefix) command {
	c := command{name: "ss", args: []string{"-Htn", "-K", "state", "time-wait"}}
	for _, p := range local {
		text := p.String()
		if p.Addr().Is6() {
			text = "[" + text + "]"
		}
		c.args = append(c.args, "not", "src", text)
	}
	return c
}

// listLocal returns the addresses of this host.
func listLocal(ctx context.Context, f Family) ([]netip.Prefix, error) {
	if f == IPv6 && !hasIPv6() {
		return nil, nil
	}
	c := ip(f, "-j route show table all type local")
	out, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	prefixes, err := parseLocal(out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	return prefixes, nil
}

// parseLocal reads "ip -j route show type local". The whole network is nobody's address: it is local by
// routes like ours, of which others may have one too.
func parseLocal(routes []byte) ([]netip.Prefix, error) {
	var all []struct{ Dst string }
	if err := json.Unmarshal(routes, &all); err != nil {
		return nil, err
	}
	var prefixes []netip.Prefix
	for _, route := range all {
		if route.Dst == "default" {
			continue
		}
		p, err := netip.ParsePrefix(route.Dst)
		if addr, addrErr := netip.ParseAddr(route.Dst); addrErr == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}
