package policy

import (
	"net/netip"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Action is what becomes of a flow.
type Action string

// The actions. Which of them are of use depends on whether the client speaks TLS.
const (
	// Inspect decrypts TLS and encrypts it again. What is no TLS is handled as if no rule had matched.
	Inspect Action = "inspect"
	// PassOn relays the flow as it is, to the Target if there is one.
	PassOn Action = "bypass"
	// Block ends the flow.
	Block Action = "block"
	// Encrypt makes TLS with the server of a flow that is not. TLS is passed on: it is encrypted already.
	Encrypt Action = "encrypt"
	// Terminate decrypts TLS and goes on in plaintext. What is no TLS is handled as if no rule had matched.
	Terminate Action = "terminate"
)

// Facts are what is known of a flow when it is to be decided on.
type Facts struct {
	NonTLS      bool        // the client does not speak TLS; what is of the hello is empty then
	SNI         string      // server_name, in any case; "": there is none, or none that is a host name
	ALPN        []string    // the protocols that the client offers
	JA3, JA4    string      // of the hello
	ECH         bool        // encrypted_client_hello is there, be it real or GREASE
	Client      netip.Addr  // the source of the flow
	Destination bridge.Addr // what is dialled, or a proxy behind that is asked for; the host may be a name
	Path        string      // the layers around, outermost first, like proxy2>socks5; "raw" or "": there are none

	// ServerCert is what verifying the server's certificate came to, in the words of tlsbridge.Info.Verdict: "ok" or
	// what is wrong. It is "" as long as the server was not asked.
	ServerCert string
}

// FactsOf returns what is known of a flow that begins with a hello; nil: it begins with something else. The Destination is
// the flow's target: whoever dials something else sets it.
func FactsOf(f *bridge.Flow, hello *detect.ClientHello) Facts {
	facts := Facts{NonTLS: true}
	if hello != nil {
		facts = FactsOfHello(hello)
	}
	facts.Client, _ = f.Client().IP()
	facts.Destination, facts.Path = f.Target(), f.Path()
	return facts
}

// FactsOfHello returns what a hello says.
func FactsOfHello(hello *detect.ClientHello) Facts {
	return Facts{SNI: hello.ServerName, ALPN: hello.ALPN, ECH: hello.HasECH, JA3: hello.JA3(), JA4: hello.JA4()}
}

// name is the server_name as names are compared: in lower case, without a final dot.
func (f *Facts) name() string { return lowerName(f.SNI) }

func lowerName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// key is what the flow's failures are counted by.
func (f *Facts) key() Key {
	name := f.name()
	if name == "" {
		name = f.Destination.String()
	}
	return Key{Client: f.Client.String(), JA4: f.JA4, Name: name}
}

// Decision is what is to be done with a flow. The zero Decision inspects it.
type Decision struct {
	Action   Action      // "" is Inspect
	Target   bridge.Addr // what is dialled; none: what would be anyway. Port 0: its port is kept
	Throttle int64       // bytes a second, in each direction; 0: no limit
	Rule     string      // what has decided, a word for the flow's record; "": nothing has

	// Awaits says that a rule before this one asks for the server's certificate, and would have something else done. The
	// action is Inspect then; after the handshake with the server, and before the client is answered, WithServerCert
	// says what it really is: Inspect to go on, PassOn to dial again and pass everything on as it came, or Block.
	Awaits bool
	Then   Action // what it is when none of those rules matches; "" if it does not await them

	rules *ruleset
	best  int // the place in them of the rule that decides if none before it is for the certificate
}

// WithServerCert decides again, by the same rules, now that the verdict on the server's certificate is known. A Decision
// that does not await it stays what it is.
func (d Decision) WithServerCert(verdict string) Decision {
	if !d.Awaits || verdict == "" {
		return d
	}
	place, o := d.rules.decideByCert(verdict, d.best)
	return Decision{Action: o.action, Target: d.Target, Throttle: o.throttle, Rule: d.rules.label(place)}
}
