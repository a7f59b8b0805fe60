package detect

import "net/netip"

// DefaultMaxProxyHeader is the most bytes after the fixed 16 of a version 2 header that [ParseProxyHeader] takes.
// Senders stay far below 1 KiB unless they pass on a client certificate.
const DefaultMaxProxyHeader = 4096

const (
	maxProxyV1       = 107 // specification §2.1
	proxyV1Signature = "PROXY "
	proxyV2HeaderLen = 16
	proxyV2Signature = "\r\n\r\n\x00\r\nQUIT\n"
)

// ProxyHeader is a header of the PROXY protocol (HAProxy, proxy-protocol.txt).
type ProxyHeader struct {
	Version   int            // 1 or 2
	Command   ProxyCommand   // LOCAL only in version 2
	Family    ProxyFamily    // Unspec for LOCAL, and for UNKNOWN of version 1
	Transport ProxyTransport // Unspec where Family is; Stream in version 1 otherwise

	// Src and Dst are the connection's addresses as the sender knows them; both are invalid with families Unspec and
	// Unix, and then those of the connection itself hold.
	Src, Dst netip.AddrPort

	// SrcUnix and DstUnix are the addresses of family Unix, 108 bytes each, raw; else nil.
	SrcUnix, DstUnix []byte

	TLVs []TLV  // of version 2, in order, with types and contents that nobody judged, but for CRC32C
	Tail []byte // what follows the last TLV and is none; for LOCAL with addresses that do not fit, all of it
}

// TLV is one Type-Length-Value vector of a version 2 header (§2.2.7).
type TLV struct {
	Type  byte
	Value []byte // a copy
}

// ProxyCommand says whether the sender speaks for a client or for itself (§2.2).
type ProxyCommand byte

const (
	ProxyLocal   ProxyCommand = 0 // LOCAL: the sender's own connection, as of a health check
	ProxyProxied ProxyCommand = 1 // PROXY: on behalf of another node
)

// ProxyFamily is the address family (§2.2).
type ProxyFamily byte

const (
	ProxyUnspec ProxyFamily = 0
	ProxyInet   ProxyFamily = 1
	ProxyInet6  ProxyFamily = 2
	ProxyUnix   ProxyFamily = 3
)

// ProxyTransport is the transport protocol (§2.2).
type ProxyTransport byte

const (
	ProxyTransportUnspec ProxyTransport = 0
	ProxyStream          ProxyTransport = 1
	ProxyDatagram        ProxyTransport = 2
)

// TLVCRC32C is PP2_TYPE_CRC32C, the one TLV whose content is verified here (§2.2.3).
const TLVCRC32C = 0x03

// ParseProxyHeader is [ParseProxyHeaderMax] with [DefaultMaxProxyHeader].
func ParseProxyHeader(buf []byte) (*ProxyHeader, int, error) {
	return ParseProxyHeaderMax(buf, DefaultMaxProxyHeader)
}

// ParseProxyHeaderMax parses the header of version 1 or 2 at the beginning of buf. A version 2 header that announces
// more than limit bytes after its fixed 16 is malformed.
//
// Version 1 must be as its specification has it: 107 bytes at most with its CR LF, single spaces, addresses of the
// stated family in the form in which inet_ntop writes them, ports without leading zeros. In version 2 an unknown
// command, family or transport is malformed, and so is a CRC32C that is wrong or stands twice; a broken end of the
// TLVs is kept as Tail, for the caller to judge. The addresses of LOCAL are skipped whatever they are (§2.2: "the
// receiver must accept this connection as valid and must use the real connection endpoints and discard the protocol
// block including the family which is ignored").
func ParseProxyHeaderMax(buf []byte, limit int) (*ProxyHeader, int, error) {
	if len(buf) > 0 && buf[0] == proxyV2Signature[0] {
		return parseProxyV2(buf, limit)
	}
	return parseProxyV1(buf)
}

// ProxyV1 detects a version 1 header, at the word after PROXY. It matches before the header is complete or known to be
// valid: from then on a defect has to end the connection, and must not let the line through as payload. Src and Dst are
// set once the whole header is there.
func ProxyV1() Detector {
	return Func("proxy1", maxProxyV1, detectProxyV1)
}

// ProxyV2 detects a version 2 header, at the byte after its signature, for the same reason.
func ProxyV2() Detector {
	return Func("proxy2", proxyV2HeaderLen+DefaultMaxProxyHeader, detectProxyV2)
}

func detectProxyV1(client []byte) Verdict {
	kind := NoMatch
	for _, prefix := range [...]string{"PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN ", "PROXY UNKNOWN\r"} {
		kind = max(kind, hasPrefix(client, prefix))
	}
	if kind == NeedMore {
		return More(max(len(client)+1, len("PROXY TCP4 ")))
	}
	return proxyVerdict(client, kind, "proxy1", "1")
}

func detectProxyV2(client []byte) Verdict {
	kind := hasPrefix(client, proxyV2Signature)
	switch n := len(proxyV2Signature); {
	case kind == Match && len(client) == n, kind == NeedMore:
		return More(n + 1)
	case kind == Match && client[n]>>4 != 2:
		return No()
	}
	return proxyVerdict(client, kind, "proxy2", "2")
}

// proxyVerdict is Match with what the header says as far as it is there, or NoMatch.
func proxyVerdict(client []byte, kind Kind, protocol, version string) Verdict {
	if kind == NoMatch {
		return No()
	}
	info := Info{Protocol: protocol, Version: version}
	if h, _, err := ParseProxyHeader(client); err == nil {
		info.Src, info.Dst = h.Src, h.Dst
	}
	return Yes(info)
}
