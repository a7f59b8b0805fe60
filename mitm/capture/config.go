package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Config says what is captured, and how it is written. The zero value captures decrypted
// flows as pcap.
type Config struct {
	// Format is that of the capture.
	Format Format

	// Views are what is written of a flow; nil means ViewDecrypted. Others need PCAPNG,
	// and a [Wire] to see them.
	Views []View

	// All adds the flows in which nothing was decrypted. Their ports are written
	// as they are.
	All bool

	// Cutoff is how many bytes of a flow are written in each direction, or of each view
	// of it. What comes later is counted, and marked as a gap before the end of the
	// conversation. Zero means that all are written.
	Cutoff int64

	// Port returns the server port that a decrypted flow is written with, where it is
	// known; nil means that it never is. Then PortMap says it, then the built-in table.
	Port    func(*bridge.Flow) (port uint16, ok bool)
	PortMap PortMap

	// Autoflush is how long a byte may wait for others before they are written.
	// Zero means a second; negative means until a quarter of a megabyte waits.
	Autoflush time.Duration

	// Application is what a PCAPNG says that wrote it; "" means "mitm".
	Application string

	// Log is told when the capture loses something; nil means slog.Default.
	Log *slog.Logger
}

// Validate says what is wrong with a Config, or nil.
func (c Config) Validate() error {
	switch {
	case c.Format != PCAP && c.Format != PCAPNG:
		return fmt.Errorf("format %d is not known", c.Format)
	case c.Cutoff < 0:
		return errors.New("a negative cutoff")
	case c.Format == PCAP && slices.ContainsFunc(c.Views, func(v View) bool { return v != ViewDecrypted }):
		return errors.New("only pcapng has other views than decrypted: pcap has no place for keys")
	}
	for i, v := range c.Views {
		if !slices.Contains(allViews, v) || slices.Contains(c.Views[:i], v) {
			return fmt.Errorf("views %q: want each of decrypted, client and server at most once", c.Views)
		}
	}
	return nil
}

// views are what is written of a flow.
func (c Config) views() []View {
	if c.Views == nil {
		return allViews[:1]
	}
	return c.Views
}

// Format is a file format.
type Format uint8

const (
	PCAP   Format = iota // little-endian, version 2.4, with microseconds
	PCAPNG               // with names, comments and the secrets of TLS
)

// ParseFormat parses "pcap" or "pcapng".
func ParseFormat(s string) (Format, error) {
	switch s {
	case "pcap":
		return PCAP, nil
	case "pcapng":
		return PCAPNG, nil
	}
	return PCAP, fmt.Errorf("%q: want pcap or pcapng", s)
}

// View is what of a flow is written. In a PCAPNG each is an interface of that name.
type View string

const (
	ViewDecrypted View = "decrypted" // application data, as a conversation of client and server
	ViewClient    View = "client"    // what the client's socket carried
	ViewServer    View = "server"    // what the server's socket carried
)

// allViews is not changed.
var allViews = []View{ViewDecrypted, ViewClient, ViewServer}

// ParseViews parses a list like "decrypted,client,server".
func ParseViews(list string) ([]View, error) {
	var views []View
	for name := range strings.SplitSeq(list, ",") {
		views = append(views, View(name))
	}
	return views, Config{Format: PCAPNG, Views: views}.Validate()
}

// PortMap says which server port a decrypted flow is written with, by that which it had.
type PortMap map[uint16]uint16

// ParsePortMap parses a list of pairs like "443:80,9443:9080".
func ParsePortMap(list string) (PortMap, error) {
	m := PortMap{}
	for pair := range strings.SplitSeq(list, ",") {
		from, to, _ := strings.Cut(pair, ":")
		f, ferr := strconv.ParseUint(from, 10, 16)
		t, terr := strconv.ParseUint(to, 10, 16)
		if ferr != nil || terr != nil || t == 0 {
			return nil, fmt.Errorf("%q: want pairs of ports like 443:80", pair)
		}
		if _, ok := m[uint16(f)]; ok {
			return nil, fmt.Errorf("%q: the port was named before", pair)
		}
		m[uint16(f)] = uint16(t)
	}
	return m, nil
}

// portOf returns the port that a decrypted flow is written with.
func (c Config) portOf(f *bridge.Flow, port uint16) uint16 {
	if c.Port != nil {
		if p, ok := c.Port(f); ok {
			return p
		}
	}
	if p, ok := c.PortMap[port]; ok {
		return p
	}
	return decryptedPort(port, innermostALPN(f))
}
