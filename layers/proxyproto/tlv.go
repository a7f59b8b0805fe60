package proxyproto

import (
	"encoding/binary"
	"fmt"

	"github.com/bridgeio/bridgeio/detect"
)

// The types of TLVs (§2.2), of which detect.ProxyHeader has those of the first group, and SSL those of the second.
const (
	TypeALPN      = 0x01             // PP2_TYPE_ALPN
	TypeAuthority = 0x02             // PP2_TYPE_AUTHORITY: server_name
	TypeCRC32C    = detect.TLVCRC32C // PP2_TYPE_CRC32C, verified by the parser
	TypeNoop      = 0x04             // PP2_TYPE_NOOP: padding
	TypeUniqueID  = 0x05             // PP2_TYPE_UNIQUE_ID: up to 128 bytes
	TypeSSL       = 0x20             // PP2_TYPE_SSL: see SSL
	TypeNetNS     = 0x30             // PP2_TYPE_NETNS: the name of a network namespace

	SubtypeSSLVersion    = 0x21 // PP2_SUBTYPE_SSL_VERSION: "TLSv1.3"
	SubtypeSSLCN         = 0x22 // PP2_SUBTYPE_SSL_CN: commonName of the client certificate's subject
	SubtypeSSLCipher     = 0x23 // PP2_SUBTYPE_SSL_CIPHER
	SubtypeSSLSigAlg     = 0x24 // PP2_SUBTYPE_SSL_SIG_ALG: that signed the balancer's certificate
	SubtypeSSLKeyAlg     = 0x25 // PP2_SUBTYPE_SSL_KEY_ALG: of the balancer's certificate
	SubtypeSSLGroup      = 0x26 // PP2_SUBTYPE_SSL_GROUP
	SubtypeSSLSigScheme  = 0x27 // PP2_SUBTYPE_SSL_SIG_SCHEME
	SubtypeSSLClientCert = 0x28 // PP2_SUBTYPE_SSL_CLIENT_CERT: the client certificate, DER
)

// The bits of SSL.Client (§2.2.6).
const (
	ClientSSL      = 0x01 // PP2_CLIENT_SSL: the client's connection was TLS
	ClientCertConn = 0x02 // PP2_CLIENT_CERT_CONN: a certificate was shown on this connection
	ClientCertSess = 0x04 // PP2_CLIENT_CERT_SESS: … on a connection of the same TLS session
)

// SSL is the value of a PP2_TYPE_SSL (§2.2.6).
type SSL struct {
	Client byte
	Verify uint32       // 0 when the client's certificate was verified
	TLVs   []detect.TLV // in order, raw; the values alias what was parsed
}

// Get returns the value of the first TLV of a subtype.
func (s SSL) Get(subtype byte) (value []byte, ok bool) {
	for _, v := range s.TLVs {
		if v.Type == subtype {
			return v.Value, true
		}
	}
	return nil, false
}

// AppendSSL appends the value of a PP2_TYPE_SSL, of which it is the inverse to ParseSSL. It fails when a TLV is too long.
func AppendSSL(b []byte, s SSL) ([]byte, error) {
	b = append(b, s.Client)
	b = binary.BigEndian.AppendUint32(b, s.Verify)
	for _, v := range s.TLVs {
		if len(v.Value) > maxLen {
			return nil, tooLong(v)
		}
		b = appendTLV(b, v)
	}
	return b, nil
}

func appendTLV(b []byte, v detect.TLV) []byte {
	b = append(b, v.Type)
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.Value)))
	return append(b, v.Value...)
}

func tooLong(v detect.TLV) error {
	return fmt.Errorf("TLV %02x of %d bytes, at most %d fit", v.Type, len(v.Value), maxLen)
}

// ParseSSL parses the value of a PP2_TYPE_SSL. It fails with a [*detect.MalformedError] unless its TLVs fill it.
func ParseSSL(value []byte) (SSL, error) {
	const fixed = 5
	if len(value) < fixed {
		return SSL{}, malformed("PP2_TYPE_SSL", len(value))
	}
	s := SSL{Client: value[0], Verify: binary.BigEndian.Uint32(value[1:])}
	for at := fixed; at < len(value); {
		rest := value[at:]
		if len(rest) < tlvHeaderLen {
			return SSL{}, malformed("PP2_TYPE_SSL", at)
		}
		end := tlvHeaderLen + int(binary.BigEndian.Uint16(rest[1:]))
		if len(rest) < end {
			return SSL{}, malformed("PP2_TYPE_SSL", at)
		}
		s.TLVs = append(s.TLVs, detect.TLV{Type: rest[0], Value: rest[tlvHeaderLen:end:end]})
		at += end
	}
	return s, nil
}

func malformed(field string, at int) error {
	return &detect.MalformedError{Protocol: "proxy2", Field: field, Offset: at}
}
