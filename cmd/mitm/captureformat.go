package main

import (
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm/capture"
)

// formatOptions defines the flags that say what of a flow is written, and how.
func formatOptions(f *pflag.FlagSet, c *capture.Config) {
	if info, ok := debug.ReadBuildInfo(); ok {
		c.Application = "mitm " + versionOf(info)
	}
	add(f, "format", "pcap|pcapng", "pcapng adds names, what is known of each flow, and the secrets of TLS (default pcap)", func(v string) (err error) {
		c.Format, err = capture.ParseFormat(v)
		return err
	})
	add(f, "views", "decrypted,client,server", "with pcapng: what clients' and servers' sockets carried, too (default decrypted)", func(v string) (err error) {
		c.Views, err = capture.ParseViews(v)
		return err
	})
	add(f, "cutoff", "SIZE", "write at most so many bytes of a flow in each direction, like 100KB", func(v string) (err error) {
		c.Cutoff, err = capture.ParseSize(v)
		return err
	})
	add(f, "portmap", "PORT:PORT,...", "write the second as the port of servers whose port is the first, like 9443:9080", func(v string) (err error) {
		c.PortMap, err = capture.ParsePortMap(v)
		return err
	})
	f.BoolVar(&c.All, "writeall", false, "write flows in which nothing was decrypted, too")
}

// wire shows all captures what sockets carry; nil: none of them wants to know.
func (c *captures) wire() *capture.Wire { return capture.Wires(c.wires...) }
