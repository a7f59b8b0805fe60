package detect

//go:generate go run ./internal/collisiontable

// Clients returns the detectors of this package that look at what a client sends first, in order of priority. HTTP09
// is not among them: it takes any line that begins with GET.
//
// The two for the PROXY protocol are first. Its specification forbids to guess, since anyone could then forge
// addresses: use Clients()[2:] where the sender is not trusted.
func Clients() []Detector {
	return []Detector{
		ProxyV1(), ProxyV2(), TLS(), SSLv2(), SOCKS5(), SOCKS4(), HTTP2(), JDWP(), Connect(), HTTP1(), RTSP(), SIP(), ICAP(), SSH(),
		Postgres(), RDP(), TDS(), MQTT(), AMQP(), LDAP(), SMB(), Redis(), Memcached(), Cassandra(), Kafka(), NATS(), MongoDB(), ADB(),
		XMPP(), Git(), Rsync(), SMTP(), IRC(), BitTorrent(), OpenVPN(),
		DNS(),
	}
}

// Servers returns the detectors of this package that look at what a server sends first, where it is the one to speak.
func Servers() []Detector {
	return []Detector{
		SSHServer(), SMTPServer(), FTPServer(), POP3Server(), IMAPServer(), NNTPServer(), SieveServer(), MySQLServer(),
		VNCServer(), RsyncServer(), TelnetServer(), IRCServer(), NATSServer(), Reply220(),
	}
}

// Datagrams returns the detectors of this package that look at a client's first datagram.
func Datagrams() []Detector {
	return []Detector{QUIC(), DTLS(), WireGuard(), STUN(), DNSDatagram()}
}

// Identify asks the detectors, which stand in order of priority, and returns the first Match as soon as no detector
// before it is undecided. It is NoMatch when all say so, and the caller then need not read on. A lower match does
// not overtake an undecided detector, else the verdict would depend on how the bytes arrived.
//
// With NeedMore, Need is the least that can bring a match. Detectors that look at the server's bytes are asked in a
// call of their own, since Need counts the bytes of one side.
func Identify(in Input, ds ...Detector) Verdict {
	_, v := Choose(in, ds)
	return v
}

// Choose is [Identify], and says which detector matched: its index, or -1.
func Choose(in Input, ds []Detector) (int, Verdict) {
	var undecided Verdict
	for i := range ds {
		d := &ds[i]
		v := d.detect(in)
		switch {
		case v.Kind == Match && undecided.Kind == NoMatch:
			return i, v
		case v.Kind == Match:
			// One more byte may end the doubt about those before it.
			undecided.Need = min(undecided.Need, d.seen(in)+1)
			return -1, undecided
		case v.Kind == NeedMore && undecided.Kind == NoMatch:
			undecided = v
		case v.Kind == NeedMore:
			undecided.Need = min(undecided.Need, v.Need)
		}
	}
	return -1, undecided
}

// seen is how many bytes there are of the side that the detector looks at.
func (d *Detector) seen(in Input) int {
	if d.ServerFirst {
		return len(in.Server)
	}
	return len(in.Client)
}

// Collision names two detectors that may both match the same bytes, and says why that is right.
type Collision struct {
	First, Second string // names; First stands before Second in its list
	Why           string
}

// Collisions returns all pairs of [Clients], of [Servers] and of [Datagrams] that may both match the same bytes. Any
// other pair that does is a defect.
func Collisions() []Collision {
	return []Collision{
		{"connect", "http", "CONNECT is a method of HTTP/1; it has a detector of its own because it opens a tunnel"},
		{"smtp-server", "220", "220 is what the greetings of all begin with, and stands last for those that name no protocol"},
		{"ftp-server", "220", "as for smtp-server"},
		{"jdwp", "http", "JDWP-Handshake could be a method; no debugger says more than that before it is answered"},
		{"jdwp", "rtsp", "as for http"},
		{"jdwp", "sip", "as for http"},
		{"jdwp", "icap", "as for http"},
		{"socks5", "mongodb", "a message of 261 bytes begins as a greeting with one method"},
		{"socks4", "mongodb", "a message of 260 or 516 bytes begins as a request for port 0"},
		{"cassandra", "mongodb", "a message of 65, 66 or 4101 bytes and the number 5 begins as OPTIONS"},
	}
}
