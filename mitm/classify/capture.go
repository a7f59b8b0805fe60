package classify

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

// Config says what [Capture] asks, and how much it keeps. The zero value works.
type Config struct {
	// Clients, Servers and Datagrams are asked about flows; nil means those of package detect.
	Clients, Servers, Datagrams []detect.Detector

	// Flows is how many flows are known at once. Zero means 10,000.
	Flows int

	// Memory is how many bytes are kept of all flows together. Zero means 256 MiB; it is never less than what one
	// flow may take.
	Memory int
}

// families are those that a Config names.
type families struct{ clients, servers, datagrams Family }

func (c Config) families() families {
	f := families{Clients(), Servers(), Datagrams()}
	for _, each := range []struct {
		to  *Family
		own []detect.Detector
	}{{&f.clients, c.Clients}, {&f.servers, c.Servers}, {&f.datagrams, c.Datagrams}} {
		if each.own != nil {
			each.to.Detectors = each.own
		}
	}
	return f
}

// Summary counts what was in a capture.
type Summary struct {
	Packets   int `json:"packets"`
	Flows     int `json:"flows"`
	Matched   int `json:"matched"`   // flows of which one side at least is known
	Evicted   int `json:"evicted"`   // flows that were judged early, to make room
	Others    int `json:"others"`    // packets of neither TCP nor UDP, or of a link type that is not read
	Fragments int `json:"fragments"` // of IP packets, which are passed over
	Damaged   int `json:"damaged"`   // packets whose headers are cut off or cannot be
	Panics    int `json:"panics"`    // flows about which a detector panicked
}

// Losses says what was not looked at or not to the end, in words; empty if that is nothing.
func (s Summary) Losses() string {
	var words []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{s.Evicted, "flows judged early to make room"},
		{s.Others, "packets of other protocols"},
		{s.Fragments, "IP fragments passed over"},
		{s.Damaged, "packets with damaged headers"},
		{s.Panics, "flows on which a detector panicked"},
	} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(words, ", ")
}

// Capture reads a pcap or pcapng file and calls report with each flow: when it ends, or has to make room, and the rest
// at the end of the file, in the order in which they began. It never holds the whole file. The error is [ErrNotCapture],
// or a [*ReadError] where the file could not be read to its end; what could be read is reported all the same.
func Capture(r io.Reader, c Config, report func(Flow)) (Summary, error) {
	t := newTable(c, report)
	p, err := newPackets(r)
	for err == nil {
		var pkt packet
		if pkt, err = p.read(); err == nil {
			t.packet(pkt)
		}
	}
	t.finishAll()
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return t.summary, err
}
