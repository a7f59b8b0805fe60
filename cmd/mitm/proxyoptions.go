package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm"
)

// proxyOptions defines the flags of PROXY headers for servers. What does not go together is
// found by mitm.New.
func proxyOptions(f *pflag.FlagSet, c *mitm.Config) {
	add(f, "send-proxy", "v1|v2", "begin connections to servers with a PROXY header: who the client is, and what it has asked us for, or else connected to",
		oneOf(&c.SendProxy, map[string]int{"v1": 1, "v2": 2}, "v1 or v2"))
	add(f, "proxy-tlv", "NAME,...", "what a header of version 2 has besides: authority (waits for the client's hello), unique-id, crc32c; with --terminate alpn, ssl", func(v string) error {
		return setProxyTLVs(&c.ProxyTLVs, v)
	})
	add(f, "proxy-header", "strip|relay|rewrite", "a PROXY header that was believed: keep it, pass it on as it came, or in version 2 with --proxy-tlv added; without --send-proxy flows from elsewhere end then (default strip)",
		oneOf(&c.ProxyHeader, map[string]mitm.ProxyHeader{"strip": mitm.ProxyStrip, "relay": mitm.ProxyRelay, "rewrite": mitm.ProxyRewrite}, "strip, relay or rewrite"))
}

func setProxyTLVs(to *mitm.ProxyTLVs, v string) error {
	known := map[string]*bool{"authority": &to.Authority, "alpn": &to.ALPN, "unique-id": &to.UniqueID, "ssl": &to.SSL, "crc32c": &to.CRC32C}
	for name := range strings.SplitSeq(v, ",") {
		asked, ok := known[name]
		if !ok {
			return errors.New("want a list of authority, alpn, unique-id, ssl and crc32c")
		}
		*asked = true
	}
	return nil
}
