package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// schemes are those that are written in front of a proxy's address. A socks5h server resolves names, as each does here.
func schemes() map[string]Scheme {
	return map[string]Scheme{
		"socks5": SOCKS5, "socks5h": SOCKS5, "socks4": SOCKS4, "socks4a": SOCKS4, "http": HTTP, "https": HTTPS,
	}
}

// Is reports whether s is meant to be a proxy rather than the HOST:PORT of a server: it has a scheme, with "//" or with
// more than a port behind it.
func Is(s string) bool {
	scheme, rest, found := strings.Cut(s, ":")
	if strings.HasPrefix(rest, "//") {
		return true
	}
	_, known := schemes()[strings.ToLower(scheme)]
	return found && known && strings.Contains(rest, ":")
}

// Parse parses a proxy: scheme://[user[:password]@]host:port, or scheme:host:port for short. Schemes are socks5 (or
// socks5h), socks4 (or socks4a), http and https; user and password are percent-encoded (RFC 3986 §2.1), and an IPv6
// address is in brackets. The error is one line, and does not repeat what was given: there may be a password in it.
func Parse(s string) (*Proxy, error) {
	name, rest, _ := strings.Cut(s, ":")
	scheme, known := schemes()[strings.ToLower(name)]
	if !known {
		return nil, errors.New("want socks5://, socks4://, http:// or https://, and then [USER:PASS@]HOST:PORT")
	}
	p := &Proxy{Scheme: scheme}
	rest = strings.TrimSuffix(strings.TrimPrefix(rest, "//"), "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		var err error
		if p.User, p.Password, err = userinfo(rest[:at]); err != nil {
			return nil, err
		}
		rest = rest[at+1:]
	}
	host, port, ok := detect.SplitAuthority(rest)
	if !ok {
		return nil, errors.New("want HOST:PORT behind " + name + ":, with a port from 1 to 65535; an IPv6 address is in brackets")
	}
	p.Addr = bridge.Addr{Host: host, Port: port}
	if err := p.checkCredentials(); err != nil {
		return nil, err
	}
	return p, nil
}

// userinfo takes user and password apart (RFC 3986 §3.2.1).
func userinfo(s string) (user, password string, err error) {
	user, password, _ = strings.Cut(s, ":")
	if user, err = url.PathUnescape(user); err == nil {
		password, err = url.PathUnescape(password)
	}
	if err != nil {
		return "", "", errors.New("user and password are percent-encoded: % is written %25")
	}
	return user, password, nil
}

// checkCredentials refuses what the proxy's protocol has no place for.
func (p *Proxy) checkCredentials() error {
	switch p.Scheme {
	case SOCKS5:
		if len(p.User) > 255 || len(p.Password) > 255 { // RFC 1929 §2
			return errors.New("SOCKS5 has room for 255 bytes each of user and password")
		}
		return nil
	case SOCKS4:
		switch {
		case p.Password != "":
			return errors.New("SOCKS4 has no passwords; the user alone is USER@HOST:PORT")
		case len(p.User) > 255 || strings.Contains(p.User, "\x00"):
			return errors.New("SOCKS4 has room for a user of 255 bytes without NUL")
		}
		return nil
	}
	if strings.Contains(p.User, ":") { // RFC 7617 §2
		return errors.New("an HTTP proxy's user has no colon")
	}
	if i := strings.IndexFunc(p.User+p.Password, isControl); i >= 0 {
		return fmt.Errorf("user and password for an %s proxy have no control characters", strings.ToUpper(string(p.Scheme)))
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
