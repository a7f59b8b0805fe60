package interop

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// The checker that all captures are held against objects to one that editcap has damaged.
func TestADamagedCaptureIsNoticed(t *testing.T) {
	t.Parallel()
	s := startTapped(t, "127.0.0.1", "-w", peers.Here+"/t.pcap")
	client, server := s.connect(t)
	const text = "\x00hello, which is longer than the options of a SYN"
	pass(t, client, server, text)
	finishes(t, client, server)
	finishes(t, server, client)
	s.flow(t)
	s.finish(t)
	file, damaged := s.Dir+"/t.pcap", filepath.Join(t.TempDir(), "damaged.pcap")
	if all := conversations(t, file); len(all) != 1 || all[0].bytes != [2]int64{int64(len(text)), 0} {
		t.Fatalf("conversations %v, want one of %d bytes", all, len(text))
	}
	for _, lost := range []struct {
		packet int
		what   string
	}{{1, "SYN"}, {2, "the SYN's answer"}, {3, "the handshake's ACK"}, {4, "the data"}, {6, "the client's FIN"}, {7, "the server's FIN"}} {
		succeed(t, "editcap", "-F", "pcap", file, damaged, strconv.Itoa(lost.packet))
		if objections(t, damaged) == 0 {
			t.Errorf("nothing is said of the loss of %s", lost.what)
		}
	}
	succeed(t, "editcap", "-F", "pcap", "-o", "62", "-E", "1", "--seed", "1", file, damaged)
	if objections(t, damaged) == 0 {
		t.Error("nothing is said of wrong bytes")
	}
}

// objections counts what there is to say against a capture.
func objections(t *testing.T, file string) int {
	t.Helper()
	n := 0
	for _, c := range takeApart(t, "-r", file) {
		n += len(c.complaints)
	}
	return n
}
