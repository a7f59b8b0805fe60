package flowlog

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"

	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// tlsRecord is what the innermost TLS layer came to, as far as it did.
type tlsRecord struct {
	Client      *leg         `json:"client,omitempty"`
	Server      *leg         `json:"server,omitempty"`
	Certificate *certificate `json:"certificate,omitempty"`
}

// leg is what was agreed on with one peer.
type leg struct {
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	Group   string `json:"group,omitempty"`
	ALPN    string `json:"alpn,omitempty"`
	Resumed bool   `json:"resumed"` // the TLS layer resumes no sessions
}

type certificate struct {
	ServerSHA256 string `json:"server_sha256,omitempty"`
	LeafSHA256   string `json:"leaf_sha256,omitempty"`
	Verdict      string `json:"verdict,omitempty"`
}

// newTLSRecord returns the record of a TLS frame's detail, or nil when it says nothing.
func newTLSRecord(detail any) *tlsRecord {
	info, ok := detail.(*tlsbridge.Info)
	if !ok || *info == (tlsbridge.Info{}) {
		return nil
	}
	r := &tlsRecord{Client: newLeg(info.Client), Server: newLeg(info.Server)}
	c := certificate{sum(info.ServerLeaf), sum(info.MintedLeaf), info.Verdict}
	if c != (certificate{}) {
		r.Certificate = &c
	}
	return r
}

func newLeg(l tlsbridge.Leg) *leg {
	if l.Version == 0 {
		return nil
	}
	return &leg{
		Version: versionName(l.Version),
		Cipher:  tls.CipherSuiteName(l.CipherSuite),
		Group:   groupName(l.Group),
		ALPN:    l.ALPN,
	}
}

// sum returns a hash in hex, and nothing for one that is not there.
func sum(h [sha256.Size]byte) string {
	if h == ([sha256.Size]byte{}) {
		return ""
	}
	return hex.EncodeToString(h[:])
}

// versionName returns "1.3" for 0x0304: the versions of TLS count on from SSL's (RFC
// 8446 §4.2.1).
func versionName(v uint16) string {
	if v < tls.VersionTLS10 {
		return fmt.Sprintf("%d.%d", v>>8, v&0xff)
	}
	return fmt.Sprintf("1.%d", v-tls.VersionTLS10)
}

// groupName returns the name in the registry of TLS supported groups (RFC 8447 §9), and
// nothing for the 0 of a cipher suite that exchanges no key in a group.
func groupName(g tls.CurveID) string {
	switch g {
	case 0:
		return ""
	case tls.CurveP256:
		return "secp256r1"
	case tls.CurveP384:
		return "secp384r1"
	case tls.CurveP521:
		return "secp521r1"
	case tls.X25519:
		return "x25519"
	case tls.X25519MLKEM768:
		return "X25519MLKEM768"
	case tls.SecP256r1MLKEM768:
		return "SecP256r1MLKEM768"
	case tls.SecP384r1MLKEM1024:
		return "SecP384r1MLKEM1024"
	}
	return fmt.Sprintf("0x%04x", uint16(g))
}
