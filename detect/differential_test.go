package detect_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/bridgeio/bridgeio/detect"
)

// oneWay is a conn that brings some bytes and swallows what is written.
type oneWay struct{ io.Reader }

func (oneWay) Write(b []byte) (int, error)      { return len(b), nil }
func (oneWay) Close() error                     { return nil }
func (oneWay) LocalAddr() net.Addr              { return nil }
func (oneWay) RemoteAddr() net.Addr             { return nil }
func (oneWay) SetDeadline(time.Time) error      { return nil }
func (oneWay) SetReadDeadline(time.Time) error  { return nil }
func (oneWay) SetWriteDeadline(time.Time) error { return nil }

// cryptoTLSView is what crypto/tls reads in a hello, or nil when it refuses it.
func cryptoTLSView(b []byte) *tls.ClientHelloInfo {
	var view *tls.ClientHelloInfo
	server := tls.Server(oneWay{bytes.NewReader(b)}, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			view = info
			return nil, errors.New("seen enough")
		},
	})
	_ = server.Handshake() // fails by design; what it saw counts
	return view
}

// compareWithCryptoTLS checks that a hello which both accept says the same to both, and that what only crypto/tls
// accepts is among the cases in which we are stricter on purpose. It refuses more than we do: every repeated
// extension, and contents that are not read here.
func compareWithCryptoTLS(t *testing.T, b []byte, h *detect.ClientHello, err error) {
	t.Helper()
	view := cryptoTLSView(b)
	if view == nil {
		return
	}
	if err != nil {
		stricterThanCryptoTLS(t, b, err)
		return
	}
	var ids []uint16
	for _, e := range h.Extensions {
		ids = append(ids, e.ID)
	}
	for _, c := range []struct {
		name      string
		ours, its any
		same      bool
	}{
		{"cipher suites", h.CipherSuites, view.CipherSuites, slices.Equal(h.CipherSuites, view.CipherSuites)},
		{"extensions", ids, view.Extensions, slices.Equal(ids, view.Extensions)},
		{"ALPN", h.ALPN, view.SupportedProtos, slices.Equal(h.ALPN, view.SupportedProtos)},
		{"groups", h.SupportedGroups, view.SupportedCurves, same16(h.SupportedGroups, view.SupportedCurves)},
		{"signature schemes", h.SignatureAlgorithms, view.SignatureSchemes, same16(h.SignatureAlgorithms, view.SignatureSchemes)},
		{"versions", h.SupportedVersions, view.SupportedVersions, len(h.SupportedVersions) == 0 || slices.Equal(h.SupportedVersions, view.SupportedVersions)},
		{"server name", h.ServerName, view.ServerName, h.ServerName == "" || h.ServerName == view.ServerName},
		{"presence of a server name", h.HasServerName, view.ServerName, h.HasServerName || view.ServerName == ""},
	} {
		if !c.same {
			t.Errorf("%s of %x: %v, and crypto/tls reads %v", c.name, b, c.ours, c.its)
		}
	}
}

func same16[T ~uint16](a []uint16, b []T) bool {
	return slices.EqualFunc(a, b, func(x uint16, y T) bool { return x == uint16(y) })
}

// stricterThanCryptoTLS says which of our refusals crypto/tls does not share.
func stricterThanCryptoTLS(t *testing.T, b []byte, err error) {
	t.Helper()
	var broken *detect.MalformedError
	if !errors.As(err, &broken) {
		t.Errorf("crypto/tls reads %x, and here it is %v", b, err)
		return
	}
	switch broken.Field {
	case "ContentType": // a warning alert before the hello, or between its records
	case "legacy_record_version": // it ignores the version of the first record
	case "record length": // it keeps what follows the hello in its record for later
	case "legacy_version": // it negotiates afterwards
	case "legacy_session_id": // it echoes any length, where RFC 8446 §4.1.2 allows 32 bytes
	case "cipher_suites", "legacy_compression_methods": // it takes none for a list that has nothing in common
	case "handshake length", "length": // it allows five bytes more
	default:
		t.Errorf("crypto/tls reads %x, and here it is %v", b, err)
	}
}

func TestRealHellosSayTheSameToCryptoTLS(t *testing.T) {
	for name, b := range hellos(t) {
		h, _, err := detect.ParseClientHello(b)
		if err != nil || cryptoTLSView(b) == nil {
			t.Fatalf("%s: %v", name, err)
		}
		compareWithCryptoTLS(t, b, h, err)
	}
}

// compareWithPires checks that a header which both accept holds the same addresses for both, and that the other parser
// accepts what we accept, but for what it says that it refuses, and refuses what we refuse, but for what it is known to
// take.
func compareWithPires(t *testing.T, b []byte, h *detect.ProxyHeader, n int, err error) {
	t.Helper()
	if bad := (*detect.MalformedError)(nil); errors.As(err, &bad) {
		if theirs, theirErr := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), 1<<16)); theirErr == nil {
			piresAccepts(t, b, bad, theirs)
		}
		return
	}
	if err != nil {
		return // more is to come
	}
	r := bufio.NewReaderSize(bytes.NewReader(b[:n]), 1<<16)
	theirs, theirErr := proxyproto.Read(r)
	if theirErr != nil {
		piresRefuses(t, b[:n], h, theirErr)
		return
	}
	if r.Buffered() > 0 {
		t.Errorf("%q: the header takes %d bytes, and %d less for go-proxyproto", b, n, r.Buffered())
	}
	if h.Family != detect.ProxyInet && h.Family != detect.ProxyInet6 {
		return
	}
	if src, dst := addrPort(theirs.SourceAddr), addrPort(theirs.DestinationAddr); unmapped(h.Src) != src || unmapped(h.Dst) != dst {
		t.Errorf("%q: %v to %v, and for go-proxyproto %v to %v", b, h.Src, h.Dst, src, dst)
	}
}

// addrPort reads an address of go-proxyproto, which knows IPv4 in IPv6 and IPv4 as one.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmapped(a.AddrPort())
	case *net.UDPAddr:
		return unmapped(a.AddrPort())
	}
	return netip.AddrPort{}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// What each rule of the grammar refuses is held against the other parser, too.
func TestWhatWeRefuseAndGoProxyprotoTakes(t *testing.T) {
	for in := range refusedV1() {
		_, n, err := detect.ParseProxyHeader([]byte(in))
		compareWithPires(t, []byte(in), nil, n, err)
	}
}

// piresAccepts says which of the headers that we refuse go-proxyproto takes.
func piresAccepts(t *testing.T, b []byte, bad *detect.MalformedError, theirs *proxyproto.Header) {
	t.Helper()
	v1 := theirs.Version == 1
	switch {
	case v1 && bad.Field == "line end" && theirs.Command.IsLocal(): // it takes a CR within UNKNOWN
	case v1 && strings.HasSuffix(bad.Field, " address") && theirs.TransportProtocol == proxyproto.TCPv6: // it takes 0::1 for ::1
	case !v1 && bad.Field == "PP2_TYPE_CRC32C": // it leaves the checksum to who asks for it
	case !v1 && bad.Field == "length" && len(b) > detect.DefaultMaxProxyHeader: // it has another limit
	default:
		t.Errorf("go-proxyproto reads %+v in %q, and here it is %v", theirs, b, bad)
	}
}

// piresRefuses says which of the headers that we accept go-proxyproto refuses.
func piresRefuses(t *testing.T, header []byte, h *detect.ProxyHeader, err error) {
	t.Helper()
	switch {
	case h.Version == 2 && h.Command == detect.ProxyLocal: // it does not ignore the family of LOCAL
	case h.Version == 2 && h.Family == detect.ProxyUnspec: // it refuses PROXY with UNSPEC
	case h.Version == 1 && h.Family == detect.ProxyInet6 && (h.Src.Addr().Is4In6() || h.Dst.Addr().Is4In6()):
		// It takes IPv4 in IPv6 for IPv4.
	default:
		t.Errorf("go-proxyproto refuses %q: %v", header, err)
	}
}
