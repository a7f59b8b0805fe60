package detect

import (
	"bytes"
	"strings"
)

const (
	maxRedisCommand = 512
	maxRedisWord    = 32 // the longest command has 20 letters
)

// Redis detects the first command of a Redis client: an array of bulk strings (RESP, "Sending commands"), or PING, AUTH
// or HELLO in a line of its own, which is no request of HTTP or a protocol like it. Verb is the command, in capitals.
func Redis() Detector {
	return weak(scanned("redis", maxRedisCommand, scanRedis, func(b []byte) Info {
		word, _ := redisCommand(b)
		return Info{Protocol: "redis", Verb: strings.ToUpper(string(word))}
	}))
}

func scanRedis(b []byte) result {
	_, r := redisCommand(b)
	return r
}

// redisCommand scans as far as to the name of the command.
func redisCommand(b []byte) ([]byte, result) {
	switch {
	case len(b) == 0:
		return nil, short(len("PING\n"))
	case b[0] != '*':
		return redisInline(b)
	}
	at, _, r := redisLength(b, '*', 0, 1<<20)
	if !r.isComplete() {
		if r.field == "" {
			r.need += redisRest
		}
		return nil, r
	}
	at, n, r := redisLength(b, '$', at, maxRedisWord)
	if !r.isComplete() {
		if r.field == "" {
			r.need += len("x\r\n")
		}
		return nil, r
	}
	for i := at; i < min(len(b), at+n); i++ {
		if c := b[i] | 0x20; (c < 'a' || c > 'z') && (i == at || b[i] != '.' && b[i] != '_' && b[i] != '-' && (b[i] < '0' || b[i] > '9')) {
			return nil, bad("command", i)
		}
	}
	r = fixed(b, at+n, "\r\n", "command")
	return b[min(at, len(b)):min(at+n, len(b))], r
}

// redisRest is the least that comes behind the number of an array.
const redisRest = len("$1\r\nx\r\n")

// redisLength scans a type and a number above zero, and returns where the next line begins.
func redisLength(b []byte, kind byte, at, most int) (next, n int, r result) {
	if len(b) > at && b[at] != kind {
		return 0, 0, bad("type", at)
	}
	i := at + 1
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		if n = 10*n + int(b[i]-'0'); n > most || n == 0 {
			return 0, 0, bad("length", i)
		}
	}
	switch {
	case i >= len(b):
		return 0, 0, short(max(i, at+2) + len("\r\n"))
	case n == 0:
		return 0, 0, bad("length", i)
	}
	r = fixed(b, i, "\r\n", "length")
	return i + 2, n, r
}

// redisInline scans the commands that people and health checks type, in a line of its own.
func redisInline(b []byte) ([]byte, result) {
	if c := b[0] | 0x20; c != 'p' && c != 'a' && c != 'h' { // most of what is not Redis ends here
		return nil, bad("command", 0)
	}
	undecided := false
	for _, start := range [...]string{"PING\n", "PING\r\n", "AUTH ", "HELLO 2", "HELLO 3"} {
		n := min(len(b), len(start))
		if !bytes.EqualFold(b[:n], []byte(start[:n])) {
			continue
		}
		if n < len(start) {
			undecided = true
			continue
		}
		word := b[:4]
		if start[0] == 'H' {
			word = b[:5]
		}
		switch start[n-1] {
		case '\n':
			return word, complete(n)
		case '2', '3': // the version of the protocol, of one digit
			if len(b) > n && bytes.IndexByte([]byte(" \r\n"), b[n]) < 0 {
				return nil, bad("protover", n)
			}
		}
		line, r := textLine(b, n, "command")
		if r.isComplete() && endsInVersion(line) {
			return nil, bad("command", n)
		}
		return word, r
	}
	if !undecided {
		return nil, bad("command", 0)
	}
	return nil, short(max(len(b)+1, len("PING\n")))
}
