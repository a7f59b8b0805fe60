package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/upstream"
)

// orUpstream sets the upstream proxy where a value of --connect names one, which may be
// kept elsewhere, since there may be a password in it. Other values are for server.
func orUpstream(c *mitm.Config, server func(string) error) func(string) error {
	return func(v string) error {
		_, err := bridge.ParseAddr(v)
		kept := err != nil && (strings.HasPrefix(v, "env:") || strings.HasPrefix(v, "file:"))
		if kept {
			if v, err = mitm.ReadSecret(v); err != nil {
				return err
			}
		}
		switch {
		case upstream.Is(v):
			c.Upstream, err = upstream.Parse(v)
			return err
		case kept:
			return errors.New("what is kept there is no proxy like socks5://USER:PASS@HOST:PORT")
		}
		return server(v)
	}
}

// flagError leaves out of an error what was given to --connect, where it repeats that.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Name == "connect" {
		return fmt.Errorf("--connect: %w", errors.Unwrap(invalid))
	}
	return err
}
