package flowlog

import (
	"crypto/tls"
	"fmt"

	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// tlsRecord is what the innermost TLS layer came to, as far as it did.
type tlsRecord struct {
	Client      *leg         `json:"client,omitempty"`
	Server      *leg         `json:"server,omitempty"`
	Certificate *certificate `json:"certificate,omitempty"`
	Subject     string       `json:"client_subject,omitempty"`
	Refused     string       `json:"refused,omitempty"`
}

// leg is what was said and agreed on with one peer. The hello is known before anything
// is agreed on, and all that is known of a flow that was passed on.
type leg struct {
	Version string `json:"version,omitempty"`
	Cipher  string `json:"cipher,omitempty"`
	Group   string `json:"group,omitempty"`
	ALPN    string `json:"alpn,omitempty"`
	JA3     string `json:"ja3,omitempty"`
	JA4     string `json:"ja4,omitempty"`
	Rung    string `json:"rung,omitempty"`
	Resumed *bool  `json:"resumed,omitempty"` // nil: no handshake was finished
	ECH     string `json:"ech,omitempty"`
}

type certificate struct {
	ServerSHA256 string `json:"server_sha256,omitempty"`
	LeafSHA256   string `json:"leaf_sha256,omitempty"`
	Verdict      string `json:"verdict,omitempty"`
}

// newTLSRecord returns the record of a TLS frame's detail, or nil when it says nothing.
func newTLSRecord(detail any) *tlsRecord {
	info, ok := detail.(*tlsbridge.Info)
	if !ok {
		return nil
	}
	r := &tlsRecord{Subject: info.ClientSubject, Refused: string(info.Refused())}
	client, server := newLeg(info.Client), newLeg(info.Server)
	client.JA3, client.JA4, client.ECH = info.ClientJA3, info.ClientJA4, info.ECH
	server.JA3, server.JA4, server.Rung = info.ServerJA3, info.ServerJA4, info.Rung
	if client != (leg{}) {
		r.Client = &client
	}
	if server != (leg{}) {
		r.Server = &server
	}
	c := certificate{info.ServerLeaf.String(), info.MintedLeaf.String(), info.Verdict}
	if c != (certificate{}) {
		r.Certificate = &c
	}
	if *r == (tlsRecord{}) {
		return nil
	}
	return r
}

// newLeg returns what was agreed on.
func newLeg(l tlsbridge.Leg) leg {
	if l.Version == 0 {
		return leg{}
	}
	return leg{
		Version: versionName(l.Version),
		Cipher:  tls.CipherSuiteName(l.CipherSuite),
		Group:   groupName(l.Group),
		ALPN:    l.ALPN,
		Resumed: &l.Resumed,
	}
}

// defaultRule is the rule that is always there.
const defaultRule = "default"

// ruleOf returns the rule that a flow's action was chosen by.
func ruleOf(detail any) string {
	if info, ok := detail.(*tlsbridge.Info); ok && info.Rule != "" {
		return info.Rule
	}
	return defaultRule
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
