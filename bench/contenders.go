package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A contender is one way to be the proxy.
type contender struct {
	name string

	// start starts it in front of the origin.
	start func(ctx context.Context, l *lab, origin string) (*running, error)

	// itsOwn says that its TLS is what it chooses by itself, not what all agree on so
	// that they do the same work.
	itsOwn bool

	// load is its own, where the workload's does not fit; nil otherwise.
	load load
}

// running is a contender that has been started.
type running struct {
	process *peers.Process
	addr    string
	release func() // of its port
}

func (r *running) stop() {
	r.process.Stop()
	r.release()
}

// onPort is for programs that have to be told their port.
func onPort(program func(l *lab, port int, origin string) (peers.Program, error)) func(context.Context, *lab, string) (*running, error) {
	return func(ctx context.Context, l *lab, origin string) (*running, error) {
		port, release, err := peers.ReservePort()
		if err != nil {
			return nil, err
		}
		p, err := program(l, port, origin)
		if err != nil {
			release()
			return nil, err
		}
		process, err := peers.Start(ctx, p)
		if err != nil {
			release()
			return nil, err
		}
		return &running{process, fmt.Sprintf("127.0.0.1:%d", port), release}, nil
	}
}

// announced is for programs that say on stderr where they listen.
func announced(program func(l *lab, origin string) peers.Program) func(context.Context, *lab, string) (*running, error) {
	return func(ctx context.Context, l *lab, origin string) (*running, error) {
		process, err := peers.Start(ctx, program(l, origin))
		if err != nil {
			return nil, err
		}
		addrs := peers.Listeners(process.Stderr())
		if len(addrs) == 0 {
			process.Stop()
			return nil, errors.New("it did not say where it listens")
		}
		return &running{process, addrs[0], func() {}}, nil
	}
}

// Names of contenders, which aims refer to.
const (
	nameMitm       = "mitm"
	nameAutomatic  = "mitm --listen"
	nameLibrary    = "bridge library"
	namePlain      = "plain Go"
	nameHAProxy    = "HAProxy"
	nameSplicing   = "HAProxy, splicing"
	nameNginx      = "nginx"
	nameMicrosocks = "microsocks"
	nameTinyproxy  = "tinyproxy"
)

// ours is our own command with the front that flags ask for. It does not take as many
// flows at once by default.
func ours(name string, flags func(l *lab, origin string) []string) contender {
	return contender{name: name, start: announced(func(l *lab, origin string) peers.Program {
		p := peers.Mitm(l.mitm, append(flags(l, origin), "--max-flows", fmt.Sprint(mostFlows+100))...)
		p.Env = append(p.Env, l.home()...)
		return p
	})}
}

// automatic is the chain that takes whatever comes, in front of one server.
func automatic() contender { return automaticWith(nameMitm) }

func automaticWith(name string, flags ...string) contender {
	return ours(name, func(l *lab, origin string) []string {
		return append([]string{"--listen", "127.0.0.1:0", "--connect", origin, "--trust", l.roots()}, flags...)
	})
}

// role is a proxy in Go that this program plays itself.
func role(name, part string) contender {
	return contender{name: name, start: announced(func(l *lab, origin string) peers.Program { return l.role(part, origin) })}
}

func (l *lab) role(part, origin string) peers.Program {
	return peers.Program{
		Name:  l.self,
		Env:   []string{roleVariable + "=" + part, serverVariable + "=" + origin},
		Files: map[string]string{"cert.pem": l.certs.edge.Cert, "key.pem": l.certs.edge.Key},
		Ready: func(stderr string) bool { return len(peers.Listeners(stderr)) > 0 },
	}
}

func haproxy(name string, config peers.HAProxyConfig) contender {
	return contender{name: name, start: onPort(func(_ *lab, port int, origin string) (peers.Program, error) {
		c := config
		c.Listen, c.Server, c.Silent = port, origin, true
		return peers.HAProxy(c), nil
	})}
}

func nginx() contender {
	return contender{name: nameNginx, start: onPort(func(_ *lab, port int, origin string) (peers.Program, error) {
		return peers.NginxStream(peers.NginxStreamConfig{Listen: port, Server: origin, Flows: mostFlows + 100})
	})}
}

func microsocks() contender {
	return contender{name: nameMicrosocks, start: onPort(func(_ *lab, port int, _ string) (peers.Program, error) {
		return peers.Microsocks(port, "", ""), nil
	})}
}

func tinyproxy() contender {
	return contender{name: nameTinyproxy, start: onPort(func(_ *lab, port int, _ string) (peers.Program, error) {
		return peers.Tinyproxy(port), nil
	})}
}
