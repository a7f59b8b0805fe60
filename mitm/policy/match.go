package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// verdict is what a matcher says of a flow.
type verdict uint8

const (
	no verdict = iota
	yes
	open // what it depends on is not known yet
)

func is(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// query is a flow that is decided on.
type query struct {
	Facts
	sni      string // as names are compared
	failures *failures
}

// matcher is the match of a rule. Its methods are called from many goroutines.
type matcher interface {
	match(*query) verdict

	// seen says what of the flow was looked at, for people.
	seen(*query) string
}

// ofHello is embedded by matchers of what is in a hello: nothing else can match.
type ofHello struct{}

func (ofHello) hello() {}

// matchNonTLS matches flows that are no TLS.
type matchNonTLS struct{}

func (matchNonTLS) match(q *query) verdict { return is(q.NonTLS) }
func (matchNonTLS) seen(q *query) string {
	if q.NonTLS {
		return "it is not TLS"
	}
	return "it is TLS"
}

// seenName says which name the hello has.
func seenName(q *query) string {
	if q.sni == "" {
		return "there is no SNI"
	}
	return fmt.Sprintf("the SNI is %q", q.sni)
}

// matchDomain matches a name and those below it; "" matches hellos without one.
type matchDomain struct {
	ofHello
	name string
}

func (m matchDomain) match(q *query) verdict {
	if m.name == "" {
		return is(q.sni == "")
	}
	rest, ok := strings.CutSuffix(q.sni, m.name)
	return is(ok && (rest == "" || strings.HasSuffix(rest, ".")))
}
func (matchDomain) seen(q *query) string { return seenName(q) }

// matchRegexp matches names.
type matchRegexp struct {
	ofHello
	expression *regexp.Regexp
}

func (m matchRegexp) match(q *query) verdict {
	return is(q.sni != "" && m.expression.MatchString(q.sni))
}
func (matchRegexp) seen(q *query) string { return seenName(q) }

// matchList matches the names of a list.
type matchList struct {
	ofHello
	list *list
}

func (m matchList) match(q *query) verdict {
	_, ok := m.list.names.Load().listed(q.sni)
	return is(ok)
}

func (m matchList) seen(q *query) string {
	if by, ok := m.list.names.Load().listed(q.sni); ok {
		return fmt.Sprintf("%q is listed by %q", q.sni, by)
	}
	return seenName(q)
}

// list is a file of names, which is read again from time to time.
type list struct {
	listSpec
	names atomic.Pointer[domains]
}

// matchALPN matches hellos that offer a protocol.
type matchALPN struct {
	ofHello
	protocol string
}

func (m matchALPN) match(q *query) verdict { return is(slices.Contains(q.ALPN, m.protocol)) }
func (matchALPN) seen(q *query) string {
	if len(q.ALPN) == 0 {
		return "the hello has no ALPN"
	}
	return fmt.Sprintf("the ALPN is %q", q.ALPN)
}

// matchJA3 and matchJA4 match fingerprints.
type matchJA3 struct {
	ofHello
	hash string
}

func (m matchJA3) match(q *query) verdict { return is(q.JA3 == m.hash) }
func (matchJA3) seen(q *query) string     { return "the JA3 is " + orUnknown(q.JA3) }

type matchJA4 struct {
	ofHello
	hash string
}

func (m matchJA4) match(q *query) verdict { return is(q.JA4 == m.hash) }
func (matchJA4) seen(q *query) string     { return "the JA4 is " + orUnknown(q.JA4) }

func orUnknown(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

// matchECH matches hellos with encrypted_client_hello, or those without.
type matchECH struct {
	ofHello
	wanted bool
}

func (m matchECH) match(q *query) verdict { return is(q.ECH == m.wanted) }
func (matchECH) seen(q *query) string {
	if q.ECH {
		return "the hello has ECH"
	}
	return "the hello has no ECH"
}

// matchFailures matches clients that have refused, in one way or in any.
type matchFailures struct {
	ofHello
	how    tlsbridge.Refusal // NotRefused: any that ends a handshake
	count  int
	period time.Duration
}

func (m matchFailures) match(q *query) verdict {
	return is(q.failures.within(q.key(), m.how, m.period) >= m.count)
}

func (m matchFailures) seen(q *query) string {
	kind := "failures"
	if m.how != tlsbridge.NotRefused {
		kind = string(m.how)
	}
	return fmt.Sprintf("%d %s of this client and name in %v, of %d", q.failures.within(q.key(), m.how, m.period), kind, m.period, m.count)
}

// matchClient and matchDestination match addresses.
type matchClient struct{ prefixes []netip.Prefix }

func (m matchClient) match(q *query) verdict { return is(contains(m.prefixes, q.Client)) }
func (matchClient) seen(q *query) string {
	if !q.Client.IsValid() {
		return "the client is not known"
	}
	return fmt.Sprintf("the client is %v", q.Client)
}

type matchDestination struct{ prefixes []netip.Prefix }

func (m matchDestination) match(q *query) verdict {
	ip, ok := q.Destination.IP()
	return is(ok && contains(m.prefixes, ip))
}

func (matchDestination) seen(q *query) string {
	_, isIP := q.Destination.IP()
	switch {
	case q.Destination == bridge.Addr{}:
		return "the destination is not known"
	case !isIP:
		return fmt.Sprintf("the destination is a name, %q", q.Destination.Host)
	}
	return fmt.Sprintf("the destination is %v", q.Destination)
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// matchPath matches the layers around.
type matchPath struct{ pattern []string }

func (m matchPath) match(q *query) verdict {
	return is(pathMatches(m.pattern, strings.Split(pathOf(q), ">")))
}
func (matchPath) seen(q *query) string { return "the path is " + pathOf(q) }

func pathOf(q *query) string {
	if q.Path == "" {
		return "raw"
	}
	return q.Path
}

// matchServerCert matches verdicts on the server's certificate.
type matchServerCert struct {
	ofHello
	words []string
}

func (m matchServerCert) match(q *query) verdict {
	if q.ServerCert == "" {
		return open
	}
	return is(slices.Contains(m.words, certWord(q.ServerCert)))
}

func (matchServerCert) seen(q *query) string {
	if q.ServerCert == "" {
		return "the server's certificate is not known yet"
	}
	return "the server's certificate is " + certWord(q.ServerCert)
}

// certWords are what a rule can say of a certificate. Each verdict is one of them.
var certWords = []string{"valid", "expired", "selfsigned", "untrusted", "wronghost"}

// certWord returns the rules' word for a verdict. What is not one of the others is for whatever reason not to be trusted.
func certWord(verdict string) string {
	switch verdict {
	case ok:
		return "valid"
	case "expired":
		return "expired"
	case "self-signed":
		return "selfsigned"
	case "wrong host":
		return "wronghost"
	}
	return "untrusted"
}
