package main

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// gatewayOptions defines the flags of a gateway in front of servers, or of clients: fields of
// a mitm.Config, too.
func gatewayOptions(f *pflag.FlagSet, c *mitm.Config) {
	f.VarPF(option{kind: "[IP,]LISTEN,DECRYPTED[,EXTERNAL]", set: func(v string) error {
		l, err := tlsListener(v)
		c.TLS = append(c.TLS, l)
		return err
	}}, "port", "p", "listen for TLS; captures show the server's port as DECRYPTED, EXTERNAL is dialled (default LISTEN, or with --transparent what the client meant; repeatable)")
	add(f, "haproxy", "[IP,]PORT", "listen for connections with a PROXY header, which says where they go (repeatable)", func(v string) error {
		addr, err := listenAddr(v)
		c.HAProxy = append(c.HAProxy, addr)
		return err
	})
	f.BoolVar(&c.Terminate, "terminate", false, "speak plainly with servers: TLS ends here")
	f.StringVar(&c.NoSNI, "nosni", "", "the server's name, `HOST`, for clients that send none")
	add(f, "nontls", "block|allow|encrypt|HOST:PORT", "flows that are not TLS: end them, relay them, speak TLS with their servers, or send them there (default block on -p, else allow)", func(v string) error {
		return setNonTLS(c, v)
	})
}

func setNonTLS(c *mitm.Config, v string) error {
	word, known := map[string]mitm.NonTLS{"block": mitm.NonTLSBlock, "allow": mitm.NonTLSAllow, "encrypt": mitm.NonTLSEncrypt}[v]
	if known {
		c.NonTLS = word
		return nil
	}
	target, err := bridge.ParseAddr(v)
	if err != nil || target.Host == "" || target.Port == 0 {
		return errors.New("want block, allow, encrypt or HOST:PORT")
	}
	c.NonTLS, c.NonTLSTarget = mitm.NonTLSRedirect, target
	return nil
}

// tlsListener parses [IP,]LISTEN,DECRYPTED[,EXTERNAL].
func tlsListener(v string) (mitm.TLSListener, error) {
	fields := strings.Split(v, ",")
	host := ""
	if net.ParseIP(fields[0]) != nil {
		host, fields = fields[0], fields[1:]
	}
	if len(fields) != 2 && len(fields) != 3 {
		return mitm.TLSListener{}, errWantPorts
	}
	var ports [3]uint16
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 16)
		if err != nil || n == 0 && i > 0 {
			return mitm.TLSListener{}, errWantPorts
		}
		ports[i] = uint16(n)
	}
	return mitm.TLSListener{Addr: net.JoinHostPort(host, fields[0]), Decrypted: ports[1], Port: ports[2]}, nil
}

var errWantPorts = errors.New("want [IP,]LISTEN,DECRYPTED[,EXTERNAL], each a port, like 10443,80,443")

// decryptedPort says which port captures show for the server of a flow that has come to one of
// the listeners: to its address, or to its port where it listens on all. With TPROXY flows come
// to the servers' own addresses: the listener is the one for their port, or the only one.
func decryptedPort(c mitm.Config) func(*bridge.Flow) (uint16, bool) {
	ports := map[string]uint16{}
	for _, l := range c.TLS {
		ports[l.Addr] = l.Decrypted
		if l.Port != 0 && c.Transparent == intercept.TPROXY {
			ports[net.JoinHostPort("", strconv.Itoa(int(l.Port)))] = l.Decrypted
		}
	}
	isOnly := c.Transparent == intercept.TPROXY && len(c.TLS) == 1 && len(c.Listen) == 0
	return func(f *bridge.Flow) (uint16, bool) {
		local := f.Local()
		if port, ok := ports[local.String()]; ok {
			return port, true
		}
		if port, ok := ports[net.JoinHostPort("", strconv.Itoa(int(local.Port)))]; ok {
			return port, true
		}
		if isOnly {
			return c.TLS[0].Decrypted, true
		}
		return 0, false
	}
}
