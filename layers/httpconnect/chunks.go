package httpconnect

import (
	"math"
	"slices"
	"strings"
)

// chunks scans a chunked body (RFC 9112 §7.1): chunk-size, extensions and data of each chunk, the last chunk, and the
// trailer section. Its sizes and line ends are the boundary between messages, so there is one way to write each: no
// sign, no white space, CR LF.
type chunks struct {
	// strict refuses white space behind a chunk-size, which some servers pad with, and trailer fields that a message
	// must not end with.
	strict bool

	state   chunkState
	left    uint64 // of the chunk-size, then of the chunk-data
	digits  int    // of the chunk-size
	line    int    // length of the chunk's line so far
	trailer int    // length of the trailer section so far
	name    []byte // of a trailer field
}

type chunkState uint8

const (
	chunkSize    chunkState = iota
	chunkPadding            // white space behind the size
	chunkExt
	chunkLF // the LF of the chunk's line
	chunkData
	chunkDataCR
	chunkDataLF
	trailerLine // at the beginning of a line
	trailerName
	trailerValue
	trailerLF
	trailersLF // the LF of the empty line at the end
	chunksEnd
)

const (
	// maxDigits bounds a chunk-size: 64 bits, leading zeros included.
	maxDigits = 16

	// maxChunkLine bounds a chunk-size with its extensions, which nobody uses. It is what net/http reads.
	maxChunkLine = 4 << 10

	// maxTrailers bounds a trailer section, which is a second head.
	maxTrailers = MaxHead
)

// next returns how many bytes of p belong to the body. It stops before a byte that can't.
func (c *chunks) next(p []byte) (n int, err error) {
	for n < len(p) && c.state != chunksEnd {
		if c.state == chunkData {
			k := int(min(uint64(len(p)-n), c.left))
			c.skip(k)
			n += k
			continue
		}
		if field := c.step(p[n]); field != "" {
			return n, malformed(field, n)
		}
		n++
	}
	return n, nil
}

// skip takes n bytes of chunk-data.
func (c *chunks) skip(n int) {
	if c.left -= uint64(n); c.left == 0 {
		c.state = chunkDataCR
	}
}

// step takes one byte that is not chunk-data. It returns what is malformed.
func (c *chunks) step(b byte) (bad string) {
	switch c.state {
	case chunkSize, chunkPadding, chunkExt:
		if c.line++; c.line > maxChunkLine {
			return "chunk-ext"
		}
		return c.lineByte(b)
	case chunkLF:
		if b != '\n' {
			return "chunk-size"
		}
		c.state = chunkData
		if c.left == 0 {
			c.state = trailerLine
		}
	case chunkDataCR:
		if b != '\r' {
			return "chunk-data"
		}
		c.state = chunkDataLF
	case chunkDataLF:
		if b != '\n' {
			return "chunk-data"
		}
		*c = chunks{strict: c.strict}
	default:
		if c.trailer++; c.trailer > maxTrailers {
			return "trailer-section"
		}
		return c.trailerByte(b)
	}
	return ""
}

// lineByte takes a byte of a chunk's line.
func (c *chunks) lineByte(b byte) (bad string) {
	digit := hexValue(b)
	switch {
	case c.state == chunkSize && digit >= 0:
		if c.left > math.MaxInt64>>4 || c.digits == maxDigits {
			return "chunk-size"
		}
		c.left = c.left<<4 | uint64(digit)
		c.digits++
	case c.digits == 0:
		return "chunk-size"
	case b == '\r':
		c.state = chunkLF
	case c.state == chunkExt:
		if isControl(b) {
			return "chunk-ext"
		}
	case b == ';':
		c.state = chunkExt
	case (b == ' ' || b == '\t') && !c.strict:
		c.state = chunkPadding
	default:
		return "chunk-size"
	}
	return ""
}

// trailerByte takes a byte of the trailer section.
func (c *chunks) trailerByte(b byte) (bad string) {
	switch c.state {
	case trailerLine, trailerName:
		switch {
		case b == '\r' && c.state == trailerLine:
			c.state = trailersLF
		case isTokenChar(b):
			c.state = trailerName
			c.name = append(c.name, b)
		case b == ':' && c.state == trailerName:
			if c.strict && forbiddenTrailer(string(c.name)) {
				return "trailer-section"
			}
			c.name, c.state = nil, trailerValue
		default:
			return "trailer-section"
		}
	case trailerValue:
		switch {
		case b == '\r':
			c.state = trailerLF
		case isControl(b):
			return "trailer-section"
		}
	case trailerLF, trailersLF:
		if b != '\n' {
			return "trailer-section"
		}
		c.state = either(c.state == trailersLF, chunksEnd, trailerLine)
	}
	return ""
}

func either[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// forbiddenTrailer reports whether a field has no place in the trailer section of a request: it frames or routes the
// message (RFC 9110 §6.5.1), and a server that merges trailers into the head would read another message than we did;
// or it is the proxy's, and is not passed on.
func forbiddenTrailer(name string) bool {
	return isProxyField(name) || slices.ContainsFunc(framingFields(), func(f string) bool {
		return strings.EqualFold(f, name)
	})
}

// framingFields are the fields by which a recipient finds the end of a message and whom it is for.
func framingFields() []string {
	return []string{"Content-Length", "Transfer-Encoding", "Trailer", "Host"}
}

// isProxyField reports whether a field is addressed to the proxy.
func isProxyField(name string) bool {
	const prefix = "Proxy-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// isControl reports whether b is a control character other than tab.
func isControl(b byte) bool { return b < ' ' && b != '\t' || b == 0x7f }

func hexValue(b byte) int {
	switch {
	case isDigit(b):
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
