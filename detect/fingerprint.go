package detect

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// A fingerprint tells the programs that send a ClientHello apart, and not their connections: it is made of what a TLS
// library and its settings determine. Two are in use. JA3 (Salesforce, 2017) keeps the order of everything, and so is
// another one with each connection of a client that shuffles its extensions, as Chromium does. JA4 (FoxIO, 2023) sorts.
// Both leave out GREASE values (RFC 8701 §2), which are random.

// JA3Text returns what JA3 is the hash of: legacy_version, cipher_suites, the types of the extensions, supported_groups
// and ec_point_formats, in decimal and in the order of the hello.
//
//	771,4865-4866,0-23-65281-10-11,29-23-24,0
func (h *ClientHello) JA3Text() string {
	var buf [ja3Room]byte
	return string(h.appendJA3(buf[:0]))
}

// JA3 returns the JA3 fingerprint: the MD5 hash of JA3Text, 32 digits in hexadecimal.
func (h *ClientHello) JA3() string {
	var buf [ja3Room]byte
	sum := md5.Sum(h.appendJA3(buf[:0]))
	return hex.EncodeToString(sum[:])
}

// JA4 returns the JA4 fingerprint, 36 characters: what can be read off the hello, a hash of the sorted cipher suites,
// and a hash of the sorted extensions with the signature algorithms.
//
//	t13d1516h2_8daaf6152771_e5627efa2ab1
//
// The first part is the transport, which is always t for TLS over TCP; the highest version; d when there is a
// server_name, else i; the numbers of cipher suites and of extensions; the first and last character of the first ALPN.
func (h *ClientHello) JA4() string {
	var buf [ja4Room]byte
	text := h.appendJA4(buf[:0])
	head, lists := text[:ja4Head], text[ja4Head+1:]
	suites, rest, _ := bytes.Cut(lists, []byte{'_'})

	var out [ja4Head + 2*(1+ja4Hash)]byte
	b := append(out[:0], head...)
	b = appendJA4Hash(append(b, '_'), suites)
	b = appendJA4Hash(append(b, '_'), rest)
	return string(b)
}

// JA4Raw returns JA4 with the lists in the place of their hashes, known as JA4_r.
func (h *ClientHello) JA4Raw() string {
	var buf [ja4Room]byte
	return string(h.appendJA4(buf[:0]))
}

const (
	ja4Head = 10 // characters of the first part
	ja4Hash = 12 // characters of a hash

	// Room on the stack for what real clients send: of those in testdata none has more than 380 bytes of JA3 text, 450
	// of JA4 text, 59 cipher suites. Longer ones go to the heap.
	ja3Room  = 768
	ja4Room  = 768
	listRoom = 128
)

// IsGREASE says whether a value is reserved to be ignored (RFC 8701 §2).
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// IsSignalling says whether a cipher suite is none: TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 §3.3) or
// TLS_FALLBACK_SCSV (RFC 7507 §4).
func IsSignalling(suite uint16) bool { return suite == 0x00ff || suite == 0x5600 }

func (h *ClientHello) appendJA3(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(h.LegacyVersion), 10)
	b = appendDecimals(append(b, ','), h.CipherSuites)
	var room [listRoom]uint16
	b = appendDecimals(append(b, ','), h.appendExtensionIDs(room[:0]))
	b = appendDecimals(append(b, ','), h.SupportedGroups)
	return appendDecimals(append(b, ','), h.appendPointFormats(room[:0]))
}

// appendDecimals appends a list as JA3 has it.
func appendDecimals(b []byte, list []uint16) []byte {
	begin := len(b)
	for _, v := range list {
		if IsGREASE(v) {
			continue
		}
		if len(b) > begin {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return b
}

func (h *ClientHello) appendExtensionIDs(ids []uint16) []uint16 {
	for _, e := range h.Extensions {
		ids = append(ids, e.ID)
	}
	return ids
}

// appendPointFormats appends the ECPointFormatList (RFC 8422 §5.1.2), as much of it as is there.
func (h *ClientHello) appendPointFormats(formats []uint16) []uint16 {
	data, _ := h.Extension(extECPointFormats)
	if len(data) == 0 {
		return formats
	}
	n := min(int(data[0]), len(data)-1)
	for _, f := range data[1 : 1+n] {
		formats = append(formats, uint16(f))
	}
	return formats
}

// appendJA4 appends the text that JA4Raw returns. The first part, of ja4Head characters, has no underscore.
func (h *ClientHello) appendJA4(b []byte) []byte {
	var room, suiteRoom [listRoom]uint16
	b = append(b, 't')
	b = append(b, ja4Version(h.highestVersion())...)
	if h.HasServerName {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	ids := withoutGREASE(h.appendExtensionIDs(room[:0]))
	suites := withoutGREASE(append(suiteRoom[:0], h.CipherSuites...))
	b = appendCount(b, len(suites))
	b = appendCount(b, len(ids))
	b = appendALPN(b, h.ALPN)

	slices.Sort(suites)
	b = appendHexadecimals(append(b, '_'), suites)

	// The first part tells of these two; without them here a client has one last part, be it going to a name or not.
	ids = slices.DeleteFunc(ids, func(id uint16) bool { return id == extServerName || id == extALPN })
	slices.Sort(ids)
	b = appendHexadecimals(append(b, '_'), ids)
	if algorithms := withoutGREASE(append(room[:0], h.SignatureAlgorithms...)); len(algorithms) > 0 {
		b = appendHexadecimals(append(b, '_'), algorithms)
	}
	return b
}

// withoutGREASE removes GREASE values from list, in place.
func withoutGREASE(list []uint16) []uint16 { return slices.DeleteFunc(list, IsGREASE) }

// highestVersion is MaxVersion without an opinion about versions that TLS has not got.
func (h *ClientHello) highestVersion() uint16 {
	var highest uint16
	for _, v := range h.SupportedVersions {
		if !IsGREASE(v) {
			highest = max(highest, v)
		}
	}
	if highest == 0 {
		return h.LegacyVersion
	}
	return highest
}

func ja4Version(v uint16) string {
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

// appendCount appends two digits.
func appendCount(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

// appendALPN appends the first and the last character of the first protocol that is not GREASE. When either byte is not
// a letter or a digit, they are the first and the last digit of the protocol in hexadecimal.
func appendALPN(b []byte, protocols []string) []byte {
	for _, p := range protocols {
		if p == "" {
			break
		}
		first, last := p[0], p[len(p)-1]
		switch {
		case len(p) == 2 && IsGREASE(uint16(first)<<8|uint16(last)):
			continue
		case isAlphanumeric(first) && isAlphanumeric(last):
			return append(b, first, last)
		}
		return append(b, hexDigits[first>>4], hexDigits[last&15])
	}
	return append(b, "00"...)
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

const hexDigits = "0123456789abcdef"

// appendHexadecimals appends a list as JA4 has it.
func appendHexadecimals(b []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
	}
	return b
}

// appendJA4Hash appends the beginning of a list's SHA-256 hash, and zeros when the list is empty.
func appendJA4Hash(b, list []byte) []byte {
	if len(list) == 0 {
		return append(b, "000000000000"...)
	}
	sum := sha256.Sum256(list)
	return hex.AppendEncode(b, sum[:ja4Hash/2])
}
