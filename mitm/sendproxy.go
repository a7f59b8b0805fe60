package mitm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// ProxyHeader says what becomes of a PROXY header that was believed.
type ProxyHeader = proxyproto.Forward

// The ways to treat it. It stands first on whatever stream reaches the hop, each time that is dialled.
const (
	ProxyStrip   = proxyproto.Strip     // it was for us: what the server is told is for SendProxy to say
	ProxyRelay   = proxyproto.Verbatim  // it is passed on as it came; without SendProxy, flows from elsewhere end, as with RejectUntrustedProxy
	ProxyRewrite = proxyproto.Rewritten // it is passed on in version 2, with ProxyTLVs added and the checksum computed anew
)

// ProxyTLVs are what a PROXY header of version 2 has besides addresses.
type ProxyTLVs struct {
	// Authority is the name that the client wants to speak with: the server_name of its hello, for which the
	// dial waits, else the host name that it has asked us to connect to.
	Authority bool

	// ALPN and SSL are about the client's TLS. They are left out unless that ended here before the dial (Terminate).
	// With ALPN the protocol that the client likes best is agreed to, and the server told.
	ALPN, SSL bool

	UniqueID bool // the flow's ID
	CRC32C   bool
}

// checkProxy refuses what can't be said together.
func (c Config) checkProxy() error {
	switch none := c.ProxyTLVs == (ProxyTLVs{}); {
	case c.SendProxy < 0 || c.SendProxy > 2:
		return fmt.Errorf("send-proxy: there is no version %d, want 1 or 2", c.SendProxy)
	case c.ProxyHeader > ProxyRewrite:
		return errors.New("proxy-header: want strip, relay or rewrite")
	case c.ProxyHeader != ProxyStrip && len(c.AcceptProxy)+len(c.AutoProxy)+len(c.HAProxy) == 0:
		return errors.New("proxy-header: no PROXY header is believed that could be passed on; want accept-proxy or haproxy, too")
	case c.ProxyHeader == ProxyRewrite && c.SendProxy == 1:
		return errors.New("proxy-header rewrite writes version 2, and send-proxy version 1; want send-proxy v2")
	case !none && c.SendProxy == 1:
		return errors.New("proxy-tlv: a PROXY header of version 1 has no TLVs; want send-proxy v2")
	case !none && !c.writesTLVs():
		return errors.New("proxy-tlv: no PROXY header is written that could have them; want send-proxy v2 or proxy-header rewrite")
	}
	return nil
}

// writesTLVs reports whether there are headers that ProxyTLVs go into.
func (c Config) writesTLVs() bool { return c.SendProxy == 2 || c.ProxyHeader == ProxyRewrite }

// tellsAuthority reports whether the dial waits for a hello, to tell the server its name.
func (c Config) tellsAuthority() bool { return c.ProxyTLVs.Authority && c.writesTLVs() }

// warnOfProxyTLVs says which of them will be left out. A rule may have TLS end here, too.
func (c Config) warnOfProxyTLVs() {
	if c.Terminate || c.Rules != nil {
		return
	}
	for _, tlv := range []struct {
		asked bool
		name  string
	}{{c.ProxyTLVs.ALPN, "alpn"}, {c.ProxyTLVs.SSL, "ssl"}} {
		if tlv.asked {
			c.Log.Warn("servers are not told about the client's TLS, which is not finished when they are dialled: that is so with terminate only", "proxy_tlv", tlv.name)
		}
	}
}

// sendProxy puts the PROXY header on connections to a hop, be they in a tunnel or not.
func (s *Server) sendProxy(next bridge.DialFunc) bridge.DialFunc {
	if s.config.SendProxy == 0 && s.config.ProxyHeader == ProxyStrip {
		return next
	}
	return proxyproto.Dial(next, proxyproto.DialConfig{
		Version:   s.config.SendProxy,
		TLVs:      s.proxyTLVs,
		Meant:     meantFor,
		Tunnelled: s.upstream != nil,
		Limits:    s.config.Limits,
	})
}

// meantKey is the context key of what the client of a flow meant that the kernel has brought here.
type meantKey struct{}

func meantFor(ctx context.Context, _ *bridge.Flow) bridge.Addr {
	to, _ := ctx.Value(meantKey{}).(bridge.Addr)
	return to
}

// proxyTLVs are those that were asked for, as far as they are known.
func (s *Server) proxyTLVs(ctx context.Context, f *bridge.Flow) []detect.TLV {
	asked, frames := s.config.ProxyTLVs, f.Frames()
	var tlvs []detect.TLV
	add := func(kind byte, value []byte) { tlvs = append(tlvs, detect.TLV{Type: kind, Value: value}) }
	ended := endedTLS(frames)
	if ended.ALPN != "" && asked.ALPN {
		add(proxyproto.TypeALPN, []byte(ended.ALPN))
	}
	if name := authorityOf(ctx, frames); name != "" && asked.Authority {
		add(proxyproto.TypeAuthority, []byte(name))
	}
	if asked.CRC32C {
		add(proxyproto.TypeCRC32C, make([]byte, 4))
	}
	if asked.UniqueID {
		add(proxyproto.TypeUniqueID, []byte(f.ID()))
	}
	if info, ok := ended.Detail.(*tlsbridge.Info); ok && asked.SSL {
		if value, err := proxyproto.AppendSSL(nil, sslOf(info)); err == nil {
			add(proxyproto.TypeSSL, value)
		}
	}
	return tlvs
}

// toldALPN is what is agreed to with a client whose TLS ends here: what it likes best, where the server is told which
// that is, and else nothing.
func (s *Server) toldALPN(hello *detect.ClientHello) []string {
	if !s.config.ProxyTLVs.ALPN || !s.config.writesTLVs() || len(hello.ALPN) == 0 {
		return nil
	}
	return hello.ALPN[:1]
}

// serverNameKey is the context key of the server_name of the client's hello.
type serverNameKey struct{}

func withServerName(ctx context.Context, hello *detect.ClientHello) context.Context {
	return context.WithValue(ctx, serverNameKey{}, hello.ServerName)
}

// authorityOf is "the host name value passed by the client" (specification of the PROXY protocol, §2.2.2).
func authorityOf(ctx context.Context, frames []bridge.Frame) string {
	if name, _ := ctx.Value(serverNameKey{}).(string); name != "" {
		return name
	}
	for _, frame := range slices.Backward(frames) {
		if frame.Verb == bridge.VerbTerminate && !frame.Dst.IsZero() {
			if _, isIP := frame.Dst.IP(); isIP {
				return ""
			}
			return frame.Dst.Host
		}
	}
	return ""
}

// endedTLS is the client's TLS with the server that ended here, or the zero Frame.
func endedTLS(frames []bridge.Frame) bridge.Frame {
	for _, frame := range slices.Backward(withServer(frames)) {
		if frame.Proto == "tls" && frame.Verb == bridge.VerbTerminate && frame.Decrypted {
			return frame
		}
	}
	return bridge.Frame{}
}

// sslOf is what servers are told about the client's TLS, in the names that OpenSSL has for it, as balancers do.
func sslOf(info *tlsbridge.Info) proxyproto.SSL {
	const notVerified = 1 // X509_V_ERR_UNSPECIFIED
	ssl := proxyproto.SSL{Client: proxyproto.ClientSSL, Verify: notVerified}
	add := func(kind byte, value string) {
		if value != "" {
			ssl.TLVs = append(ssl.TLVs, detect.TLV{Type: kind, Value: []byte(value)})
		}
	}
	add(proxyproto.SubtypeSSLVersion, versionName(info.Client.Version))
	if info.ClientSubject != "" {
		ssl.Client |= proxyproto.ClientCertConn | proxyproto.ClientCertSess
		ssl.Verify = 0
		add(proxyproto.SubtypeSSLCN, commonName(info.ClientSubject))
	}
	add(proxyproto.SubtypeSSLCipher, cipherName(info.Client.CipherSuite))
	return ssl
}

// versionName is SSL_get_version's: "TLSv1.3", "TLSv1".
func versionName(version uint16) string {
	name, ok := strings.CutPrefix(tls.VersionName(version), "TLS ")
	if !ok {
		return ""
	}
	return "TLSv" + strings.TrimSuffix(name, ".0")
}

// cipherName is SSL_CIPHER_get_name's. Those of TLS 1.3 are as RFC 8446 has them; older ones leave out what goes
// without saying: TLS, WITH, CBC, RSA where it is key exchange and signature, and the hash of ChaCha20.
func cipherName(suite uint16) string {
	name := tls.CipherSuiteName(suite)
	keys, cipher, old := strings.Cut(name, "_WITH_")
	if !old {
		return name
	}
	if keys = strings.TrimPrefix(strings.TrimPrefix(keys, "TLS"), "_RSA"); keys != "" {
		keys = strings.TrimPrefix(keys, "_") + "_"
	}
	cipher = strings.NewReplacer("AES_", "AES", "3DES_EDE_CBC", "DES-CBC3", "_CBC", "", "RC4_128", "RC4", "POLY1305_SHA256", "POLY1305").Replace(cipher)
	return strings.ReplaceAll(keys+cipher, "_", "-")
}

// commonName is the CN of a subject as RFC 2253 writes it: a comma in a value has a backslash before it.
func commonName(subject string) string {
	var attribute strings.Builder
	escaped := false
	for _, r := range subject + "," {
		switch {
		case escaped:
			attribute.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == ',' || r == '+':
			if cn, ok := strings.CutPrefix(attribute.String(), "CN="); ok {
				return cn
			}
			attribute.Reset()
		default:
			attribute.WriteRune(r)
		}
	}
	return ""
}
