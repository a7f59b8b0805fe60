package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// Names of contenders that bridge TLS, beside those of every workload.
const (
	nameIgnoring  = "mitm --verify ignore"
	nameNoReuse   = "HAProxy, no-ssl-reuse"
	nameSSLsplit  = "sslsplit"
	nameMitmproxy = "mitmproxy"

	nameSSLsplitP256  = "sslsplit, P-256"
	nameMitmproxyP256 = "mitmproxy, P-256"
)

// haproxyTLS and nginxTLS end the client's TLS and begin another with the server,
// whose certificate they do not verify.
func haproxyTLS(name, more string) contender {
	return contender{name: name, start: onPort(func(l *lab, port int, origin string) (peers.Program, error) {
		return peers.HAProxy(peers.HAProxyConfig{
			Listen: port, Server: origin, Send: "ssl verify none " + more, Leaf: &l.certs.edge, Flows: mostFlows + 100, Silent: true,
		}), nil
	})}
}

func nginxTLS() contender {
	return contender{name: nameNginx, start: onPort(func(l *lab, port int, origin string) (peers.Program, error) {
		return peers.NginxStream(peers.NginxStreamConfig{Listen: port, Server: origin, Leaf: &l.certs.edge, Encrypt: true, Flows: mostFlows + 100})
	})}
}

// sslsplit signs with mitm's authority, and gives its certificates one RSA key that it
// makes when it starts, unless it is given one. It verifies no server.
func sslsplit(name string, args ...string) contender {
	return contender{name: name, itsOwn: true, start: onPort(func(l *lab, port int, origin string) (peers.Program, error) {
		cert, key, err := l.authority()
		if err != nil {
			return peers.Program{}, err
		}
		host, to, err := net.SplitHostPort(origin)
		args = append([]string{"-c", peers.Here + "/ca.pem", "-k", peers.Here + "/ca.key"}, args...)
		return peers.Program{
			Name:  "sslsplit",
			Args:  append(args, "ssl", "127.0.0.1", fmt.Sprint(port), host, to),
			Ports: []int{port},
			Files: map[string]string{"ca.pem": cert, "ca.key": key, "leaf.key": l.certs.edge.Key},
		}, err
	})}
}

// mitmproxy makes an authority with an RSA key that its certificates have, too, unless
// it is given one. What is inside does not look like HTTP, so it relays it as it is.
func mitmproxy(name string, p256 bool) contender {
	return contender{name: name, itsOwn: true, start: onPort(func(l *lab, port int, origin string) (peers.Program, error) {
		p := peers.Program{
			Name: "mitmdump",
			Args: []string{
				"--quiet", "--set", "confdir=" + peers.Here, "--listen-host", "127.0.0.1", "--listen-port", fmt.Sprint(port),
				"--mode", "reverse:https://" + origin, "--ssl-insecure",
			},
			Ports: []int{port},
		}
		if !p256 {
			return p, nil
		}
		cert, key, err := l.authority()
		p.Files = map[string]string{"mitmproxy-ca.pem": key + cert}
		return p, err
	})}
}

// authority returns the certificate and the key of mitm's authority, in PEM.
func (l *lab) authority() (cert, key string, err error) {
	dir := filepath.Join(l.dir, "config", "bridgeio")
	c, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return "", "", err
	}
	k, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	return string(c), string(k), err
}
