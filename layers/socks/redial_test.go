package socks_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// turn is what a SOCKS server must hear, and what it answers.
type turn struct{ hears, answers string }

// server answers on c as it should, and returns what it heard that it should not have.
func server(c net.Conn, turns []turn) (unexpected string) {
	for _, t := range turns {
		buf := make([]byte, len(t.hears))
		n, err := io.ReadFull(c, buf)
		if err != nil || string(buf) != t.hears {
			return string(buf[:n])
		}
		io.WriteString(c, t.answers)
	}
	return ""
}

func TestRedialSaysTheHandshakeAgain(t *testing.T) {
	good := []turn{{helloAll, userPass}, {alice, authOK}, {connect, granted}}
	with := func(i int, answer string) []turn {
		turns := append([]turn(nil), good...)
		turns[i].answers = answer
		return turns
	}
	tests := []struct {
		name   string
		second []turn
		ok     bool
	}{
		{"the same answers", good, true},
		{"another BND and reserved byte", with(2, "\x05\x00\x01\x03\x01a\x00\x50"), true},
		{"another method", with(0, noAuth), false},
		{"a method that was not offered", with(0, "\x05\x80"), false},
		{"another status", with(1, "\x01\x01"), false},
		{"another reply code", with(2, "\x05\x05"+granted[2:]), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			servers := [][]turn{append(good[:3:3], turn{}), append(tt.second, turn{"ping", "pong"})}
			dials := 0
			heard := make(chan string, len(servers))
			proxy := &bridge.Proxy{Hop: bridge.FixedHop(exampleCom)}
			proxy.Dial = func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
				theirs, ours := bridgetest.Pipe(1 << 16)
				turns := servers[dials]
				dials++
				go func() {
					defer theirs.Close()
					heard <- server(theirs, turns)
					io.Copy(io.Discard, theirs)
				}()
				return ours, nil
			}
			var redial error
			proxy.Handler = bridge.Chain(socks.Relay(), bridge.Layer{
				Name: "redial",
				Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
					if redial = b.Redial(ctx); redial != nil {
						return nil
					}
					return next(ctx, b)
				},
			})
			client, ours := bridgetest.Pipe(1 << 16)
			io.WriteString(client, helloAll+alice+connect+"ping")
			client.CloseWrite()
			proxy.ServeConn(t.Context(), ours)
			answer, _ := io.ReadAll(client)

			want := userPass + authOK + granted
			if tt.ok {
				want += "pong"
			}
			if string(answer) != want || (redial == nil) != tt.ok || dials != 2 {
				t.Errorf("the client got %q after %d dials, Redial: %v; want %q after 2", answer, dials, redial, want)
			}
			for range dials {
				if unexpected := <-heard; tt.ok && unexpected != "" {
					t.Errorf("a server heard %q", unexpected)
				}
			}
		})
	}
}
