package detect

import (
	"cmp"
	"slices"
)

// QUICHello reads the ClientHello out of the first datagrams of a client of QUIC version 1 or 2, which may be in any
// order. Those with keys of post-quantum groups take two. The error is [ErrShort] when a part is missing, else a
// [*MalformedError]. The hello is a copy.
func QUICHello(datagrams ...[]byte) (*ClientHello, error) {
	if len(datagrams) == 0 {
		return nil, ErrShort
	}
	frames, ok := openInitials(datagrams)
	if !ok {
		return nil, &MalformedError{Protocol: "quic", Field: "Initial packet"}
	}
	var pieces []quicPiece
	for _, payload := range frames {
		pieces = append(pieces, cryptoFrames(payload)...)
	}
	return parseHandshakeHello(assemble(pieces))
}

// parseHandshakeHello parses a ClientHello at the beginning of a stream of handshake messages without records.
func parseHandshakeHello(stream []byte) (*ClientHello, error) {
	switch {
	case len(stream) > 0 && stream[0] != 1:
		return nil, &MalformedError{Protocol: "quic", Field: "msg_type"}
	case len(stream) < 4:
		return nil, ErrShort
	}
	length := be24(stream[1:])
	switch {
	case length > MaxClientHello:
		return nil, &MalformedError{Protocol: "quic", Field: "length", Offset: 1}
	case len(stream) < 4+length:
		return nil, ErrShort
	}
	hello, _, err := ParseClientHello(helloRecords(stream[4 : 4+length]))
	return hello, err
}

// openInitials decrypts the Initial packets of some datagrams, and is not ok if there is none.
//
// Keys come of the connection ID that the client made up first (RFC 9001 §5.2). Once the server has answered it uses
// the server's, with the same keys: what its own ID does not open, those of another datagram may.
func openInitials(datagrams [][]byte) (frames [][]byte, ok bool) {
	var known *quicKeys
	var others []quicInitial
	for _, b := range datagrams {
		var keys *quicKeys
		for {
			var p quicInitial
			if p, b, ok = cutInitial(b); !ok {
				break
			}
			if keys == nil { // RFC 9000 §12.2: the packets of a datagram share the ID
				var err error
				if keys, err = newQUICKeys(p.version, p.dst); err != nil {
					return nil, false
				}
			}
			if payload, ok := keys.open(p); ok {
				known, frames = keys, append(frames, payload)
			} else {
				others = append(others, p)
			}
		}
	}
	if known == nil {
		return nil, false
	}
	for _, p := range others {
		if payload, ok := known.open(p); ok {
			frames = append(frames, payload)
		}
	}
	return frames, true
}

// quicPiece is the data of a CRYPTO frame.
type quicPiece struct {
	offset uint64
	data   []byte
}

// cryptoFrames collects the CRYPTO frames (RFC 9000 §19.6) of an Initial packet, as far as its frames are understood:
// PADDING, PING and ACK, too, may be in it (§17.2.2).
func cryptoFrames(b []byte) (all []quicPiece) {
	for len(b) > 0 {
		kind := b[0]
		b = b[1:]
		switch kind {
		case 0x00, 0x01: // PADDING, PING
		case 0x02, 0x03:
			var ok bool
			if b, ok = skipACK(b, kind == 0x03); !ok {
				return all
			}
		case 0x06:
			offset, n := quicVarint(b)
			length, m := quicVarint(b[n:])
			if n == 0 || m == 0 || length > uint64(len(b)-n-m) {
				return all
			}
			all = append(all, quicPiece{offset, b[n+m : n+m+int(length)]})
			b = b[n+m+int(length):]
		default:
			return all
		}
	}
	return all
}

// skipACK takes an ACK frame off (RFC 9000 §19.3): two numbers, a count, a range, as many pairs, and three counts of ECN.
func skipACK(b []byte, ecn bool) ([]byte, bool) {
	next := func() (v uint64, ok bool) {
		v, n := quicVarint(b)
		b = b[n:]
		return v, n > 0
	}
	next() // Largest Acknowledged
	next() // ACK Delay
	ranges, ok := next()
	fields := 1 + 2*ranges
	if ecn {
		fields += 3
	}
	for i := uint64(0); ok && i < fields; i++ {
		_, ok = next()
	}
	return b, ok
}

// assemble puts pieces together, as far as they follow one another from the first byte.
func assemble(pieces []quicPiece) (stream []byte) {
	slices.SortStableFunc(pieces, func(a, b quicPiece) int { return cmp.Compare(a.offset, b.offset) })
	for _, p := range pieces {
		have := uint64(len(stream))
		if p.offset > have {
			break
		}
		if skip := have - p.offset; skip < uint64(len(p.data)) {
			stream = append(stream, p.data[skip:]...)
		}
	}
	return stream
}
