package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/mitm/ca"
)

func newCA(s streams) *cobra.Command {
	var cacert string
	cmd := &cobra.Command{Use: "ca", Short: "the certificate authority that clients must trust"}
	cmd.PersistentFlags().StringVar(&cacert, "cacert", "", "the CA as load:FILE (default: the user's own)")
	cmd.AddCommand(
		&cobra.Command{
			Use:   "init",
			Short: "make the CA, unless there is one, and show it",
			Args:  cobra.NoArgs,
			RunE:  func(*cobra.Command, []string) error { return showCA(s, cacert) },
		},
		&cobra.Command{
			Use:   "show",
			Short: "show the CA's fingerprint and validity",
			Args:  cobra.NoArgs,
			RunE:  func(*cobra.Command, []string) error { return existingCA(s, cacert, showCA) },
		},
		&cobra.Command{
			Use:     "export [FILE]",
			Short:   "write the CA's certificate: DER for .cer and .der, else PEM; to stdout without FILE",
			Example: "  mitm ca export ca.pem",
			Args:    cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				return existingCA(s, cacert, func(s streams, cacert string) error { return exportCA(s, cacert, args) })
			},
		})
	return cmd
}

// existingCA runs do unless there is no authority yet, which only init and run make.
func existingCA(s streams, cacert string, do func(streams, string) error) error {
	if cacert == "" {
		dir, err := ca.DefaultDir()
		if err != nil {
			return usage("%w", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "ca.pem")); errors.Is(err, fs.ErrNotExist) {
			return failed(fmt.Errorf("there is no CA in %s yet; \"mitm ca init\" makes one", dir))
		}
	}
	return do(s, cacert)
}

func showCA(s streams, cacert string) error {
	authority, err := openAuthority(cacert)
	if err != nil {
		return err
	}
	c := authority.Certificate()
	fmt.Fprintf(s.out, "subject      %s\n", c.Subject)
	fmt.Fprintf(s.out, "sha256       %s\n", authority.Fingerprint())
	fmt.Fprintf(s.out, "not before   %s\n", c.NotBefore.UTC().Format(time.RFC3339))
	fmt.Fprintf(s.out, "not after    %s\n", c.NotAfter.UTC().Format(time.RFC3339))
	return failed(authority.Close())
}

func exportCA(s streams, cacert string, args []string) error {
	authority, err := openAuthority(cacert)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		_, err = s.out.Write(authority.ExportPEM())
	} else {
		err = os.WriteFile(args[0], certificate(authority, args[0]), 0o644)
	}
	if err != nil {
		return failed(err)
	}
	return failed(authority.Close())
}
