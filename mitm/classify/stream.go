package classify

import "slices"

// window is how much of a direction is kept: as much as a detector may want to see.
const window = 64 << 10

// maxHoles bounds the work on segments that leave holes. Honest traffic closes a hole before it makes a few more.
const maxHoles = 64

// A stream puts the beginning of one direction of a TCP connection together.
type stream struct {
	started bool   // base is known,
	synced  bool   // and from a SYN
	base    uint32 // the sequence number of the first byte

	buf  []byte // up to window bytes from there, with holes
	have []span // what of buf was captured: in order, without overlap
	top  int64  // the highest offset that was sent
	end  int64  // the offset of the FIN; -1 without
}

// span is an interval of offsets.
type span struct{ from, to int }

// start says where the stream begins. What was said before, or by a SYN, counts.
func (s *stream) start(base uint32, synced bool) {
	if s.started && (s.synced || !synced || s.base == base) {
		s.synced = s.synced || synced
		return
	}
	*s = stream{started: true, synced: synced, base: base, end: -1}
}

// offset is how far from the beginning a sequence number is. They wrap (RFC 9293 section 3.4), so it is the offset that
// is nearest to the highest one so far.
func (s *stream) offset(seq uint32) int64 {
	return s.top + int64(int32(seq-(s.base+uint32(s.top))))
}

// add takes a segment of which wire bytes were sent and data was captured. It says whether that had bytes of the window
// that were not there yet.
func (s *stream) add(seq uint32, data []byte, wire int, fin bool) bool {
	at := s.offset(seq)
	s.top = max(s.top, at+int64(wire))
	if fin && s.end < 0 {
		s.end = at + int64(wire)
	}
	if at < 0 {
		data = data[min(-at, int64(len(data))):]
		at = 0
	}
	if at >= window || len(data) == 0 {
		return false
	}
	return s.keep(int(at), data[:min(len(data), window-int(at))])
}

// keep copies what is not there yet: of bytes that were sent twice the first count.
func (s *stream) keep(from int, data []byte) bool {
	to := from + len(data)
	first, _ := slices.BinarySearchFunc(s.have, from, func(h span, from int) int { return h.to - from })
	last := first
	for last < len(s.have) && s.have[last].from <= to {
		last++
	}
	if first == last && len(s.have) > maxHoles {
		return false
	}
	if to > len(s.buf) {
		s.buf = slices.Grow(s.buf, to-len(s.buf))[:to]
	}
	news, at, whole := false, from, span{from, to}
	for _, h := range s.have[first:last] {
		if h.from > at {
			news = copy(s.buf[at:h.from], data[at-from:]) > 0 || news
		}
		at = max(at, h.to)
		whole = span{min(whole.from, h.from), max(whole.to, h.to)}
	}
	if at < to {
		news = copy(s.buf[at:to], data[at-from:]) > 0 || news
	}
	s.have = slices.Replace(s.have, first, last, whole)
	return news
}

// prefix is what there is without a hole, from the first byte.
func (s *stream) prefix() []byte {
	if len(s.have) == 0 || s.have[0].from > 0 {
		return nil
	}
	return s.buf[:s.have[0].to]
}

// ended says that nothing follows the prefix.
func (s *stream) ended() bool { return s.started && s.end >= 0 && s.end == int64(len(s.prefix())) }

// gap says that bytes were sent behind the prefix that ought to have been kept.
func (s *stream) gap() bool {
	n := int64(len(s.prefix()))
	return s.started && n < window && (s.top > n || s.end > n)
}
