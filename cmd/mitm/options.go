package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
)

// option is the value of a flag that may be given several times: each is handed to
// set when the command line is read, so that an error names the flag.
type option struct {
	set  func(string) error
	kind string
}

func (o option) Set(v string) error { return o.set(v) }
func (o option) String() string     { return "" }
func (o option) Type() string       { return o.kind }

// add defines a flag that calls set with each of its values.
func add(f *pflag.FlagSet, name, kind, help string, set func(string) error) {
	f.Var(option{set, kind}, name, help)
}

// listenAddr completes [IP,]PORT, which means all addresses without an IP.
func listenAddr(v string) (string, error) {
	host, port, ok := strings.Cut(v, ",")
	if !ok {
		host, port = "", v
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || ok && net.ParseIP(host) == nil {
		return "", errors.New("want [IP,]PORT")
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// autoAddr completes HOST:PORT or PORT.
func autoAddr(v string) (string, error) {
	if _, err := strconv.ParseUint(v, 10, 16); err == nil {
		return ":" + v, nil
	}
	if _, _, err := net.SplitHostPort(v); err != nil {
		return "", errors.New("want HOST:PORT or PORT")
	}
	return v, nil
}

// orLoopback is an address as it is, or that of loopback where it has no host.
func orLoopback(addr string) string {
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}

// duration sets a limit from seconds or a Go duration; 0 means off, which is what a
// negative limit is.
func duration(to ...*time.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if seconds, serr := strconv.ParseFloat(v, 64); serr == nil {
			d, err = time.Duration(seconds*float64(time.Second)), nil
		}
		if err != nil || d < 0 {
			return errors.New("want seconds or a duration like 1m30s; 0 is off")
		}
		if d == 0 {
			d = -1
		}
		for _, t := range to {
			*t = d
		}
		return nil
	}
}

// oneOf sets to by the word that v is.
func oneOf[T any](to *T, words map[string]T, want string) func(string) error {
	return func(v string) error {
		value, ok := words[v]
		if !ok {
			return fmt.Errorf("want %s", want)
		}
		*to = value
		return nil
	}
}

// bridgeOptions defines the flags that are fields of a mitm.Config.
func bridgeOptions(f *pflag.FlagSet, c *mitm.Config) {
	list := func(to *[]string, complete func(string) (string, error)) func(string) error {
		return func(v string) error {
			addr, err := complete(v)
			*to = append(*to, addr)
			return err
		}
	}
	add(f, "listen", "ADDR", "listen with the automatic chain (default 127.0.0.1:8080; repeatable)", list(&c.Listen, autoAddr))
	add(f, "socks", "[IP,]PORT", "listen as a SOCKS4, 4a and 5 server (repeatable)", list(&c.SOCKS, listenAddr))
	add(f, "httpconnect", "[IP,]PORT", "listen as an HTTP proxy (repeatable)", list(&c.HTTPConnect, listenAddr))
	add(f, "connect", "HOST[:PORT]|URL", "one server for everything; protocols are relayed to it, by --listen; without PORT, on the port that is asked for. "+
		"Or a proxy to dial through: socks5://, socks4://, http:// or https://[USER:PASS@]HOST:PORT; also env:NAME, file:PATH", orUpstream(c, func(v string) (err error) {
		c.Connect, err = connectAddr(v)
		return err
	}))
	add(f, "allow", "CIDR,...", "who may use the proxy (default: loopback, private and link-local addresses)", appendPrefixes(&c.Allow))
	add(f, "deny-target", "CIDR,...", "what may not be reached, besides what remote clients may not anyway", appendPrefixes(&c.DenyTarget))
	add(f, "allow-target", "CIDR,...", "what may be reached in spite of that", appendPrefixes(&c.AllowTarget))
	add(f, "name", "NAME,...", "our own names, for TLS to the proxy itself (default: host name, localhost)", func(v string) error {
		c.Names = append(c.Names, strings.Split(v, ",")...)
		return nil
	})
	add(f, "accept-proxy", "CIDR,...", "sources that must send a PROXY header; auto:CIDR makes it optional there", acceptProxy(c))
	add(f, "untrusted-proxy", "ignore|reject", "a PROXY header from elsewhere is payload (ignore) or ends the flow",
		oneOf(&c.RejectUntrustedProxy, map[string]bool{"ignore": false, "reject": true}, "ignore or reject"))
}

// connectAddr parses HOST or HOST:PORT.
func connectAddr(v string) (bridge.Addr, error) {
	if ip := net.ParseIP(strings.Trim(v, "[]")); ip != nil {
		return bridge.Addr{Host: ip.String()}, nil
	}
	if !strings.Contains(v, ":") && v != "" {
		return bridge.Addr{Host: v}, nil
	}
	addr, err := bridge.ParseAddr(v)
	if err != nil || addr.Host == "" || addr.Port == 0 {
		return bridge.Addr{}, errors.New("want HOST or HOST:PORT, with a port from 1 to 65535, or a proxy like socks5://HOST:PORT")
	}
	return addr, nil
}

func appendPrefixes(to *[]netip.Prefix) func(string) error {
	return func(v string) error {
		prefixes, err := mitm.ParsePrefixes(v)
		*to = append(*to, prefixes...)
		return err
	}
}

// acceptProxy sorts the sources into those that must and those that may send a header.
func acceptProxy(c *mitm.Config) func(string) error {
	return func(v string) error {
		for item := range strings.SplitSeq(v, ",") {
			to := &c.AcceptProxy
			item, optional := strings.CutPrefix(item, "auto:")
			if optional {
				to = &c.AutoProxy
			}
			if err := appendPrefixes(to)(item); err != nil {
				return err
			}
		}
		return nil
	}
}

// limitOptions defines the flags that are limits.
func limitOptions(f *pflag.FlagSet, l *bridge.Limits) {
	add(f, "timeout", "TIME", "a dial, and what waits for one; seconds or 1m30s, 0 is off (default 30)", duration(&l.Dial))
	add(f, "tlstimeout", "TIME", "each turn of a handshake (default 10)", duration(&l.Turn))
	add(f, "idle", "TIME", "a flow in which nothing moves (default 600)", duration(&l.Idle))
	add(f, "drain", "TIME", "the same after one side has ended (default 60)", duration(&l.Drain))
	add(f, "fail", "open|closed", "let through what can't be inspected, or end it (default open)",
		oneOf(&l.Fail, map[string]bridge.Fail{"open": bridge.FailOpen, "closed": bridge.FailClosed}, "open or closed"))
	add(f, "max-flows", "N", "flows at once (default: a quarter of the descriptors)", func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return errors.New("want a number from 1")
		}
		l.MaxFlows = n
		return nil
	})
}
