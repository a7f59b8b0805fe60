package classify

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

// Names of whom bytes are from.
const (
	Client   = "client"   // what a client sent first on a stream
	Server   = "server"   // what a server sent first on a stream
	Datagram = "datagram" // a client's first datagram
)

// The verdicts of an [Answer].
const (
	Match     = "match"     // the protocol is known
	None      = "none"      // no detector knows it, whatever follows
	Undecided = "undecided" // more bytes would be needed, and may follow
	Silent    = "silent"    // there is not a byte
)

// Family is a list of detectors, in order of priority, that look at the bytes of the same side.
type Family struct {
	From      string // Client, Server or Datagram
	Detectors []detect.Detector
}

// Clients returns the family of [detect.Clients].
func Clients() Family { return Family{Client, detect.Clients()} }

// Servers returns the family of [detect.Servers].
func Servers() Family { return Family{Server, detect.Servers()} }

// Datagrams returns the family of [detect.Datagrams].
func Datagrams() Family { return Family{Datagram, detect.Datagrams()} }

// Answer is what a family says of some bytes. In JSON it is flat, without the fields that say nothing.
type Answer struct {
	From    string `json:"from"`
	Verdict string `json:"verdict"` // Match, None, Undecided or Silent
	Bytes   int    `json:"bytes"`   // how many there were to look at

	// Need, when undecided, is the least total of bytes that can bring a match.
	Need int `json:"need,omitempty"`

	// Detector is the name of the one that matched. What follows are the fields of a [detect.Info].
	Detector string   `json:"detector,omitempty"`
	Protocol string   `json:"protocol,omitempty"`
	Version  string   `json:"version,omitempty"`
	Verb     string   `json:"verb,omitempty"`
	Host     string   `json:"host,omitempty"`
	ALPN     []string `json:"alpn,omitempty"`
	User     string   `json:"user,omitempty"`
	Database string   `json:"database,omitempty"`
	Path     string   `json:"path,omitempty"`
	Software string   `json:"software,omitempty"`

	// JA3 and JA4 are the fingerprints of a TLS client.
	JA3 string `json:"ja3,omitempty"`
	JA4 string `json:"ja4,omitempty"`

	Port uint16         `json:"port,omitempty"`
	Src  netip.AddrPort `json:"src,omitzero"`
	Dst  netip.AddrPort `json:"dst,omitzero"`
}

// Identify says what the bytes are. With ended no more of them will come.
func (f Family) Identify(data []byte, ended bool) Answer {
	a := Answer{From: f.From, Verdict: None, Bytes: len(data)}
	if len(data) == 0 {
		a.Verdict = Silent
		return a
	}
	i, v := detect.Choose(f.input(data, ended), f.Detectors)
	switch v.Kind {
	case detect.NeedMore:
		a.Verdict, a.Need = Undecided, v.Need
	case detect.Match:
		a.Verdict, a.Detector = Match, f.Detectors[i].Name
		a.tell(v.Info, data)
	}
	return a
}

// input shows the bytes on the side that the family looks at.
func (f Family) input(data []byte, ended bool) detect.Input {
	if f.From == Server {
		return detect.Input{Server: data, ServerEnded: ended}
	}
	return detect.Input{Client: data, ClientEnded: ended}
}

// tell takes over what a detector could say of the bytes.
func (a *Answer) tell(info *detect.Info, data []byte) {
	a.Protocol, a.Version, a.Verb = info.Protocol, info.Version, info.Verb
	a.Host, a.Port, a.ALPN = info.Host, info.Port, info.ALPN
	a.User, a.Database, a.Path, a.Software = info.User, info.Database, info.Path, info.Software
	a.Src, a.Dst = info.Src, info.Dst
	if a.From != Client {
		return
	}
	if hello, _, err := detect.ParseClientHello(data); err == nil {
		a.JA3, a.JA4 = hello.JA3(), hello.JA4()
	}
}

// String is the answer on one line: the protocol, and name=value for what else is known; or that it is unknown.
func (a Answer) String() string {
	switch a.Verdict {
	case Match:
	case None:
		return "unknown"
	case Undecided:
		return fmt.Sprintf("undecided bytes=%d need=%d", a.Bytes, a.Need)
	default:
		return a.Verdict
	}
	words := []string{a.Protocol}
	for _, pair := range []struct{ name, value string }{
		{"version", a.Version},
		{"verb", a.Verb},
		{"host", a.Host},
		{"alpn", strings.Join(a.ALPN, ",")},
		{"user", a.User},
		{"database", a.Database},
		{"path", a.Path},
		{"software", a.Software},
		{"ja3", a.JA3},
		{"ja4", a.JA4},
	} {
		if pair.value != "" {
			words = append(words, fmt.Sprintf("%s=%q", pair.name, pair.value))
		}
	}
	if a.Port != 0 {
		words = append(words, fmt.Sprintf("port=%d", a.Port))
	}
	if a.Src.IsValid() {
		words = append(words, fmt.Sprintf("src=%s dst=%s", a.Src, a.Dst))
	}
	return strings.Join(words, " ")
}
