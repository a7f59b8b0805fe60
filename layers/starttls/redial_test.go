package starttls_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// again is what a conversation that is had again comes to.
type again struct {
	name   string
	layer  bridge.Layer
	first  []write
	second []write // nil: the same
	ok     bool
	dials  int
}

func TestRedialHasTheConversationAgain(t *testing.T) {
	var tests []again
	for _, u := range upgrades() {
		if u.name == "IRC" || u.name == "Generic" {
			tests = append(tests, again{u.name + ", which can't", u.layer, u.script, nil, false, 1})
		} else {
			tests = append(tests, again{u.name, u.layer, u.script, nil, true, 2})
		}
	}
	const greeting, ehlo, offer, verb, granted = "220 a\r\n", "EHLO b\r\n", "250 STARTTLS\r\n", "STARTTLS\r\n", "220 go\r\n"
	smtp := []write{s(greeting), c(ehlo), s(offer), c(verb), s(granted)}
	tests = append(tests,
		again{
			"a refusal before", starttls.SMTP(),
			[]write{s(greeting), c(verb), s("454 no\r\n"), c("NOOP\r\n"), s("250\r\n"), c(verb), s(granted)},
			nil, true, 2,
		},
		again{
			"other words", starttls.SMTP(), smtp,
			[]write{s("220 A\r\n"), c(ehlo), s("251 starttls\r\n"), c(verb), s("220 gone\r\n")},
			true, 2,
		},
		again{
			"a refusal now", starttls.SMTP(), smtp,
			[]write{s(greeting), c(ehlo), s(offer), c(verb), s("454 no\r\n")},
			false, 2,
		},
		again{"nobody is wanted now", starttls.SMTP(), smtp, []write{s("554 no\r\n")}, false, 2},
		again{"a greeting of more lines", starttls.SMTP(), smtp, []write{s("220-a\r\n220 b\r\n")}, false, 2},
		again{
			"more than greetings and the verb", starttls.SMTP(),
			[]write{s(greeting), c("HELP\r\n"), s("214 no\r\n"), c(verb), s(granted)},
			nil, false, 1,
		},
		again{
			"something that nobody asked for", starttls.IMAP(),
			[]write{s("* OK\r\n"), s("* OK still\r\n"), c("a STARTTLS\r\n"), s("a OK\r\n")},
			nil, false, 1,
		},
		again{
			"a search", starttls.LDAP(),
			[]write{c(searchRoot), s(searchDone), c(startTLS), s(startedTLS)},
			nil, false, 1,
		},
		again{
			"a server without TLS now", starttls.MySQL(),
			[]write{s(mysqlGreeting("\xff\xff")), c(mysqlSSL)},
			[]write{s(mysqlGreeting("\xff\xf7"))},
			false, 2,
		},
		again{
			"another encryption", starttls.TDS(),
			[]write{c(prelogin(clientPrelogin, encryptOn)), s(prelogin(serverPrelogin, encryptOn))},
			[]write{c(prelogin(clientPrelogin, encryptOn)), s(prelogin(serverPrelogin, encryptOff))},
			false, 2,
		},
	)
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func (a again) run(t *testing.T) {
	Baseline(t)
	hello := sample(t)
	servers := [][]write{a.first, a.second}
	if a.second == nil {
		servers[1] = a.first
	}
	dials := 0
	proxy := &bridge.Proxy{Hop: bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25})}
	proxy.Dial = func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
		theirs, ours := Pipe(1 << 16)
		u := bridged{script: servers[dials]}
		dials++
		go func() {
			defer theirs.Close()
			if u.play(theirs, bridge.Server) == nil {
				u.script = []write{c(hello)}
				u.play(theirs, bridge.Server)
				io.WriteString(theirs, words[bridge.Server])
				theirs.CloseWrite()
			}
			io.Copy(io.Discard, theirs)
		}()
		return ours, nil
	}
	var redial error
	proxy.Handler = bridge.Chain(a.layer, bridge.Layer{
		Name: "redial",
		Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if redial = b.Redial(ctx); redial != nil {
				return nil
			}
			return next(ctx, b)
		},
	})
	client, ours := Pipe(1 << 16)
	defer client.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		proxy.ServeConn(t.Context(), ours)
	}()
	if err := (bridged{script: a.first}).play(client, bridge.Client); err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, hello)
	client.CloseWrite()
	rest, _ := io.ReadAll(client)
	<-done
	want := ""
	if a.ok {
		want = words[bridge.Server]
	}
	if string(rest) != want || (redial == nil) != a.ok || dials != a.dials {
		t.Errorf("%q after %d dials, Redial: %v; want %q after %d", rest, dials, redial, want, a.dials)
	}
}
