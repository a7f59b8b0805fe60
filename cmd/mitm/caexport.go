package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

// exportOptions are the flags of ca export.
type exportOptions struct {
	format   string
	key      bool
	password string
}

func newExport(s streams, cacert *string) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "write the CA's certificate; to stdout without FILE",
		Long: `Writes the CA's certificate: DER to .cer and .der, PKCS #12 to .p12 and .pfx, else
PEM; to stdout without FILE. Clients need nothing more.

With --key the file holds the private key as well, for another mitm or PolarProxy.
Whoever has it and the password can read the traffic of all who trust the CA.`,
		Example: `  mitm ca export ca.pem
  mitm ca export truststore.p12                    for Java; the password is changeit
  mitm ca export ca.p12 --key --password env:PW    and back: --cacert load:ca.p12:env:PW`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := strings.Join(args, "")
			return existingCA(s, *cacert, func(s streams, cacert string) error { return o.export(s, cacert, file) })
		},
	}
	f := cmd.Flags()
	add(f, "format", "pem|der|pkcs12", "what to write, whatever the file's name is", oneOf(&o.format, map[string]string{"pem": "pem", "der": "der", "pkcs12": "pkcs12"}, "pem, der or pkcs12"))
	f.BoolVar(&o.key, "key", false, "write the private key as well (PKCS #12 only, with a password)")
	f.StringVar(&o.password, "password", "", "the `PASS` of a PKCS #12 file; also env:NAME, file:PATH")
	return cmd
}

// javaPassword is what Java has when nobody says otherwise. A file without a key has no
// secrets to keep, but Java wants a password all the same.
const javaPassword = "changeit"

func (o exportOptions) export(s streams, cacert, file string) error {
	if o.format == "" {
		o.format = formatFor(file)
	}
	if o.format != "pkcs12" && (o.key || o.password != "") {
		return usage("--key and --password: only PKCS #12 has them; want a FILE.p12, or --format pkcs12")
	}
	password, err := mitm.ReadSecret(o.password)
	if err == nil && o.key && password == "" {
		err = errors.New("--key wants one")
	}
	if err != nil {
		return usage("--password: %w", err)
	}
	authority, err := openAuthority(cacert)
	if err != nil {
		return err
	}
	content, err := o.encode(authority, password)
	if err == nil {
		err = o.write(s, file, content)
	}
	return failed(errors.Join(err, authority.Close()))
}

func formatFor(file string) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".cer", ".der":
		return "der"
	case ".p12", ".pfx":
		return "pkcs12"
	}
	return "pem"
}

func (o exportOptions) encode(authority *ca.Authority, password string) ([]byte, error) {
	switch {
	case o.format == "der":
		return authority.ExportDER(), nil
	case o.format == "pem":
		return authority.ExportPEM(), nil
	case o.key:
		return authority.ExportWithKey(password)
	case password == "":
		password = javaPassword
	}
	return authority.ExportPKCS12(password)
}

// write writes to the file, or to stdout when there is none. A key is its owner's only,
// also in a file that was there before.
func (o exportOptions) write(s streams, file string, content []byte) error {
	if file == "" {
		_, err := s.out.Write(content)
		return err
	}
	if !o.key {
		return os.WriteFile(file, content, 0o644)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err = f.Chmod(0o600); err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.Write(content)
	}
	return errors.Join(err, f.Close())
}
