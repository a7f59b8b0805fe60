package main

import (
	"errors"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// transparentOptions defines the flags of a proxy that neither clients nor servers know of.
func transparentOptions(f *pflag.FlagSet, c *mitm.Config) {
	add(f, "transparent", "redirect|tproxy", "the kernel brings --listen and -p connections for others: by NAT, or to the listener's socket (Linux)",
		oneOf(&c.Transparent, map[string]intercept.Mode{"redirect": intercept.Redirect, "tproxy": intercept.TPROXY}, "redirect or tproxy"))
	add(f, "mark", "N", "SO_MARK of all that we connect to, by which rules know it; not of names that libc looks up (Linux)",
		number(32, "a number from 1, like 0x2a", func(n uint64) { c.Mark = uint32(n) }))
	add(f, "usesrc", "client|clientip|ADDR", "the address that servers see: the client's with its port, the client's, or another one (Linux; answers must come back through here)", func(v string) (err error) {
		c.Source, c.SourceAddr, err = parseSource(v)
		return err
	})
}

// parseSource parses client, clientip or an address.
func parseSource(v string) (mitm.Source, netip.Addr, error) {
	switch v {
	case "client":
		return mitm.SourceClient, netip.Addr{}, nil
	case "clientip":
		return mitm.SourceClientIP, netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(v)
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
		return mitm.SourceOwn, netip.Addr{}, errors.New("want client, clientip or an IP address")
	}
	return mitm.SourceAddr, addr.Unmap(), nil
}
