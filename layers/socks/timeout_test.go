package socks_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// TestTerminateWaitsForAClient holds how long which message may take, and what the client is told then.
func TestTerminateWaitsForAClient(t *testing.T) {
	tests := []struct {
		name   string
		config socks.Config
		says   string
		hears  string
		after  time.Duration
	}{
		{"the first byte", socks.Config{}, "", "", 60 * time.Second},
		{"the rest of the greeting", socks.Config{}, "\x05\x01", "\x05\xff", 10 * time.Second},
		{"user and password", socks.Config{Auth: onlyAlice}, helloAll + alice[:4], userPass + "\x01\x01", 10 * time.Second},
		{"the request", socks.Config{}, hello, noAuth + refusal(socks.RepGeneralFailure), 10 * time.Second},
		{"the rest of the request", socks.Config{}, hello + connect[:9], noAuth + refusal(socks.RepGeneralFailure), 10 * time.Second},
		{"the rest of a SOCKS4 request", socks.Config{}, connect4[:9], rejected4, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, ours := bridgetest.Pipe(1 << 10)
				io.WriteString(client, tt.says)
				heard := make(chan string)
				began := time.Now()
				var after time.Duration
				go func() {
					got, _ := io.ReadAll(client)
					after = time.Since(began)
					client.Close()
					heard <- string(got)
				}()
				p := &bridge.Proxy{Handler: bridge.Chain(socks.Terminate(tt.config))}
				out := p.ServeConn(t.Context(), ours)
				if got := <-heard; got != tt.hears || after != tt.after {
					t.Errorf("the client heard %q after %s, want %q after %s", got, after, tt.hears, tt.after)
				}
				if out.Reason != bridge.Timeout {
					t.Errorf("outcome %s: %v, want timeout", out.Reason, out.Err)
				}
			})
		})
	}
}

// TestRelayWaitsForAServersDial holds that a server may take the time of its own dial for its reply, and no other.
func TestRelayWaitsForAServersDial(t *testing.T) {
	tests := []struct {
		name  string
		says  string // by the server, at once
		then  string // after a while:
		while time.Duration
		path  string
	}{
		{"a reply after 29 seconds", noAuth, granted, 29 * time.Second, "socks5"},
		{"a reply after 31 seconds", noAuth, granted, 31 * time.Second, "socks5>raw"},
		{"a method after 9 seconds", "", noAuth + granted, 9 * time.Second, "socks5"},
		{"a method after 11 seconds", "", noAuth + granted, 11 * time.Second, "socks5>raw"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, ours := bridgetest.Pipe(1 << 10)
				theirs, dialled := bridgetest.Pipe(1 << 10)
				io.WriteString(client, hello+connect)
				io.WriteString(theirs, tt.says)
				timer := time.AfterFunc(tt.while, func() {
					io.WriteString(theirs, tt.then)
					theirs.CloseWrite()
					client.CloseWrite()
				})
				defer timer.Stop()
				flow, out := serveTo(t, bridge.Chain(socks.Relay()), ours, dialled)
				if out.Reason != bridge.EOF || flow.Path() != tt.path {
					t.Errorf("path %s, outcome %s: %v; want %s", flow.Path(), out.Reason, out.Err, tt.path)
				}
				if got, _ := io.ReadAll(client); string(got) != tt.says+tt.then {
					t.Errorf("the client got %q, want %q", got, tt.says+tt.then)
				}
				if got, _ := io.ReadAll(theirs); string(got) != hello+connect {
					t.Errorf("the server got %q, want %q", got, hello+connect)
				}
			})
		})
	}
}
