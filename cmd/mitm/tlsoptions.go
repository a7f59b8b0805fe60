package main

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// serverOption is the value of --servercert, or of the --leafcert that says the same.
type serverOption struct{ flag, value string }

// tlsOptions are the flags that say how TLS is bridged, as far as they are not fields of
// a mitm.Config.
type tlsOptions struct {
	clientCerts []string       // may hold passwords
	serverCerts []serverOption // likewise
	clientCA    string
	keylog      string
}

func (o *tlsOptions) define(f *pflag.FlagSet, c *mitm.Config) {
	add(f, "fingerprint", "mirror|go", "the hello that servers are sent: the client's own, or Go's (default mirror)",
		oneOf(&c.Fingerprint, map[string]mitm.Fingerprint{"mirror": mitm.FingerprintMirror, "go": mitm.FingerprintGo}, "mirror or go"))
	add(f, "leafcert", "clone|sign|noclone", "what clients are shown: the server's certificate mirrored, always signed by our CA, or one by name (default clone); load:NAMES:FILE is --servercert",
		o.leafCert(c))
	add(f, "servercert", "NAMES:FILE[:PASS]", "a real certificate for clients that ask for these names, PKCS #12 or PEM; read again when the file changes; PASS also as env:NAME, file:PATH (repeatable)", func(v string) error {
		o.serverCerts = append(o.serverCerts, serverOption{"servercert", v})
		return nil
	})
	add(f, "verify", "mirror|refuse|ignore", "a server's certificate that does not verify: mirror its fault, end the flow, or sign it all the same; dates and names stay (default mirror)",
		oneOf(&c.Verify, map[string]mitm.Verify{"mirror": mitm.VerifyMirror, "refuse": mitm.VerifyRefuse, "ignore": mitm.VerifyIgnore}, "mirror, refuse or ignore"))
	f.StringArrayVar(&o.clientCerts, "clientcert", nil, "the client certificate for servers with these names, `NAMES:FILE[:PASS]` (repeatable)")
	f.StringVar(&o.clientCA, "clientca", "", "where TLS is terminated, clients must show a certificate that a CA in `FILE` signed")
	add(f, "mtls", "rescue|ask|none", "for a server that asks for another one: pass the flow on, ask the client, or say that there is none (default rescue)",
		oneOf(&c.MutualTLS, map[string]mitm.MutualTLS{"rescue": mitm.MutualRescue, "ask": mitm.MutualAsk, "none": mitm.MutualNone}, "rescue, ask or none"))
	add(f, "ech", "reject|pass|terminate:FILE", "hellos with ECH: mirror them as GREASE, pass them on, or decrypt them with these keys (default reject)", func(v string) error {
		return setECH(c, v)
	})
	c.Bypass = newBypass(1, 15*time.Minute)
	add(f, "bypassonfail", "COUNT:SECONDS|off", "pass a client on, for that name and time, that has refused our certificate so often (default 1:900, and off with --ruleset)", func(v string) error {
		count, period, off, err := policy.ParseBypassOnFail(v)
		if c.Bypass = nil; err == nil && !off {
			c.Bypass = newBypass(count, period)
		}
		return err
	})
	f.StringVar(&o.keylog, "keylog", "", "append the secrets of both sides to `FILE`, for Wireshark (default: SSLKEYLOGFILE)")
}

func setECH(c *mitm.Config, v string) (err error) {
	file, isFile := strings.CutPrefix(v, "terminate:")
	switch {
	case v == "reject":
		c.ECH, c.ECHKeys = mitm.ECHReject, nil
	case v == "pass":
		c.ECH, c.ECHKeys = mitm.ECHPass, nil
	case isFile && file != "":
		c.ECH = mitm.ECHReject
		c.ECHKeys, err = mitm.LoadECHKeys(file)
	default:
		err = errors.New("want reject, pass or terminate:FILE")
	}
	return err
}

func newBypass(count int, period time.Duration) *policy.Bypass {
	return policy.NewBypass(count, period, policy.DefaultSize)
}

// leafCert takes the values of --leafcert. That of load: is kept for later: an error here
// would repeat it, with its password.
func (o *tlsOptions) leafCert(c *mitm.Config) func(string) error {
	words := oneOf(&c.LeafCert, map[string]mitm.LeafCert{"clone": mitm.LeafClone, "sign": mitm.LeafSign, "noclone": mitm.LeafNoClone},
		"clone, sign, noclone or load:NAMES:FILE")
	return func(v string) error {
		if certificate, isLoad := strings.CutPrefix(v, "load:"); isLoad {
			o.serverCerts = append(o.serverCerts, serverOption{"leafcert", certificate})
			return nil
		}
		return words(v)
	}
}

// load reads the files that the options name. An error does not repeat their values.
func (o *tlsOptions) load(c *mitm.Config, log *slog.Logger) error {
	for _, v := range o.clientCerts {
		certificate, err := mitm.ParseClientCertificate(v)
		if err != nil {
			return usage("--clientcert: %w", err)
		}
		c.ClientCertificates = append(c.ClientCertificates, certificate)
	}
	for _, v := range o.serverCerts {
		certificate, err := mitm.ParseServerCertificate(v.value)
		if err != nil {
			return usage("--%s: %w", v.flag, err)
		}
		certificate.Log = log
		c.ServerCertificates = append(c.ServerCertificates, certificate)
	}
	if o.clientCA != "" {
		c.ClientCAs = x509.NewCertPool()
		return addCertificates(c.ClientCAs, "--clientca", o.clientCA)
	}
	return nil
}

// addCertificates adds those of a file to the pool. It holds one at least.
func addCertificates(pool *x509.CertPool, flag, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return usage("%s: %w", flag, err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return usage("%s %s: no certificate in it; want PEM", flag, file)
	}
	return nil
}

// openKeyLog opens what --keylog or SSLKEYLOGFILE names, to append to it; nil: neither
// does. Each line is one Write, so that several processes may share the file.
func (o *tlsOptions) openKeyLog() (*os.File, error) {
	file, by := o.keylog, "--keylog"
	if file == "" {
		file, by = os.Getenv("SSLKEYLOGFILE"), "SSLKEYLOGFILE"
	}
	if file == "" {
		return nil, nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, usage("%s: %w", by, err)
	}
	return f, nil
}
