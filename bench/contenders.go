package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A contender is one way to be the proxy.
type contender struct {
	name string

	// start starts it in front of the origin.
	start func(ctx context.Context, l *lab, origin string) (*running, error)
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
	return contender{name, announced(func(l *lab, origin string) peers.Program {
		p := peers.Mitm(l.mitm, append(flags(l, origin), "--max-flows", fmt.Sprint(mostFlows+100))...)
		p.Env = append(p.Env, l.home()...)
		return p
	})}
}

// automatic is the chain that takes whatever comes, in front of one server.
func automatic() contender {
	return ours(nameMitm, func(l *lab, origin string) []string {
		return []string{"--listen", "127.0.0.1:0", "--connect", origin, "--trust", l.roots()}
	})
}

// role is a proxy in Go that this program plays itself.
func role(name, part string) contender {
	return contender{name, announced(func(l *lab, origin string) peers.Program {
		return peers.Program{
			Name:  l.self,
			Env:   []string{roleVariable + "=" + part, serverVariable + "=" + origin},
			Files: map[string]string{"cert.pem": l.certs.edge.Cert, "key.pem": l.certs.edge.Key},
			Ready: func(stderr string) bool { return len(peers.Listeners(stderr)) > 0 },
		}
	})}
}

func haproxy(name string, config peers.HAProxyConfig) contender {
	return contender{name, onPort(func(_ *lab, port int, origin string) (peers.Program, error) {
		c := config
		c.Listen, c.Server, c.Silent = port, origin, true
		return peers.HAProxy(c), nil
	})}
}

func nginx() contender {
	return contender{nameNginx, onPort(func(_ *lab, port int, origin string) (peers.Program, error) {
		return peers.NginxStream(peers.NginxStreamConfig{Listen: port, Server: origin, Flows: mostFlows + 100})
	})}
}

// haproxyTLS and nginxTLS end the client's TLS and begin another with the server,
// whose certificate they do not verify.
func haproxyTLS() contender {
	return contender{nameHAProxy, onPort(func(l *lab, port int, origin string) (peers.Program, error) {
		return peers.HAProxy(peers.HAProxyConfig{Listen: port, Server: origin, Send: "ssl verify none", Leaf: &l.certs.edge, Silent: true}), nil
	})}
}

func nginxTLS() contender {
	return contender{nameNginx, onPort(func(l *lab, port int, origin string) (peers.Program, error) {
		return peers.NginxStream(peers.NginxStreamConfig{Listen: port, Server: origin, Leaf: &l.certs.edge, Encrypt: true})
	})}
}

func microsocks() contender {
	return contender{nameMicrosocks, onPort(func(_ *lab, port int, _ string) (peers.Program, error) {
		return peers.Microsocks(port, "", ""), nil
	})}
}

func tinyproxy() contender {
	return contender{nameTinyproxy, onPort(func(_ *lab, port int, _ string) (peers.Program, error) {
		return peers.Tinyproxy(port), nil
	})}
}

// certificates are those of the origin, and of the proxies that are given one.
type certificates struct {
	originRoot string // PEM
	origin     tls.Certificate
	edge       peers.Leaf
}

func newCertificates() (certificates, error) {
	root, err := peers.NewAuthority()
	if err != nil {
		return certificates{}, err
	}
	leaf, err := root.Leaf(serverName)
	if err != nil {
		return certificates{}, err
	}
	pair, err := tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
	if err != nil {
		return certificates{}, err
	}
	other, err := peers.NewAuthority()
	if err != nil {
		return certificates{}, err
	}
	edge, err := other.Leaf(serverName)
	return certificates{root.PEM, pair, edge}, err
}

const serverName = "localhost"

// The key exchange is one that all of the programs have, so that they do the same work.
var onlyX25519 = []tls.CurveID{tls.X25519}

func (c certificates) originConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.origin}, CurvePreferences: onlyX25519}
}

// clientConfig is that of a client that resumes nothing. It takes any certificate but
// the origin's own: with that one, nobody has bridged anything.
func (c certificates) clientConfig() *tls.Config {
	return &tls.Config{
		ServerName:         serverName,
		InsecureSkipVerify: true,
		CurvePreferences:   onlyX25519,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.PeerCertificates[0].Equal(c.origin.Leaf) {
				return errors.New("the origin's own certificate came through")
			}
			return nil
		},
	}
}
