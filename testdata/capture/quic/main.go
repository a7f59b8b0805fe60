// Command quic is the QUIC client of golang.org/x/net, which tries for some seconds to reach the address of its argument.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"golang.org/x/net/quic"
)

func main() {
	if err := dial(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dial(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	endpoint, err := quic.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	config := &quic.Config{TLSConfig: &tls.Config{
		ServerName: "example.test", NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13,
	}}
	_, err = endpoint.Dial(ctx, "udp", address, config)
	return err
}
