package httpconnect

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// goproxy is a response of that library, with bytes of the tunnel behind it.
const goproxy = "HTTP/1.0 200 OK\r\n\r\n"

func TestParseResponseHead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       ResponseHead
	}{
		{"a grant without fields", goproxy, ResponseHead{Status: 200, Reason: "OK"}},
		{"no reason", "HTTP/1.1 200 \r\n\r\n", ResponseHead{Minor: 1, Status: 200}},
		{"no reason and no space", "HTTP/1.1 204\r\n\r\n", ResponseHead{Minor: 1, Status: 204}},
		{"lines that end in LF", "HTTP/1.1 200 OK\nA: b\n\n", ResponseHead{
			Minor: 1, Status: 200, Reason: "OK", Fields: []detect.Field{{Name: "A", Value: "b", Start: 16, End: 21}},
		}},
		{"a reason with blanks", "HTTP/1.1 200 Connection established  \r\n\r\n", ResponseHead{
			Minor: 1, Status: 200, Reason: "Connection established  ",
		}},
		{"fields in order", "HTTP/1.1 407 Who\r\nA:1\r\nb: \t2 \r\nA:\r\n\r\n", ResponseHead{
			Minor: 1, Status: 407, Reason: "Who", Fields: []detect.Field{
				{Name: "A", Value: "1", Start: 18, End: 23},
				{Name: "b", Value: "2", Start: 23, End: 31},
				{Name: "A", Start: 31, End: 35},
			},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, n, err := ParseResponseHead([]byte(c.text + "surplus"))
			if err != nil || n != len(c.text) {
				t.Fatalf("ParseResponseHead(%q) has the length %d, %v; want %d", c.text, n, err, len(c.text))
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("ParseResponseHead(%q): %s", c.text, diff)
			}
			for i := range len(c.text) {
				if _, _, err := ParseResponseHead([]byte(c.text[:i])); !errors.Is(err, bridge.ErrShort) {
					t.Errorf("ParseResponseHead(%q), a truncation: %v", c.text[:i], err)
				}
			}
		})
	}
}

func TestParseResponseHeadNotesFaults(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"a folded field", "A: b\r\n c\r\n", "obs-fold"},
		{"a fold before any field", " c\r\n", "obs-fold"},
		{"white space before the colon", "A : b\r\n", "white space before the colon"},
		{"a line without a colon", "A\r\n", "field-name"},
		{"a name that is no token", "A(: b\r\n", "field-name"},
		{"an empty name", ": b\r\n", "field-name"},
		{"CR in a value", "A: b\rc\r\n", "field-value"},
		{"NUL in a value", "A: b\x00c\r\n", "field-value"},
		{"the first of several", "A : b\r\n c\r\n", "white space before the colon"},
		{"none", "A: b\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _, err := ParseResponseHead([]byte("HTTP/1.1 200 OK\r\n" + c.line + "\r\n"))
			if err != nil || h.Fault != c.want {
				t.Errorf("fault of %q: %q, %v; want %q", c.line, h.Fault, err, c.want)
			}
		})
	}
}

func TestParseResponseHeadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, field string }{
		{"another protocol", "ICY 200 OK\r\n\r\n", "status-line"},
		{"a request", "GET / HTTP/1.1\r\n\r\n", "status-line"},
		{"another major version", "HTTP/2.0 200 OK\r\n\r\n", "status-line"},
		{"a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "status-line"},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "status-line"},
		{"a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "status-line"},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", "status-line"},
		{"CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", "status-line"},
		{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", "status-line"},
		{"a head without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", MaxHead), "length"},
		{"a status line without end", "HTTP/1.1 200 " + strings.Repeat("b", MaxHead), "length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, n, err := ParseResponseHead([]byte(c.text))
			if bad := asMalformed(err); bad == nil || bad.Field != c.field || n != 0 {
				t.Errorf("ParseResponseHead(%.40q) = %d, %v; want malformed %s", c.text, n, err, c.field)
			}
		})
	}
}

func TestParseResponseHeadAtItsLimit(t *testing.T) {
	head := func(n int) []byte {
		const start, end = "HTTP/1.1 200 OK\r\nA: ", "\r\n\r\n"
		return []byte(start + strings.Repeat("b", n-len(start)-len(end)) + end)
	}
	if _, n, err := ParseResponseHead(head(MaxHead)); err != nil || n != MaxHead {
		t.Errorf("a head of %d bytes: %d, %v", MaxHead, n, err)
	}
	if _, _, err := ParseResponseHead(head(MaxHead + 1)); asMalformed(err) == nil {
		t.Errorf("a head of %d bytes: %v, want malformed", MaxHead+1, err)
	}
}

func FuzzParseResponseHead(f *testing.F) {
	for _, seed := range []string{
		goproxy, "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 200\nA : b\n c\n\n", "HTTP/1.1 200 \x00\r\n\r\n", "HTTP/1.1 200 \r",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		h, n, err := ParseResponseHead(buf)
		switch {
		case errors.Is(err, bridge.ErrShort):
			if len(buf) >= MaxHead || h != nil || n != 0 {
				t.Errorf("short of %d bytes, with %v, %d", len(buf), h, n)
			}
			return
		case err != nil:
			if _, _, again := ParseResponseHead(append(buf[:len(buf):len(buf)], '\n')); asMalformed(again) == nil {
				t.Errorf("%q: %v, and with a byte more: %v", buf, err, again)
			}
			return
		}
		checkHead(t, buf[:n], h)
	})
}

// checkHead checks that a head's fields are the lines of its bytes, and that no truncation is one.
func checkHead(t *testing.T, raw []byte, h *ResponseHead) {
	lines := 0
	for i, f := range h.Fields {
		if f.Start >= f.End || f.End > len(raw) || i > 0 && f.Start != h.Fields[i-1].End {
			t.Fatalf("field %d of %q is at %d to %d", i, raw, f.Start, f.End)
		}
		if !strings.Contains(string(raw[f.Start:f.End]), f.Value) {
			t.Errorf("value %q is not in %q", f.Value, raw[f.Start:f.End])
		}
		lines++
	}
	if got := strings.Count(string(raw), "\n"); got != lines+2 {
		t.Errorf("%q has %d lines and %d fields", raw, got, lines)
	}
	for _, i := range []int{0, len(raw) / 2, len(raw) - 1} {
		if _, _, err := ParseResponseHead(raw[:i]); !errors.Is(err, bridge.ErrShort) {
			t.Errorf("%q, a truncation: %v", raw[:i], err)
		}
	}
}
