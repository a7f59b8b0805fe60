package detect

import "net/netip"

// Input is what is known of a conversation so far. A detector reads it and neither keeps nor changes the slices.
type Input struct {
	// Client holds all bytes that came from the client so far, Server all that came from the server.
	Client, Server []byte

	// ClientEnded and ServerEnded say that no more will come from that side.
	ClientEnded, ServerEnded bool
}

// Kind is the class of a verdict. The zero value is NoMatch.
type Kind uint8

const (
	NoMatch  Kind = iota // not this protocol, whatever follows
	NeedMore             // undecided
	Match                // this protocol, whatever follows
)

// String returns "no match", "need more" or "match".
func (k Kind) String() string {
	switch k {
	case NoMatch:
		return "no match"
	case NeedMore:
		return "need more"
	case Match:
		return "match"
	}
	return "invalid kind"
}

// Verdict is a detector's answer. Make one with [No], [More] or [Yes].
type Verdict struct {
	Kind Kind

	// Need, with NeedMore, is a total of bytes of the side that is looked at, counted from its first: fewer cannot
	// make a match. (They may well make it a NoMatch, so ask again after every read.)
	Need int

	// Info, with Match, says what was recognised; else nil.
	Info *Info
}

// No is the verdict that the bytes are not of this protocol.
func No() Verdict { return Verdict{} }

// More is the verdict that a match takes total bytes, counted from the first, or more.
func More(total int) Verdict { return Verdict{Kind: NeedMore, Need: total} }

// Yes is the verdict that the bytes are of this protocol.
func Yes(info Info) Verdict { return Verdict{Kind: Match, Info: &info} }

// Info is what a detector can say about the protocol that it recognised. What it cannot say is zero. Text that came
// from the wire is printable ASCII or UTF-8 without control characters where a field says so, else raw: print it with %q.
type Info struct {
	// Protocol is the name: that of the detector, or where a protocol has several detectors (of either side, of its
	// ways over TCP and UDP) the one that they share.
	Protocol string

	// Version is the version as the protocol writes it: 1.3 (TLS: the highest that the client offers), 1.1 (HTTP),
	// 4 or 4a (SOCKS4), 1 or 2 (PROXY), 2.0 (SSH), 3.1.1 (MQTT).
	Version string

	// Verb is what the first message asks for, in the protocol's word: the request method (HTTP, raw), the command
	// (SOCKS4, Redis), the service (git), the API (Kafka).
	Verb string

	// Host and Port are the destination that the first message names: server_name (TLS, Port 0), the authority of
	// the request-target (HTTP, where it has one), the destination of SOCKS4. Host is a name or an IP without
	// brackets, of printable ASCII.
	Host string
	Port uint16

	// ALPN is the list of protocol names that a TLS client offers, in its order, raw.
	ALPN []string

	// User is who the client says it is, never a password: the USERID of SOCKS4, the user of a database, the client
	// identifier of MQTT. Without control characters.
	User string

	// Database is the database or keyspace that the client opens, without control characters.
	Database string

	// Path is what is asked for at the host: a repository, a resource, an application. Without control characters.
	Path string

	// Software is the name that a peer gives its program: softwareversion of SSH, the greeting of a mail server, the
	// version of MySQL. Printable ASCII.
	Software string

	// Src and Dst are the addresses of a PROXY header; not valid when it has none or is not complete yet.
	Src, Dst netip.AddrPort
}

// Detector recognises one protocol. It is a value without state, safe for concurrent use.
type Detector struct {
	// Name is the detector's name, unique among those that are asked together.
	Name string

	// Limit is the most bytes that the detector ever wants to see. Zero means 64 KiB.
	Limit int

	// ServerFirst says that the detector looks at the server's bytes; most look at the client's.
	ServerFirst bool

	// Datagram says that the detector looks at whole datagrams: the bytes are one of them, and no more of it will come.
	Datagram bool

	// Weak says that text of another protocol may well look like this one: a line that begins with one of its words is
	// all that there is to see.
	Weak bool

	// Parts are the detectors of which [Any], [All] or [Not] made this one. A part that matches allocates its Info, even
	// where the whole does not match.
	Parts []Detector

	// Func gives the verdict on the bytes alone. It need not look at ClientEnded and ServerEnded.
	Func func(Input) Verdict
}

// defaultLimit is the size of a detection buffer that nobody sized otherwise.
const defaultLimit = 64 << 10

// MaxBytes returns the limit that applies: Limit, or 64 KiB if that is zero.
func (d Detector) MaxBytes() int {
	if d.Limit <= 0 {
		return defaultLimit
	}
	return d.Limit
}

// Detect gives the detector's verdict on what is known so far. When the side that it looks at has ended, a NeedMore is
// a NoMatch: the rest will not come. It holds the limit even where Func would not: Func sees no byte beyond it, and a
// NeedMore that could only be satisfied beyond it is a NoMatch.
func (d Detector) Detect(in Input) Verdict { return d.detect(in) }

// detect is Detect without a copy of the detector, for those that are asked by the dozen.
func (d *Detector) detect(in Input) Verdict {
	side, ended := &in.Client, in.ClientEnded
	if d.ServerFirst {
		side, ended = &in.Server, in.ServerEnded
	}
	ended = ended || d.Datagram
	limit := d.MaxBytes()
	if len(*side) > limit {
		*side = (*side)[:limit]
	}
	v := d.Func(in)
	if v.Kind == NeedMore && (ended || len(*side) >= limit || v.Need > limit) {
		return No()
	}
	return v
}

// Func makes a detector of a function over the client's bytes, which wants to see limit of them at most.
func Func(name string, limit int, f func(client []byte) Verdict) Detector {
	return Detector{Name: name, Limit: limit, Func: func(in Input) Verdict { return f(in.Client) }}
}

// Prefix makes a detector of a fixed beginning of the client's bytes. An empty prefix matches at once.
func Prefix(name, prefix string) Detector {
	return Func(name, max(len(prefix), 1), func(client []byte) Verdict {
		switch hasPrefix(client, prefix) {
		case NoMatch:
			return No()
		case NeedMore:
			return More(len(prefix))
		}
		return Yes(Info{Protocol: name})
	})
}

// hasPrefix says whether buf begins with prefix, or could when more comes.
func hasPrefix(buf []byte, prefix string) Kind {
	n := min(len(buf), len(prefix))
	switch {
	case string(buf[:n]) != prefix[:n]:
		return NoMatch
	case n < len(prefix):
		return NeedMore
	}
	return Match
}
