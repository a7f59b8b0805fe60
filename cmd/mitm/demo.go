package main

import (
	"errors"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/mitm/demo"
)

func newDemo(s streams) *cobra.Command {
	c := demo.Config{Out: s.out}
	var here bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "prove the proxy end to end, in one process, in seconds",
		Long: `Starts an HTTPS origin, a SOCKS5 server, an HTTP proxy, the mitm and real clients
on loopback, takes each client through a stack of protocols, and prints who said
what at which layer. Exits 0 only if every flow was bridged, verified and captured.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !c.Transparent || here {
				return failed(demo.Run(cmd.Context(), c))
			}
			args := []string{"demo", "--transparent", "--here", "--write", c.Capture}
			if c.Distrust {
				args = append(args, "--distrust")
			}
			err := demo.RunTransparent(cmd.Context(), args...)
			if said := (*exec.ExitError)(nil); errors.As(err, &said) {
				return &exit{code: exitFailed} // it has told why
			}
			return failed(err)
		},
	}
	cmd.Flags().StringVarP(&c.Capture, "write", "w", "", "keep the capture in `FILE`")
	cmd.Flags().BoolVar(&c.Transparent, "transparent", false, "in networks of the demo's own: clients, a router, servers (Linux; root, or user namespaces)")
	cmd.Flags().BoolVar(&here, "here", false, "the network of this process is the router's")
	cmd.Flags().MarkHidden("here")
	cmd.Flags().BoolVar(&c.Distrust, "distrust", false, "let the clients not trust the CA: the demo must fail")
	return cmd
}
