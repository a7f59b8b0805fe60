package detect

import "bytes"

const (
	maxMemcachedLine   = 2048 // the server's own limit
	maxMemcachedKey    = 250
	memcachedHeaderLen = 24
)

// Memcached detects the first command of a memcached client, in the text protocol (protocol.txt), whole line, or the
// binary one (BinaryProtocolRevamped), header. Verb is the command, of the text protocol.
func Memcached() Detector {
	scan := func(b []byte) result {
		if len(b) > 0 && b[0] == 0x80 {
			return scanMemcachedBinary(b)
		}
		return scanMemcachedText(b)
	}
	return weak(scanned("memcached", maxMemcachedLine, scan, func(b []byte) Info {
		if b[0] == 0x80 {
			return Info{Protocol: "memcached", Version: "binary"}
		}
		end := bytes.IndexAny(b, " \r\n")
		return Info{Protocol: "memcached", Version: "text", Verb: string(b[:end])}
	}))
}

// memcachedCommands are those that a client may begin with, and the least and the most words behind them.
var memcachedCommands = [...]struct {
	name        string
	least, most int
}{
	{"get", 1, 100},
	{"gets", 1, 100},
	{"gat", 2, 100},
	{"gats", 2, 100},
	{"set", 4, 5},
	{"add", 4, 5},
	{"replace", 4, 5},
	{"append", 4, 5},
	{"prepend", 4, 5},
	{"cas", 5, 6},
	{"delete", 1, 2},
	{"incr", 2, 3},
	{"decr", 2, 3},
	{"touch", 2, 3},
	{"version", 0, 0},
	{"verbosity", 1, 2},
	{"stats", 0, 2},
	{"flush_all", 0, 2},
	{"mg", 1, 20},
	{"ms", 2, 20},
	{"md", 1, 20},
	{"ma", 1, 20},
	{"mn", 0, 0},
	{"me", 1, 2},
}

func scanMemcachedText(b []byte) result {
	n := 0
	for n < len(b) && ('a' <= b[n] && b[n] <= 'z' || b[n] == '_') {
		n++
	}
	if n == 0 && len(b) > 0 { // most of what is not memcached ends here
		return bad("command", 0)
	}
	command := -1
	for i := range memcachedCommands {
		name := memcachedCommands[i].name
		if n == len(b) && n <= len(name) && string(b) == name[:n] {
			return short(max(n, len("mn")) + len("\n"))
		}
		if string(b[:n]) == name {
			command = i
		}
	}
	if command < 0 {
		return bad("command", 0)
	}
	line, r := textLine(b, 0, "command")
	if !r.isComplete() {
		return r
	}
	return memcachedArguments(line[n:], command, r)
}

// memcachedArguments checks the number of words, and that the line is no request of HTTP or a protocol like it.
func memcachedArguments(rest []byte, command int, r result) result {
	c := memcachedCommands[command]
	if endsInVersion(rest) {
		return bad("arguments", 0)
	}
	words, last := 0, []byte(nil)
	for len(rest) > 0 {
		if rest[0] != ' ' {
			return bad("arguments", 0)
		}
		rest = rest[1:]
		n := bytes.IndexByte(rest, ' ')
		if n < 0 {
			n = len(rest)
		}
		if n == 0 && len(rest) > 0 || n > maxMemcachedKey {
			return bad("arguments", 0)
		}
		if n > 0 {
			last = rest[:n]
			words++
		}
		rest = rest[n:]
	}
	numeric := c.least == 4 || c.least == 5
	switch {
	case words < c.least, words > c.most:
		return bad("arguments", 0)
	case numeric && words == c.least && !isDigits(last):
		return bad("bytes", 0)
	}
	return r
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// scanMemcachedBinary scans the request header.
func scanMemcachedBinary(b []byte) result {
	switch {
	case len(b) > 1 && b[1] > 0x48:
		return bad("opcode", 1)
	case len(b) > 2 && b[2] != 0:
		return bad("key_length", 2)
	case len(b) > 3 && b[3] > maxMemcachedKey:
		return bad("key_length", 3)
	case len(b) > 4 && b[4] > 20:
		return bad("extras_length", 4)
	case len(b) > 5 && b[5] != 0:
		return bad("data_type", 5)
	case len(b) < memcachedHeaderLen:
		return short(memcachedHeaderLen)
	}
	if body := be32(b[8:]); body < uint32(b[3])+uint32(b[4]) || body > 1<<27 {
		return bad("total_body_length", 8)
	}
	for i := 16; i < memcachedHeaderLen; i++ {
		if b[i] != 0 {
			return bad("cas", i)
		}
	}
	return complete(memcachedHeaderLen)
}
