package truststore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/truststore"
)

// A dry run prints the commands that would put a new authority into Chromium's database.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	authority, err := ca.Open(filepath.Join(dir, "ca"))
	if err != nil {
		log.Fatal(err)
	}
	defer authority.Close()

	var printed strings.Builder
	install := truststore.Install{Certificate: authority.Certificate(), Stores: truststore.NSS, DryRun: true, Home: dir, Out: &printed}
	if err := install.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(printed.String()) {
		fmt.Println(strings.Fields(strings.ReplaceAll(line, dir, "~"))[:4])
	}
	// Output:
	// [mkdir -p -m 700]
	// [certutil -d sql:~/.pki/nssdb -N]
	// [certutil -d sql:~/.pki/nssdb -A]
}
