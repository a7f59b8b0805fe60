package detect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/detect"
)

// A client's bytes arrive in pieces; each time Identify is asked about all of them.
func Example() {
	var buf []byte
	for _, read := range []string{"\x04", "\x01\x00\x50\x00\x00\x00\x01", "me\x00exam", "ple.com\x00\x16\x03\x01"} {
		buf = append(buf, read...)
		v := detect.Identify(detect.Input{Client: buf}, detect.Clients()...)
		switch v.Kind {
		case detect.NoMatch:
			fmt.Println("unknown: relay it as it is")
		case detect.NeedMore:
			fmt.Printf("%d bytes: need %d\n", len(buf), v.Need)
		case detect.Match:
			fmt.Printf("%d bytes: %s version %s to %s:%d\n", len(buf), v.Info.Protocol, v.Info.Version, v.Info.Host, v.Info.Port)
		}
	}
	// Output:
	// 1 bytes: need 9
	// 8 bytes: need 9
	// 15 bytes: need 16
	// 26 bytes: socks4 version 4a to example.com:80
}

func ExampleIdentify() {
	in := detect.Input{Client: []byte("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n")}
	v := detect.Identify(in, detect.SOCKS5(), detect.Connect(), detect.HTTP1())
	fmt.Println(v.Kind, v.Info.Protocol, v.Info.Host, v.Info.Port)

	in = detect.Input{Client: []byte("CONNECT [2001:db8::1]"), ClientEnded: true}
	fmt.Println(detect.Identify(in, detect.Connect()).Kind)
	// Output:
	// match connect 2001:db8::1 443
	// no match
}

// A detector of one's own is a function over the client's bytes. This one knows MongoDB by the opcode in its header.
func ExampleFunc() {
	mongo := detect.Func("mongodb", 16, func(client []byte) detect.Verdict {
		if len(client) < 16 {
			return detect.More(16)
		}
		if op := binary.LittleEndian.Uint32(client[12:]); op != 2013 && op != 2004 {
			return detect.No()
		}
		return detect.Yes(detect.Info{Protocol: "mongodb"})
	})
	client := []byte("\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00")
	ds := append([]detect.Detector{mongo}, detect.Clients()...)
	fmt.Println(detect.Identify(detect.Input{Client: client}, ds...).Info.Protocol)
	// Output: mongodb
}

// HTTP takes any word for a method, and waits for the rest of the line: a detector of words stands before it.
func ExamplePrefix() {
	ds := append([]detect.Detector{detect.Prefix("jdwp", "JDWP-Handshake")}, detect.Clients()...)
	fmt.Println(detect.Identify(detect.Input{Client: []byte("JDWP-Hand")}, ds...).Kind)
	fmt.Println(detect.Identify(detect.Input{Client: []byte("JDWP-Handshake")}, ds...).Info.Protocol)
	// Output:
	// need more
	// jdwp
}

func ExampleParseProxyHeader() {
	buf := []byte("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / HTTP/1.1\r\n")
	h, n, err := detect.ParseProxyHeader(buf)
	fmt.Println(h.Src, h.Dst, err)
	line, _, _ := bytes.Cut(buf[n:], []byte("\r\n"))
	fmt.Printf("%s\n", line)

	_, _, err = detect.ParseProxyHeader(buf[:20])
	fmt.Println(err == detect.ErrShort)

	_, _, err = detect.ParseProxyHeader([]byte("PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n"))
	var malformed *detect.MalformedError
	fmt.Println(errors.As(err, &malformed), err)
	// Output:
	// 192.0.2.1:56324 198.51.100.7:443 <nil>
	// GET / HTTP/1.1
	// true
	// true proxy1: malformed source address at byte 11
}
