package certpage

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience bounds what must never last; it is no measure of anything.
const patience = 30 * time.Second

// serve serves a page until stop is called, which returns what Serve did.
func serve(t *testing.T, handler http.Handler) (addr string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, handler) }()
	return listener.Addr().String(), func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			t.Fatal("Serve does not end")
			return nil
		}
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestServeEndsWithItsContext(t *testing.T) {
	addr, stop := serve(t, Handler(newCertificate(t, "a CA")))
	response, err := http.Get("http://" + addr + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || !strings.HasPrefix(string(text), "-----BEGIN CERTIFICATE-----\n") {
		t.Errorf("got %q, %v", text, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the listener is open")
	}
}

func TestAHEADHasNoBody(t *testing.T) {
	addr, stop := serve(t, Handler(newCertificate(t, "a CA")))
	c := dial(t, addr)
	fmt.Fprintf(c, "HEAD /ca.cer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(answer), "\r\n\r\n") {
		t.Errorf("got %q, %v", answer, err)
	}
	if !strings.Contains(string(answer), "\r\nContent-Length: ") {
		t.Errorf("no Content-Length in %q", answer)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestAHeadThatIsTooLongIsRefused(t *testing.T) {
	addr, stop := serve(t, Handler(newCertificate(t, "a CA")))
	c := dial(t, addr)
	go fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*maxHeader))
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", response.StatusCode)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// Silent clients take the connections that there are, and not more; when the server ends, so do they.
func TestNoMoreThanSoManyAreServedAtOnce(t *testing.T) {
	busy := make(chan struct{}, 2*maxConns)
	release := make(chan struct{})
	addr, stop := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		busy <- struct{}{}
		<-release
	}))
	for range maxConns + 1 {
		fmt.Fprintf(dial(t, addr), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	for range maxConns {
		select {
		case <-busy:
		case <-time.After(patience):
			t.Fatal("fewer are served")
		}
	}
	select {
	case <-busy:
		t.Errorf("more than %d are served", maxConns)
	default:
	}
	release <- struct{}{} // one goes, and the last one's turn comes
	select {
	case <-busy:
	case <-time.After(patience):
		t.Error("the last one is not served")
	}
	close(release)
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeTellsOfAListenerThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := Serve(t.Context(), listener, Handler(newCertificate(t, "a CA"))); err == nil {
		t.Error("no error of a listener that is closed")
	}
}
