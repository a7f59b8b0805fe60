package starttls_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// answers is a server that a program speaks with: it says something when it has heard something.
type answers []struct{ hears, says string }

// TestOpenSSLAsksForTLS has a client ask for TLS that was not written with these layers. The servers are scripted.
func TestOpenSSLAsksForTLS(t *testing.T) {
	const esmtp = "250-a\r\n250 STARTTLS\r\n"
	server, ours := newAuthority(t), newAuthority(t)
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, []byte(ours.pem), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		layer   bridge.Layer
		answers answers
		path    string
	}{
		{"smtp", starttls.SMTP(), answers{{"", "220-a ESMTP\r\n220 b\r\n"}, {"EHLO ", esmtp}, {"STARTTLS\r\n", "220 go\r\n"}}, "smtp>tls"},
		{"smtp", starttls.Reply220(), answers{{"", "220 hello\r\n"}, {"EHLO ", esmtp}, {"STARTTLS\r\n", "220 go\r\n"}}, "smtp>tls"},
		{"lmtp", starttls.SMTP(), answers{{"", "220 a LMTP\r\n"}, {"LHLO ", esmtp}, {"STARTTLS\r\n", "220 go\r\n"}}, "lmtp>tls"},
		{"ftp", starttls.FTP(), answers{{"", "220-a\r\n b\r\n220 c\r\n"}, {"AUTH TLS\r\n", "234 go\r\n"}}, "ftp>tls"},
		{"ftp", starttls.Reply220(), answers{{"", "220 hello\r\n"}, {"AUTH TLS\r\n", "234 go\r\n"}}, "ftp>tls"},
		{
			"imap", starttls.IMAP(),
			answers{{"", "* OK hello\r\n"}, {"CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 STARTTLS\r\n. OK\r\n"}, {"STARTTLS\r\n", ". OK go\r\n"}},
			"imap>tls",
		},
		{"pop3", starttls.POP3(), answers{{"", "+OK hello\r\n"}, {"STLS\r\n", "+OK go\r\n"}}, "pop3>tls"},
		{
			"nntp", starttls.NNTP(),
			answers{{"", "200 hello\r\n"}, {"CAPABILITIES\r\n", "101 list\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n"}, {"STARTTLS\r\n", "382 go\r\n"}},
			"nntp>tls",
		},
		{
			"sieve", starttls.ManageSieve(),
			answers{{"", "\"IMPLEMENTATION\" \"a\"\r\n\"STARTTLS\"\r\nOK \"hello\"\r\n"}, {"STARTTLS\r\n", "OK \"go\"\r\n"}},
			"sieve>tls",
		},
		{"xmpp", starttls.XMPP(), answers{{"version='1.0'>", serverStream + features}, {"/>", proceedTLS}}, "xmpp>tls"},
		{"xmpp-server", starttls.XMPP(), answers{{"version='1.0'>", serverStream + features}, {"/>", proceedTLS}}, "xmpp>tls"},
		{"ldap", starttls.LDAP(), answers{{"1.3.6.1.4.1.1466.20037", startedTLS}}, "ldap>tls"},
		{"postgres", starttls.PostgreSQL(), answers{{sslRequest, "S"}}, "postgres>tls"},
		{"mysql", starttls.MySQL(), answers{{"", mysqlGreeting("\xff\xff")}, {strings.Repeat("\x00", 23), ""}}, "mysql>tls"},
		{"irc", starttls.IRC(), answers{{"STARTTLS\r\n", ":a 670 * :go\r\n"}}, "irc>tls"},
	} {
		t.Run(tt.name+" and "+tt.path, func(t *testing.T) {
			Baseline(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serverSide, dialled := TCPPair(t)
			flow := make(chan *bridge.Flow, 1)
			proxy := &bridge.Proxy{
				Handler:  bridge.Chain(tt.layer, tlsbridge.Relay(tlsbridge.Config{Minter: ours})),
				Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25}),
				Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
				Observer: &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) { flow <- f }},
			}
			go proxy.Serve(t.Context(), l)
			served := make(chan error, 1)
			go func() { served <- tt.answers.serve(serverSide, server) }()

			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, "openssl", "s_client", "-connect", l.Addr().String(), "-starttls", tt.name,
				"-servername", "server.test", "-verify_hostname", "server.test", "-CAfile", root, "-verify_return_error", "-ign_eof").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "Verification: OK") || !strings.Contains(string(out), "pong") {
				t.Errorf("openssl: %v\n%s", err, out)
			}
			if err := <-served; err != nil {
				t.Errorf("the server: %v", err)
			}
			proxy.Shutdown(ctx)
			if got := (<-flow).Path(); got != tt.path {
				t.Errorf("path %s, want %s", got, tt.path)
			}
		})
	}
}

// serve says what there is to say, and then a word in TLS.
func (a answers) serve(conn *net.TCPConn, as authority) error {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	for _, next := range a {
		for heard := ""; !strings.Contains(heard, next.hears); {
			buf := make([]byte, 1) // no more than that: the hello comes behind
			if _, err := io.ReadFull(conn, buf); err != nil {
				return fmt.Errorf("heard %q, want %q: %w", heard, next.hears, err)
			}
			heard += string(buf)
		}
		if _, err := io.WriteString(conn, next.says); err != nil {
			return err
		}
	}
	c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*as.leaf}})
	if err := c.Handshake(); err != nil {
		return err
	}
	io.WriteString(c, "pong\n")
	return c.Close()
}
