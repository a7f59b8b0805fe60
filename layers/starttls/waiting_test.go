package starttls_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

func TestALineIsNotHeldBackForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, ours := Pipe(1 << 16)
		server, dialled := Pipe(1 << 16)
		proxy := &bridge.Proxy{
			Handler: bridge.Chain(starttls.SMTP()),
			Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25}),
			Dial:    func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		}
		done := make(chan bridge.Outcome, 1)
		go func() { done <- proxy.ServeConn(t.Context(), ours) }()
		for _, line := range []string{"220-wait\r\n", "220 go\r\n"} {
			begun := time.Now()
			io.WriteString(server, line)
			got := make([]byte, len(line))
			if _, err := io.ReadFull(client, got); err != nil || string(got) != line || time.Since(begun) != 0 {
				t.Errorf("%q after %v, %v; want %q at once", got, time.Since(begun), err, line)
			}
			time.Sleep(6 * time.Second)
		}
		client.Close()
		server.Close()
		<-done
	})
}

func TestWaiting(t *testing.T) {
	const greeting, ehlo, offer, verb, granted = "220 a\r\n", "EHLO b\r\n", "250 STARTTLS\r\n", "STARTTLS\r\n", "220 go\r\n"
	minute := func(w write) write {
		w.after = time.Minute
		return w
	}
	tests := []struct {
		name   string
		layer  bridge.Layer
		script []write
		path   string
		reason bridge.Reason
	}{
		{
			"a server that greets late, and a client that types slowly", starttls.SMTP(),
			[]write{minute(s(greeting)), minute(c("EHLO")), minute(c(" b\r\n")), minute(s(offer)), minute(c(verb)), minute(s(granted))},
			"smtp>inner", bridge.EOF,
		},
		{
			"a line of the server's that is not ended goes on raw", starttls.SMTP(),
			[]write{s("220 a"), later(10 * time.Second), s("\r\n"), c("STARTTLS\r\n"), s("220 go\r\n")},
			"smtp>raw", bridge.EOF,
		},
		{"nobody says anything", starttls.SMTP(), []write{later(10 * time.Minute)}, "smtp", bridge.Idle},
		{"the client says nothing", starttls.SMTP(), []write{s(greeting), later(10 * time.Minute)}, "smtp", bridge.Idle},
		{"the server does not answer", starttls.SMTP(), []write{s(greeting), c(verb), later(10 * time.Minute)}, "smtp", bridge.Idle},
		{"nobody goes on in IRC", starttls.IRC(), []write{s("NOTICE a\r\n"), later(10 * time.Minute)}, "irc", bridge.Idle},
		{
			"a line in IRC that is not ended goes on raw", starttls.IRC(),
			[]write{c("NICK"), later(10 * time.Second), c(" a\r\n"), s("670 go\r\n")},
			"irc", bridge.EOF,
		},
		{"nobody goes on in what nobody knows", starttls.Generic(), []write{s("hello"), later(10 * time.Minute)}, "raw", bridge.Idle},
		{"a packet that is not ended goes on raw", starttls.PostgreSQL(), []write{c("\x00\x00\x00"), later(10 * time.Second), s("E")}, "postgres>raw", bridge.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said [2]string
			for _, w := range tt.script {
				said[w.from] += w.words
			}
			got := say(t, tt.layer, tt.script...)
			if got.path != tt.path || got.Reason != tt.reason || got.server != said[bridge.Client] || got.client != said[bridge.Server] {
				t.Errorf("%+v; want %s, %s, and all of %q", got, tt.path, tt.reason, said)
			}
		})
	}
}
