package httpconnect_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

// An HTTP proxy that says which flows there were.
func ExampleTerminate() {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "hello")
	}))
	defer origin.Close()

	proxy := &bridge.Proxy{
		Handler: bridge.Chain(httpconnect.Terminate(httpconnect.Config{})),
		Observer: &bridge.Observer{Close: func(f *bridge.Flow, out bridge.Outcome) {
			fmt.Println(f.Path(), f.Target().String() == origin.Listener.Addr().String(), out.Reason)
		}},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go proxy.Serve(context.Background(), l)

	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()})}
	resp, err := (&http.Client{Transport: transport}).Get(origin.URL)
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Println(resp.Status, string(body))

	transport.CloseIdleConnections()
	proxy.Shutdown(context.Background())
	// Output:
	// 200 OK hello
	// http true eof
}

// A relay before an HTTP proxy, which learns where the tunnels lead to.
func ExampleRelay() {
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(httpconnect.Relay()),
		Hop:     bridge.FixedHop(bridge.Addr{Host: "proxy.example", Port: 3128}),
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go httpProxy(theirs)
			return ours, nil
		},
		Observer: &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) {
			fmt.Println(f.Path(), f.Target(), f.Frames()[0].User)
		}},
	}
	ours, client := net.Pipe()
	done := make(chan bridge.Outcome)
	go func() { done <- proxy.ServeConn(context.Background(), ours) }()

	go io.WriteString(client, "CONNECT example.com:443 HTTP/1.1\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n")
	reply := make([]byte, len("HTTP/1.1 200 OK\r\n\r\n"))
	io.ReadFull(client, reply)
	fmt.Printf("%q\n", reply)
	client.Close()
	<-done
	// Output:
	// "HTTP/1.1 200 OK\r\n\r\n"
	// connect example.com:443 alice
}

// A bridge whose server side is reached through an HTTP proxy.
func ExampleDial() {
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(),
		Hop:     bridge.FixedHop(bridge.Addr{Host: "example.com", Port: 443}),
		Dial: httpconnect.Dial(func(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
			fmt.Println("dial", hop)
			ours, theirs := net.Pipe()
			go httpProxy(theirs)
			return ours, nil
		}, httpconnect.DialConfig{
			Proxy: bridge.Addr{Host: "proxy.example", Port: 3128},
			User:  "alice", Password: "secret",
		}),
		Observer: &bridge.Observer{Frame: func(_ *bridge.Flow, frame bridge.Frame) {
			fmt.Println(frame.Verb, frame.Proto, frame.Dst, "as", frame.User)
		}},
	}
	client, accepted := net.Pipe()
	client.Close()
	proxy.ServeConn(context.Background(), accepted)
	// Output:
	// dial proxy.example:3128
	// originate connect example.com:443 as alice
}

// httpProxy grants what it is asked for, and hangs up when the tunnel ends.
func httpProxy(c net.Conn) {
	defer c.Close()
	c.Read(make([]byte, 4096))
	io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	io.Copy(io.Discard, c)
}

func ExampleParseResponseHead() {
	h, n, err := httpconnect.ParseResponseHead([]byte("HTTP/1.1 407 Who are you\r\nContent-Length: 2\r\n\r\nno"))
	if err != nil {
		log.Fatal(err)
	}
	body, err := httpconnect.ResponseBody(h, "CONNECT")
	if err != nil {
		log.Fatal(err)
	}
	k, _ := body.Next([]byte("no, and what comes next"))
	fmt.Println(h.Status, h.Reason, n, k, body.Done())
	// Output:
	// 407 Who are you 47 2 true
}
