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
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "the certificate authority that clients must trust",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&cacert, "cacert", "", "the CA as load:FILE[:PASS] (default: the user's own)")
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
		newExport(s, &cacert), newInstall(s, &cacert))
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
