package socks

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// fuzzCodec holds a codec to its laws. Of any bytes it says a message, short, or malformed, and with either of the
// latter two nothing else. Whatever follows a message does not change it; every truncation of it is short; more bytes
// do not mend what is malformed. A message is written back as it came.
func fuzzCodec(f *testing.F, c codec, limit int) {
	for _, m := range messages {
		wire := unhex(f, m.wire)
		f.Add(wire)
		f.Add(append(wire, wire...))
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		given := bytes.Clone(buf)
		m, n, err := c.parse(buf)
		if !bytes.Equal(buf, given) {
			t.Fatalf("Parse changed %x into %x", given, buf)
		}
		bad := (*detect.MalformedError)(nil)
		switch {
		case err == nil:
			checkMessage(t, c, m, buf, n, limit)
		case errors.Is(err, bridge.ErrShort) && len(buf) >= limit:
			t.Errorf("Parse(%x) is short of more than the limit of %d bytes", buf, limit)
		case !errors.Is(err, bridge.ErrShort) && !errors.As(err, &bad):
			t.Errorf("Parse(%x): %v, neither short nor malformed", buf, err)
		case n != 0 || !isZero(m):
			t.Errorf("Parse(%x) = %+v, %d with %v", buf, m, n, err)
		case bad != nil:
			if _, _, again := c.parse(append(buf, 0)); !reflect.DeepEqual(again, err) {
				t.Errorf("Parse(%x): %v, and with a byte more %v", given, err, again)
			}
		}
	})
}

func checkMessage(t *testing.T, c codec, m any, buf []byte, n, limit int) {
	if n <= 0 || n > len(buf) || n > limit {
		t.Fatalf("Parse(%x) has the length %d", buf, n)
	}
	wire, err := c.write(m)
	if err != nil || !bytes.Equal(wire, buf[:n]) {
		t.Errorf("Append(%+v) = %x, %v; it came as %x", m, wire, err, buf[:n])
	}
	for i := range n {
		if _, _, err := c.parse(buf[:i:i]); !errors.Is(err, bridge.ErrShort) {
			t.Errorf("Parse(%x), a truncation of %x: %v", buf[:i], buf[:n], err)
		}
	}
	if alone, length, err := c.parse(buf[:n:n]); err != nil || length != n || !reflect.DeepEqual(alone, m) {
		t.Errorf("Parse(%x) = %+v, %d, %v; with more behind it %+v, %d", buf[:n], alone, length, err, m, n)
	}
}

func FuzzUserPass(f *testing.F) { fuzzCodec(f, userPassCodec, maxUserPass) }

func FuzzGSSAPI(f *testing.F) { fuzzCodec(f, gssapiCodec, maxGSSAPI) }

// FuzzMech holds that any token at all has a mechanism or none, and that one which is told is a dotted identifier.
func FuzzMech(f *testing.F) {
	f.Add("\x60\x0d\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00")
	f.Add("\x60\x80\x06\x01\x2a")
	f.Fuzz(func(t *testing.T, token string) {
		if mech := mechOf(token); strings.Trim(mech, "0123456789.") != "" || len(mech) > 4*maxMech {
			t.Errorf("mechOf(%x) = %q", token, mech)
		}
	})
}

func FuzzRequest(f *testing.F) { fuzzCodec(f, requestCodec, maxMessage) }

func FuzzReply(f *testing.F) { fuzzCodec(f, replyCodec, maxMessage) }

func FuzzRequest4(f *testing.F) { fuzzCodec(f, request4Codec, maxRequest4) }

func FuzzReply4(f *testing.F) { fuzzCodec(f, reply4Codec, reply4Len) }

// FuzzSession feeds what is left to the next parser, as a whole SOCKS5 handshake of one side does.
func FuzzSession(f *testing.F) {
	f.Add(unhex(f, "05 02 0002 01 01 61 01 62 05 01 00 03 01 61 0050 474554"))
	f.Add(unhex(f, "05 02 01 00 05 00 00 01 7f000001 0050 48545450"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for _, side := range [][]codec{
			{greetingCodec, userPassCodec, requestCodec},
			{methodCodec, statusCodec, replyCodec},
		} {
			var back []byte
			rest := buf
			for _, c := range side {
				m, n, err := c.parse(rest)
				if err != nil {
					break
				}
				wire, err := c.write(m)
				if err != nil {
					t.Fatalf("Append(%+v): %v", m, err)
				}
				back, rest = append(back, wire...), rest[n:]
			}
			if whole := append(back, rest...); !bytes.Equal(whole, buf) {
				t.Errorf("%x comes back as %x", buf, whole)
			}
		}
	})
}
