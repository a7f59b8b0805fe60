package httpconnect

import "math"

// Body follows a message body through the bytes of its stream and finds its end. It keeps none of them. The zero Body
// is an empty one.
type Body struct {
	kind   bodyKind
	left   uint64 // of a body with a length
	chunks chunks
}

type bodyKind uint8

const (
	ofLength   bodyKind = iota
	inChunks            // RFC 9112 §7.1
	untilClose          // ends with the connection
)

// Next returns how many of the bytes at the beginning of p belong to the body, and moves on behind them. A
// *detect.MalformedError says that what follows these bytes can't be a part of it.
func (x *Body) Next(p []byte) (n int, err error) {
	switch x.kind {
	case inChunks:
		return x.chunks.next(p)
	case untilClose:
		return len(p), nil
	}
	n = int(min(uint64(len(p)), x.left))
	x.skip(n)
	return n, nil
}

// sure returns how many bytes belong to the body whatever they are.
func (x *Body) sure() uint64 {
	switch {
	case x.kind == untilClose:
		return math.MaxInt64
	case x.kind == inChunks && x.chunks.state != chunkData:
		return 0
	case x.kind == inChunks:
		return x.chunks.left
	}
	return x.left
}

// skip moves on behind n bytes that surely belong to the body.
func (x *Body) skip(n int) {
	switch x.kind {
	case inChunks:
		x.chunks.skip(n)
	case ofLength:
		x.left -= uint64(n)
	}
}

// Done reports whether the body is complete. One that ends with its connection never is.
func (x *Body) Done() bool {
	switch x.kind {
	case inChunks:
		return x.chunks.state == chunksEnd
	case untilClose:
		return false
	}
	return x.left == 0
}

// IsUntilClose reports whether the body ends with its connection.
func (x *Body) IsUntilClose() bool { return x.kind == untilClose }
