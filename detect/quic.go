package detect

// QUIC versions (RFC 9000 §15, RFC 9369 §3.1).
const (
	quicVersion1 = 0x00000001
	quicVersion2 = 0x6b3343cf
)

const (
	quicLeast       = 1200 // RFC 9000 §14.1: a client pads the datagrams of its Initial packets
	quicConnID      = 20   // RFC 9000 §17.2: the longest connection ID of version 1
	quicFirstConnID = 8    // RFC 9000 §7.2: the shortest one that a client makes up for a server
	quicLongBit     = 0x80
	quicFixedBit    = 0x40
)

// QUIC detects a client's first datagram: an Initial packet of version 1 or 2 (RFC 9000 §17.2.2, RFC 9369 §3.2), whose
// header alone decides. Host and ALPN are those of the ClientHello in it, where it is in this one datagram whole;
// [QUICHello] reads one that is in several. Version is 1 or 2.
//
// It names Version Negotiation, too, and datagrams of other versions, and says no more of them. Of an unknown version
// nothing is known but the lengths of connection IDs (RFC 8999 §5.1): one in a thousand of random datagrams, of those
// with 1,200 bytes or more, looks like that.
func QUIC() Detector {
	return datagram("quic", func(b []byte) Verdict {
		switch p, _, ok := cutInitial(b); {
		case ok && len(b) >= quicLeast && len(p.dst) >= quicFirstConnID:
			return Yes(quicInfo(p.version, b))
		case isQUICNegotiation(b), isUnknownQUIC(b):
			return Yes(Info{Protocol: "quic"})
		}
		return No()
	})
}

// quicInfo is what is known of an Initial packet, and of the hello, if it can be read.
func quicInfo(version uint32, b []byte) Info {
	info := Info{Protocol: "quic", Version: "1"}
	if version == quicVersion2 {
		info.Version = "2"
	}
	hello, err := QUICHello(b)
	if err != nil {
		return info
	}
	info.ALPN = hello.ALPN
	if isHost(hello.ServerName) {
		info.Host = hello.ServerName
	}
	return info
}

// cutQUICHeader takes off what long headers of all versions have (RFC 8999 §5.1), if the connection IDs are as short as
// those of version 1.
func cutQUICHeader(b []byte) (version uint32, dst, src, rest []byte, ok bool) {
	if len(b) < 7 || b[0]&quicLongBit == 0 {
		return 0, nil, nil, nil, false
	}
	if dst, rest, ok = cutConnID(b[5:]); ok {
		src, rest, ok = cutConnID(rest)
	}
	return be32(b[1:]), dst, src, rest, ok
}

func cutConnID(b []byte) (id, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > quicConnID || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+b[0]], b[1+b[0]:], true
}

// isQUICNegotiation says whether a server answers with the versions that it knows (RFC 9000 §17.2.1). It gives the
// connection IDs back, so its own is the one that the client made up.
func isQUICNegotiation(b []byte) bool {
	version, _, src, rest, ok := cutQUICHeader(b)
	if !ok || version != 0 || len(src) < quicFirstConnID || len(rest) == 0 || len(rest)%4 != 0 {
		return false
	}
	for ; len(rest) > 0; rest = rest[4:] {
		if be32(rest) == 0 {
			return false
		}
	}
	return true
}

// isUnknownQUIC takes the rules of version 1 for all whose first packets are to be told from other datagrams.
func isUnknownQUIC(b []byte) bool {
	version, dst, _, _, ok := cutQUICHeader(b)
	known := version == 0 || version == quicVersion1 || version == quicVersion2
	return ok && !known && b[0]&quicFixedBit != 0 && len(b) >= quicLeast && len(dst) >= quicFirstConnID
}
