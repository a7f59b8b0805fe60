package main

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestAFrontWaitsForSuccess(t *testing.T) {
	origin := netip.MustParseAddrPort("127.0.0.1:8000")
	tests := []struct {
		name    string
		front   front
		answers []string // one to each message
		want    string   // of the error; "": none
	}{
		{"no front", direct, nil, ""},
		{"SOCKS5 success", socks5, []string{"\x05\x00", "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x09"}, ""},
		{"SOCKS5 without a method", socks5, []string{"\x05\xff"}, "method 05ff"},
		{"SOCKS5 refused", socks5, []string{"\x05\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"}, "reply 0505"},
		{"SOCKS5 cut short", socks5, []string{"\x05"}, "read method: unexpected EOF"},
		{"CONNECT success", httpConnect, []string{"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n"}, ""},
		{"CONNECT refused", httpConnect, []string{"HTTP/1.1 403 No\r\n\r\n"}, `answer "HTTP/1.1 403 No`},
		{"CONNECT cut short", httpConnect, []string{"HTTP/1.1 200 OK\r\n"}, "read answer: EOF"},
		{"CONNECT without end", httpConnect, []string{"HTTP/1.1 200 " + strings.Repeat("O", 1100)}, "over a kibibyte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			done := make(chan struct{})
			go answer(theirs, tt.answers, done)
			err := tt.front(ours, origin)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			ours.Close()
			<-done
		})
	}
}

// answer answers each message that it reads.
func answer(c net.Conn, answers []string, done chan<- struct{}) {
	defer close(done)
	defer c.Close()
	for _, a := range answers {
		// A pipe hands over what one Write wrote.
		if _, err := c.Read(make([]byte, 1024)); err != nil {
			return
		}
		io.WriteString(c, a)
	}
}
