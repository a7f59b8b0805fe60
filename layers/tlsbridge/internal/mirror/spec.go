package mirror

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// Extensions that are treated in a way of their own (RFC 8446 §4.2 and the registry that it names).
const (
	extStatusRequest       = 5
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
	extALPN                = 16
	extStatusRequestV2     = 17
	extSCT                 = 18
	extEncryptThenMAC      = 22
	extExtendedMaster      = 23
	extCompressCertificate = 27
	extRecordSizeLimit     = 28
	extDelegatedCredential = 34
	extSessionTicket       = 35
	extPreSharedKey        = 41
	extEarlyData           = 42
	extSupportedVersions   = 43
	extCookie              = 44
	extPSKModes            = 45
	extPostHandshakeAuth   = 49
	extKeyShare            = 51
	extALPS                = 17513
	extALPSNew             = 17613
	extECH                 = 0xfe0d
	extRenegotiationInfo   = 0xff01
)

// spec is a hello for utls, made after a client's.
type spec struct {
	hello      *detect.ClientHello
	changes    Changes
	min, max   uint16
	suites     []uint16
	groups     []uint16 // of supported_groups, as sent
	shares     shares
	versions   *utls.SupportedVersionsExtension
	keyShare   *utls.KeyShareExtension
	ticket     *utls.SessionTicketExtension
	psk        *utls.UtlsPreSharedKeyExtension
	extensions []utls.TLSExtension
}

// build makes the spec of a hello, with fresh keys.
func build(hello *detect.ClientHello, c Config) (*spec, error) {
	s := &spec{hello: hello, changes: c.Changes, suites: slices.Clone(hello.CipherSuites), groups: slices.Clone(hello.SupportedGroups)}
	if err := s.range_(); err != nil {
		return nil, err
	}
	if s.changes&KnownSuites != 0 {
		s.suites = slices.DeleteFunc(s.suites, func(id uint16) bool { return !detect.IsGREASE(id) && !detect.IsSignalling(id) && !knownSuites[id] })
		if !slices.ContainsFunc(s.suites, func(id uint16) bool { return knownSuites[id] }) {
			return nil, &Unbridgeable{Reason: "no cipher suite that is known here"}
		}
	}
	if s.changes&KnownGroups != 0 {
		s.groups = slices.DeleteFunc(s.groups, func(id uint16) bool { return !detect.IsGREASE(id) && !isKnownGroup(id) })
	}
	for _, e := range hello.Extensions {
		if without(e.ID)&s.changes != 0 {
			continue
		}
		made, err := s.extension(e)
		if err != nil {
			return nil, err
		}
		if made != nil {
			s.extensions = append(s.extensions, made)
		}
	}
	if hello.HasPreSharedKey && c.Sessions != nil && c.Changes&WithoutResumption == 0 {
		s.psk = &utls.UtlsPreSharedKeyExtension{}
		s.extensions = append(s.extensions, s.psk) // always the last (RFC 8446 §4.2.11)
	}
	return s, nil
}

// range_ finds the versions that the client offers (RFC 8446 §4.2.1).
func (s *spec) range_() error {
	if len(s.hello.SupportedVersions) == 0 {
		s.min, s.max = utls.VersionTLS10, s.hello.LegacyVersion
	} else {
		s.min = utls.VersionTLS13 + 1
		for _, v := range s.hello.SupportedVersions {
			if v >= utls.VersionTLS10 && v <= utls.VersionTLS13 {
				s.min, s.max = min(s.min, v), max(s.max, v)
			}
		}
	}
	if s.max < utls.VersionTLS10 || len(s.hello.SupportedVersions) == 0 && s.max > utls.VersionTLS12 {
		return &Unbridgeable{Reason: "the hello offers nothing that is known here"}
	}
	return nil
}

// extension makes one extension, or none for what is not the client's to repeat.
func (s *spec) extension(e detect.Extension) (utls.TLSExtension, error) {
	raw := &utls.GenericExtension{Id: e.ID, Data: e.Data}
	switch e.ID {
	case extPreSharedKey, extEarlyData, extCookie:
		// They belong to another connection of the client's.
		return nil, nil
	case extSessionTicket:
		s.ticket = &utls.SessionTicketExtension{}
		return s.ticket, nil
	case extSupportedVersions:
		s.versions = &utls.SupportedVersionsExtension{Versions: slices.Clone(s.hello.SupportedVersions)}
		return s.versions, nil
	case extKeyShare:
		var err error
		s.keyShare, err = s.newKeyShare(e.Data)
		return s.keyShare, err
	case extCompressCertificate:
		compress := &utls.UtlsCompressCertExtension{}
		if len(e.Data) < 3 || int(e.Data[0]) != len(e.Data)-1 || len(e.Data)%2 == 0 {
			return raw, nil
		}
		for i := 1; i < len(e.Data); i += 2 {
			compress.Algorithms = append(compress.Algorithms, utls.CertCompressionAlgo(binary.BigEndian.Uint16(e.Data[i:])))
		}
		return compress, nil
	case extECH:
		raw.Data = greaseECH(e.Data)
		return raw, nil
	case extSupportedGroups:
		if s.changes&KnownGroups != 0 {
			raw.Data = list16(s.groups)
		}
		return verbatim{&utls.SupportedCurvesExtension{Curves: convert[utls.CurveID](s.groups)}, raw}, nil
	case extSignatureAlgorithms:
		return verbatim{&utls.SignatureAlgorithmsExtension{SupportedSignatureAlgorithms: convert[utls.SignatureScheme](s.hello.SignatureAlgorithms)}, raw}, nil
	case extALPN:
		return verbatim{&utls.ALPNExtension{AlpnProtocols: slices.Clone(s.hello.ALPN)}, raw}, nil
	case extStatusRequest, extStatusRequestV2:
		return verbatim{&utls.StatusRequestExtension{}, raw}, nil
	case extSCT:
		return verbatim{&utls.SCTExtension{}, raw}, nil
	case extExtendedMaster:
		return verbatim{&utls.ExtendedMasterSecretExtension{}, raw}, nil
	case extPSKModes:
		return verbatim{&utls.PSKKeyExchangeModesExtension{Modes: []uint8{utls.PskModeDHE}}, raw}, nil
	case extALPS, extALPSNew:
		return s.alps(e, raw), nil
	}
	return raw, nil
}

// alps makes application_settings: a server that answers has settings of ours to be sent, which are empty.
func (s *spec) alps(e detect.Extension, raw *utls.GenericExtension) utls.TLSExtension {
	if e.ID == extALPS {
		return verbatim{&utls.ApplicationSettingsExtension{SupportedProtocols: slices.Clone(s.hello.ALPN)}, raw}
	}
	return verbatim{&utls.ApplicationSettingsExtensionNew{SupportedProtocols: slices.Clone(s.hello.ALPN)}, raw}
}

// verbatim is an extension that utls knows, for what it means to the connection, in the bytes of the client.
type verbatim struct {
	utls.TLSExtension // of which only the state is used
	raw               *utls.GenericExtension
}

func (v verbatim) Len() int                   { return v.raw.Len() }
func (v verbatim) Read(p []byte) (int, error) { return v.raw.Read(p) }

// greaseECH replaces what is random in an encrypted_client_hello of the outer kind (RFC 9849 §5, §6.2): config_id, enc
// and payload. The suite and the lengths stay. Another kind, and what is malformed, stays as it is.
func greaseECH(data []byte) []byte {
	const (
		outer    = 0
		configID = 5 // after the type, KDF and AEAD
		enc      = 8 // after the length of enc
	)
	fresh := slices.Clone(data)
	if len(data) < enc || data[0] != outer {
		return fresh
	}
	n := int(binary.BigEndian.Uint16(data[configID+1:]))
	payload := enc + n + 2
	if len(data) < payload || int(binary.BigEndian.Uint16(data[enc+n:])) != len(data)-payload {
		return fresh
	}
	random(fresh[configID : configID+1])
	random(fresh[enc : enc+n])
	random(fresh[payload:])
	return fresh
}

// random fills b. The system's source does not fail: crypto/rand ends the program instead.
func random(b []byte) { io.ReadFull(rand.Reader, b) }

func convert[T ~uint16](list []uint16) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = T(v)
	}
	return out
}

// list16 encodes a vector of 16-bit values with a length of 16 bits.
func list16(values []uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(2*len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// knownSuites are the cipher suites that utls has.
var knownSuites = func() map[uint16]bool {
	known := make(map[uint16]bool)
	for _, s := range append(utls.CipherSuites(), utls.InsecureCipherSuites()...) {
		known[s.ID] = true
	}
	return known
}()
