package detect_test

import (
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// Samples of one protocol at a time do not meet another's grammar, and a fuzzer takes long to spell HTTP/1.1. So these
// are put together of what each protocol takes, to be as near to another as it lets them.

// textNeighbours are lines that begin with a word of Redis, memcached, NATS, JDWP or ADB, and go on as a request does.
func textNeighbours() [][]byte {
	words := strings.Fields(`AUTH auth HELLO hello PING CONNECT JDWP-Handshake CNXN get gets gat gats set add replace append
		prepend cas delete incr decr touch version verbosity stats flush_all mg ms md ma mn me`)
	arguments := []string{"", " 2", " 3", " /", " *", " x", " sip:a@b", " rtsp://h/x", " http://h/", " h:1", " {}", ` {"a":1}`, " {} a", " a 0 0 5", " a 1 2 3 4", " a b"}
	ends := []string{"", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", " RTSP/1.0", " RTSP/2.0", " SIP/2.0", " ICAP/1.0", " HTTP/1.1 ", " 0", " noreply"}
	var all [][]byte
	for _, word := range words {
		for _, argument := range arguments {
			for _, end := range ends {
				for _, newline := range []string{"\r\n", "\n", " \r\n", "\r\nHost: h\r\n\r\n"} {
					all = append(all, []byte(word+argument+end+newline))
				}
			}
		}
	}
	return all
}

// binaryNeighbours are headers of CQL, MongoDB, Kafka and memcached whose first bytes mean something to others, too.
func binaryNeighbours(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	add := func(hex string) { all = append(all, unhex(t, hex)) }
	for _, version := range []string{"03", "04", "05", "06", "41", "42"} {
		for _, flags := range []string{"00", "01", "02", "03", "04", "08", "10", "11", "12", "1b"} {
			for _, stream := range []string{"0000", "0001", "0050", "8002"} {
				add(version + flags + stream + `05 00000000 00000000`)
				add(version + flags + stream + `01 00000016 0001 000b "CQL_VERSION" 0005 "3.0.0"`)
			}
		}
	}
	for _, start := range []string{
		"04010000 7f000001", "04020000 7f000001", "05010000 01000000", "41000000 05000000", "42000000 05000000",
		"05100000 05000000", "800b0000 00000000", "12010000 00000000", "30840000 00000000", "00070000 00120003", "16030000 01000000",
	} {
		for _, rest := range []string{
			"dd070000 00000000 00 20000000 10", "d4070000 00000000" + `"admin.$cmd" 00`, "dc070000 dd070000 30000000 02 00",
			"dd070000 0000000000000000 00000000",
		} {
			add(start + "00000000" + rest + strings.Repeat("00", 40))
		}
	}
	for _, start := range []string{"000e 38", "000e 50", "000f 38", "001d 00", "0007 00"} {
		add(start + "00 0012 0003 000000 0000000000 0000")
		add(start + "00 0000 0001 000000 0000000000 0000")
	}
	return all
}

func TestNeighboursExcludeEachOther(t *testing.T) {
	samples := append(textNeighbours(), binaryNeighbours(t)...)
	detecttest.Exclusive(t, detect.Clients(), detect.Collisions(), samples...)
	matched := map[string]int{}
	for _, b := range samples {
		for _, d := range detect.Clients() {
			if d.Detect(first(d, b)).Kind == detect.Match {
				matched[d.Name]++
			}
		}
	}
	for _, name := range strings.Fields("redis memcached nats jdwp cassandra mongodb kafka http connect rtsp sip icap socks4 socks5 openvpn") {
		if matched[name] == 0 {
			t.Errorf("no sample is of %s, so that nothing is shown about it", name)
		}
	}
}
