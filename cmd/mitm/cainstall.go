package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/mitm/truststore"
)

// newInstall is the command that puts the CA's certificate into trust stores.
func newInstall(s streams, cacert *string) *cobra.Command {
	install := truststore.Install{Stores: truststore.System | truststore.NSS, Out: s.out}
	cmd := &cobra.Command{
		Use:   "install [FILE]",
		Short: "have this machine's programs and browsers trust the CA, or no longer",
		Long: `Puts the CA's certificate into Debian's store (update-ca-certificates), which is
root's, and into the databases of Chromium and Firefox (certutil), which are the
user's. Each command is printed before it runs; what is there already is left alone.

FILE is the certificate, as mitm ca export writes it, for root or another user, who
has no CA or another.`,
		Example: `  mitm ca install --dry-run
  mitm ca install --store nss
  mitm ca export ca.pem && sudo mitm ca install ca.pem --store system
  mitm ca install --store nss --remove`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			run := func(c *x509.Certificate) error {
				install.Certificate = c
				return runInstall(cmd.Context(), install)
			}
			if len(args) == 0 {
				return existingCA(s, *cacert, func(_ streams, cacert string) error { return withCertificate(cacert, run) })
			}
			if *cacert != "" {
				return usage("ca install FILE: FILE is a certificate already; leave --cacert out")
			}
			install.Source = args[0]
			c, err := readCertificate(args[0])
			if err != nil {
				return usage("ca install: %w", err)
			}
			return run(c)
		},
	}
	f := cmd.Flags()
	add(f, "store", "system|nss|all", "which stores: Debian's, the browsers', or both (default all)", oneOf(&install.Stores, map[string]truststore.Stores{
		"system": truststore.System, "nss": truststore.NSS, "all": truststore.System | truststore.NSS,
	}, "system, nss or all"))
	f.BoolVar(&install.Remove, "remove", false, "take the certificate out again")
	f.BoolVar(&install.DryRun, "dry-run", false, "print the commands, and run none that changes something")
	return cmd
}

func withCertificate(cacert string, do func(*x509.Certificate) error) error {
	authority, err := openAuthority(cacert)
	if err != nil {
		return err
	}
	return errors.Join(do(authority.Certificate()), failed(authority.Close()))
}

// runInstall installs, with one line of all that has failed.
func runInstall(ctx context.Context, install truststore.Install) error {
	if err := install.Run(ctx); err != nil {
		return failed(errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return nil
}

// readCertificate reads the one certificate of an authority in a file, PEM or DER.
func readCertificate(file string) (*x509.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if block, rest := pem.Decode(content); block != nil {
		if second, _ := pem.Decode(rest); second != nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: want one certificate and nothing else", file)
		}
		content = block.Bytes
	}
	c, err := x509.ParseCertificate(content)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: no certificate in it; want PEM or DER", file)
	case !c.IsCA:
		return nil, fmt.Errorf("%s: certificate %q is not a CA", file, c.Subject)
	}
	return c, nil
}
