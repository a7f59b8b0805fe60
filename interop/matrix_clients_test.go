package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A visit is what a client of the matrix is asked for: the page of a server.
type visit struct {
	at     string   // where the client connects to: host:port
	target string   // the server, for a client that asks a proxy for it; "" when at is the server
	path   string   // direct, socks5 or connect: the proxy that at is
	name   string   // the server's
	alpn   []string // what to offer, where the client has the choice
	root   string   // file with the certificate to trust
	http2  bool     // what is spoken, by clients that only do TLS
}

// A tlsClient makes one visit and returns the page.
type tlsClient interface {
	visit(ctx context.Context, v visit) (page string, err error)
	// knows reports whether the client speaks to such a proxy by itself. Otherwise the
	// recorder does in front of it.
	knows(path string) bool
}

// url is the page's, as the client has to write it.
func (v visit) url() string {
	at := v.at
	if v.target != "" {
		at = v.target
	}
	_, port, _ := strings.Cut(at, ":")
	return "https://" + v.name + ":" + port + peers.PagePath
}

type curlClient struct{}

func (curlClient) knows(string) bool { return true }

func (curlClient) visit(ctx context.Context, v visit) (string, error) {
	args := curlArgs("--cacert", v.root, "--http1.1")
	switch {
	case len(v.alpn) == 0:
		args = append(args, "--no-alpn")
	case v.alpn[0] == "h2":
		args = append(args, "--http2")
	}
	switch v.path {
	case "socks5":
		args = append(args, "-x", "socks5h://"+v.at)
	case "connect":
		args = append(args, "-x", "http://"+v.at)
	}
	return clientOutput(ctx, "curl", append(args, v.url())...)
}

type wgetClient struct{}

func (wgetClient) knows(path string) bool { return path == "connect" }

func (wgetClient) visit(ctx context.Context, v visit) (string, error) {
	args := []string{"--no-config", "--no-hsts", "--tries=1", "--timeout=30", "-qO-", "--ca-certificate", v.root}
	if v.target != "" {
		args = append(args, "-e", "use_proxy=yes", "-e", "https_proxy=http://"+v.at, "-e", "no_proxy=")
	}
	return clientOutput(ctx, "wget", append(args, v.url())...)
}

// clientOutput runs a client that must exit with 0.
func clientOutput(ctx context.Context, name string, args ...string) (string, error) {
	res, err := peers.Run(ctx, nil, name, args...)
	if err != nil {
		return "", err
	}
	if res.Code != 0 {
		return "", fmt.Errorf("%s: exit code %d: %s", name, res.Code, strings.TrimSpace(res.Stderr))
	}
	return res.Stdout, nil
}

// opensslClient is s_client with the arguments of a variant.
type opensslClient struct{ args []string }

func (opensslClient) knows(path string) bool { return path == "connect" }

func (c opensslClient) visit(ctx context.Context, v visit) (string, error) {
	// -quiet and -nocommands make stdin and stdout the connection's bytes and nothing else.
	args := append([]string{
		"s_client", "-quiet", "-no_ign_eof", "-nocommands", "-CAfile", v.root,
		"-verify_hostname", v.name, "-verify_return_error",
	}, c.args...)
	if v.target != "" {
		args = append(args, "-proxy", v.at, "-connect", v.target)
	} else {
		args = append(args, "-connect", v.at)
	}
	if !strings.Contains(strings.Join(args, " "), "-noservername") {
		args = append(args, "-servername", v.name)
	}
	if len(v.alpn) > 0 {
		args = append(args, "-alpn", strings.Join(v.alpn, ","))
	}
	return pipePage(ctx, v, "openssl", args...)
}

type gnutlsClient struct{}

func (gnutlsClient) knows(string) bool { return false }

func (gnutlsClient) visit(ctx context.Context, v visit) (string, error) {
	host, port, _ := strings.Cut(v.at, ":")
	// What it has to say of the handshake would be in between the bytes.
	args := []string{"--logfile", os.DevNull, "--x509cafile", v.root, "--sni-hostname", v.name, "--verify-hostname", v.name, "--port", port}
	for _, proto := range v.alpn {
		args = append(args, "--alpn", proto)
	}
	return pipePage(ctx, v, "gnutls-cli", append(args, host)...)
}

func pipePage(ctx context.Context, v visit, name string, args ...string) (string, error) {
	p, err := peers.StartPipe(ctx, name, args...)
	if err != nil {
		return "", err
	}
	page, err := getPage(p, v)
	return page, errors.Join(err, p.Close())
}

// tunnelClient is a TLS stack that runs once for all its visits.
type tunnelClient struct{ peers.Tunnel }

func (tunnelClient) knows(string) bool { return false }

func (c tunnelClient) visit(ctx context.Context, v visit) (string, error) {
	conn, err := c.Dial(ctx, peers.TLSTarget{Addr: v.at, Name: v.name, ALPN: v.alpn, Root: v.root})
	if err != nil {
		return "", err
	}
	return connPage(ctx, v, conn)
}

// goClient is crypto/tls.
type goClient struct{}

func (goClient) knows(string) bool { return false }

func (goClient) visit(ctx context.Context, v visit) (string, error) {
	text, err := os.ReadFile(v.root)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: v.name, NextProtos: v.alpn}}
	conn, err := dialer.DialContext(ctx, "tcp", v.at)
	if err != nil {
		return "", err
	}
	return connPage(ctx, v, conn)
}

func connPage(ctx context.Context, v visit, conn net.Conn) (string, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	return getPage(conn, v)
}

// getPage speaks HTTP with a server until it has the page.
func getPage(rw io.ReadWriter, v visit) (string, error) {
	if v.http2 {
		return getPage2(rw, v.name)
	}
	if _, err := fmt.Fprintf(rw, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", peers.PagePath, v.name); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(rw), nil)
	if err != nil {
		return "", fmt.Errorf("read response: %w", err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	return string(page), err
}

// getPage2 sends one request of HTTP/2 (RFC 9113 §3.4, §6) and reads its stream 1.
func getPage2(rw io.ReadWriter, name string) (string, error) {
	var out, fields bytes.Buffer
	out.WriteString(http2.ClientPreface)
	enc := hpack.NewEncoder(&fields)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", name}, {":path", peers.PagePath}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return "", err
		}
	}
	framer := http2.NewFramer(&out, rw)
	if err := errors.Join(framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: fields.Bytes(), EndStream: true, EndHeaders: true,
	})); err != nil {
		return "", err
	}
	if _, err := rw.Write(out.Bytes()); err != nil {
		return "", err
	}
	return readStream(framer)
}

// readStream collects DATA until the stream's end. The page fits in the first window,
// so nothing needs an answer.
func readStream(framer *http2.Framer) (string, error) {
	var page strings.Builder
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "", fmt.Errorf("read frame: %w", err)
		}
		switch f := frame.(type) {
		case *http2.DataFrame:
			page.Write(f.Data())
			if f.StreamEnded() {
				return page.String(), nil
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "", fmt.Errorf("the server sends %v", f)
		}
	}
}

// firefoxClient sends the hello that a Firefox once sent. Its keys are gone, so that is
// all: it returns no page, and ends the handshake when the server's hello is there.
type firefoxClient struct{ hello []byte }

// errReplayed is how such a visit ends well.
var errReplayed = errors.New("the hello was answered")

func newFirefoxClient(t *testing.T) firefoxClient {
	t.Helper()
	hello, err := os.ReadFile(filepath.Join("..", "testdata", "hellos", "firefox.0.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return firefoxClient{hello}
}

func (firefoxClient) knows(string) bool { return false }

func (c firefoxClient) visit(ctx context.Context, v visit) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", v.at)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	if _, err := conn.Write(c.hello); err != nil {
		return "", err
	}
	var answer []byte
	for buf := make([]byte, 16<<10); ; {
		n, err := conn.Read(buf)
		answer = append(answer, buf[:n]...)
		if got, bad := readAgreement(answer); bad == nil && (got.version != tls.VersionTLS12 || got.group != 0) {
			// user_canceled (RFC 8446 §6.1) says that it is nobody's fault.
			_, err := conn.Write([]byte("\x15\x03\x03\x00\x02\x02\x5a"))
			return "", errors.Join(errReplayed, err)
		}
		if err != nil {
			return "", fmt.Errorf("read ServerHello in %x: %w", answer, err)
		}
	}
}
