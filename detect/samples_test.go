package detect_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hellos reads the ClientHellos of real clients, by name.
func hellos(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../testdata/hellos/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hellos in testdata: %v", err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".bin")] = b
	}
	return all
}

// inRecords cuts the message of a hello in one record into records of the given sizes; the last takes the rest.
func inRecords(hello []byte, sizes ...int) []byte {
	msg := hello[5:]
	var out []byte
	for _, n := range append(sizes, len(hello)) {
		n = min(n, len(msg))
		if n == 0 {
			break
		}
		out = append(out, hello[0], hello[1], hello[2], byte(n>>8), byte(n))
		out = append(out, msg[:n]...)
		msg = msg[n:]
	}
	return out
}

// unhex reads hexadecimal digits, and text in quotes, as in 05 01 00 "abc".
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("sample %s: %v", s, err)
		}
		out = append(out, b...)
	}
	return out
}

// openings returns beginnings of conversations, valid and not, of every protocol here and of some others, and all flights.
func openings(t testing.TB) [][]byte {
	var all [][]byte
	for _, tt := range verdicts(t) {
		all = append(all, tt.client)
	}
	for _, f := range flights(t) {
		all = append(all, f.b)
	}
	return all
}

// strangers returns 1,000 random inputs and 1,000 of printable lines, always the same. None of them is a protocol here.
func strangers() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, 0, 2000)
	for range 1000 {
		b := make([]byte, 1+r.IntN(600))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		all = append(all, b)
	}
	words := strings.Fields("EHLO GET HELO the NICK host USER / a PONG RTSP/1.0 PASS REGISTER 220 SSH PROXY hello world, - 0 * 200 get PING CAP LS AUTH 201 RFB @RSYNCD: INFO")
	for range 1000 {
		var b bytes.Buffer
		for range 1 + r.IntN(40) {
			b.WriteString(words[r.IntN(len(words))])
			b.WriteString([]string{" ", "  ", "\n", "\r\n", "\t"}[r.IntN(5)])
		}
		all = append(all, b.Bytes())
	}
	return all
}
