package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// Who sits at a terminal is told what is waited for; pipes, files and the null device are not.
func TestDetectSaysWhatItWaitsFor(t *testing.T) {
	open := func(name string) *os.File {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	tests := []struct {
		name string
		in   io.Reader
		want string
	}{
		{"a terminal", open("/dev/ptmx"), "mitm: detect: waiting for a capture on stdin; end it with Ctrl-D\n"},
		{"the null device", open(os.DevNull), ""},
		{"a file", open("detect_test.go"), ""},
		{"no file", strings.NewReader("x"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var errOut bytes.Buffer
			_, err := openInput(streams{in: tt.in, err: &errOut}, "-", "a capture")
			if err != nil || errOut.String() != tt.want {
				t.Errorf("stderr is %q, %v, want %q", errOut.String(), err, tt.want)
			}
		})
	}
}
