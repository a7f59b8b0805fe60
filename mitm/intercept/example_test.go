//go:build linux

package intercept_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// A connection that no rule has redirected is meant for nobody but the listener.
func Example() {
	lc := net.ListenConfig{Control: intercept.Redirect.Control}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	to, err := intercept.Redirect.Destination(conn.(*net.TCPConn))
	if errors.Is(err, intercept.ErrDirect) {
		fmt.Println(err)
		return
	}
	fmt.Println("the client wants", to)
	// Output:
	// the connection was not redirected
}
