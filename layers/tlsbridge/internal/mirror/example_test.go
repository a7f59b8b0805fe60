package mirror_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/mirror"
)

// A server is sent what curl has sent.
func ExampleHandshake() {
	wire, err := os.ReadFile("../../../../testdata/hellos/curl.bin")
	if err != nil {
		log.Fatal(err)
	}
	hello, _, err := detect.ParseClientHello(wire)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello,", r.UserAgent())
	}))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	session, result, err := mirror.Handshake(context.Background(), c, hello, mirror.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("TLS %x, ALPN %q\n", result.Version, result.ALPN)
	fmt.Println("as long as curl's:", len(result.Sent) == len(hello.Raw))
	fmt.Println("the same random:", bytes.Equal(result.Sent[6:38], hello.Random))
	fmt.Fprint(session, "GET / HTTP/1.0\r\nUser-Agent: curl\r\n\r\n")
	session.CloseWrite()
	answer, _ := io.ReadAll(session)
	fmt.Printf("%s", answer[bytes.Index(answer, []byte("\r\n\r\n"))+4:])
	// Output:
	// TLS 304, ALPN "http/1.1"
	// as long as curl's: true
	// the same random: false
	// hello, curl
}
