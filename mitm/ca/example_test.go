package ca_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/bridgeio/bridgeio/mitm/ca"
)

// A server's certificate is judged and mirrored: the leaf has the server's names, and the client's trust in the
// authority decides.
func Example() {
	dir, err := os.MkdirTemp("", "ca")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	authority, err := ca.Open(filepath.Join(dir, "bridgeio"))
	if err != nil {
		log.Fatal(err)
	}
	defer authority.Close()

	origin := httptest.NewTLSServer(nil)
	defer origin.Close()
	roots := x509.NewCertPool()
	roots.AddCert(origin.Certificate())
	chain := []*x509.Certificate{origin.Certificate()}

	judgment := ca.NewVerifier(roots).Verify(chain, nil, "example.com")
	leaf, err := authority.Mint(context.Background(), chain[0], judgment)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(judgment.Verdict, leaf.Leaf.DNSNames, leaf.Leaf.IPAddresses)

	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(authority.ExportPEM())
	_, err = leaf.Leaf.Verify(x509.VerifyOptions{Roots: trust, DNSName: "example.com"})
	fmt.Println(err)
	// Output:
	// ok [example.com *.example.com] [127.0.0.1 ::1]
	// <nil>
}
