package main

import (
	"errors"
	"net/netip"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// transparentOptions defines the flags of a proxy that neither clients nor servers know of.
func transparentOptions(f *pflag.FlagSet, c *mitm.Config) {
	add(f, "transparent", "redirect|tproxy", "the kernel brings --listen and -p connections for others: by NAT, or to the listener's socket (Linux)",
		oneOf(&c.Transparent, map[string]intercept.Mode{"redirect": intercept.Redirect, "tproxy": intercept.TPROXY}, "redirect or tproxy"))
	add(f, "mark", "N", "SO_MARK of connections to servers, by which rules know them (Linux)", func(v string) error {
		n, err := strconv.ParseUint(v, 0, 32)
		if err != nil || n == 0 {
			return errors.New("want a number from 1, like 0x2a")
		}
		c.Mark = uint32(n)
		return nil
	})
	add(f, "usesrc", "client|clientip|ADDR", "the address that servers see: the client's with its port, the client's, or another one (Linux; answers must come back through here)", func(v string) error {
		switch v {
		case "client":
			c.Source = mitm.SourceClient
			return nil
		case "clientip":
			c.Source = mitm.SourceClientIP
			return nil
		}
		addr, err := netip.ParseAddr(v)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
			return errors.New("want client, clientip or an IP address")
		}
		c.Source, c.SourceAddr = mitm.SourceAddr, addr.Unmap()
		return nil
	})
}
