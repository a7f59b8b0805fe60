package certpage_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/certpage"
)

// A client fetches the certificate of a new authority.
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- certpage.Serve(ctx, listener, certpage.Handler(authority.Certificate())) }()

	response, err := http.Get("http://" + listener.Addr().String() + "/ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	line, _, err := bufio.NewReader(response.Body).ReadLine()
	fmt.Println(response.StatusCode, string(line), err)
	http.DefaultClient.CloseIdleConnections()

	stop()
	fmt.Println(<-done)
	// Output:
	// 200 -----BEGIN CERTIFICATE----- <nil>
	// <nil>
}
