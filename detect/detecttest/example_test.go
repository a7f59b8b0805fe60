package detecttest_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// gopher detects a Gopher request (RFC 1436): a selector that begins with a slash, and CR LF.
func gopher() detect.Detector {
	const limit = 257
	return detect.Func("gopher", limit, func(client []byte) detect.Verdict {
		client = client[:min(len(client), limit)] // a line end beyond it must change nothing
		if len(client) > 0 && client[0] != '/' {
			return detect.No()
		}
		line, _, found := bytes.Cut(client, []byte("\r\n"))
		switch {
		case bytes.IndexByte(line, '\t') >= 0:
			return detect.No()
		case found:
			return detect.Yes(detect.Info{Protocol: "gopher"})
		case len(client) == limit:
			return detect.No()
		}
		return detect.More(len(client) + 1)
	})
}

func ExampleLaws() {
	// In a file that ends in _test.go:
	TestGopher := func(t *testing.T) {
		detecttest.Laws(t, gopher(), []byte("/about\r\n"), []byte("GET / HTTP/1.1\r\n\r\n"))
	}
	_ = TestGopher
}

func ExampleFuzz() {
	// In a file that ends in _test.go, run by go test -fuzz=FuzzGopher:
	FuzzGopher := func(f *testing.F) {
		detecttest.Fuzz(f, gopher(), []byte("/about\r\n"), []byte("/with\ttab\r\n"))
	}
	_ = FuzzGopher
}

// A match that depends on a line's end must look for it within the limit, too.
func ExampleCheck() {
	careless := detect.Func("careless", 5, func(client []byte) detect.Verdict {
		if bytes.HasSuffix(client, []byte("\n")) {
			return detect.Yes(detect.Info{Protocol: "careless"})
		}
		return detect.More(len(client) + 1)
	})
	fmt.Println(detecttest.Check(careless, []byte("a\nb")))
	// Output: careless breaks stability: need more, but at 2 bytes it was match, on 3 bytes: "a\nb"
}

func FuzzGopher(f *testing.F) {
	detecttest.Fuzz(f, gopher(), []byte("/about\r\n"), []byte("/with\ttab\r\n"))
}
