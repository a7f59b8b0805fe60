package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/expiring"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// DefaultSize is a size for NewBypass that is out of the way of honest clients. It takes 4 MiB, and with the longest
// names 7.
const DefaultSize = 10_000

// Key is what refusals are counted by: a client and what it wants to reach.
type Key struct {
	Client string // host of the client's address
	JA4    string // of its hello
	Name   string // server_name in lower case without a final dot; when there is none, the target's host:port
}

// KeyOf returns the Key of a flow that begins with a hello.
func KeyOf(f *bridge.Flow, hello *detect.ClientHello) Key {
	return newKey(f, hello.ServerName, hello.JA4())
}

func newKey(f *bridge.Flow, serverName, ja4 string) Key {
	name := strings.ToLower(strings.TrimSuffix(serverName, "."))
	if name == "" {
		name = f.Target().String()
	}
	return Key{Client: f.Client().Host, JA4: ja4, Name: name}
}

// Bypass remembers which clients do not accept our certificates. It is safe for concurrent use. The nil Bypass is one
// that is off: it remembers nothing.
type Bypass struct {
	limit  weight
	period time.Duration
	tally  *expiring.Cache[Key, tally]
}

// NewBypass returns a Bypass that lets a client through for the period after it has refused count times within it, and
// remembers size clients and names at most, those that came last. All three must be positive; count is at most MaxCount.
func NewBypass(count int, period time.Duration, size int) *Bypass {
	if count < 1 || count > MaxCount || period <= 0 {
		panic(fmt.Sprintf("policy: NewBypass with count %d, period %v", count, period))
	}
	return &Bypass{limit: weight(count) * one, period: period, tally: expiring.New[Key, tally](size)}
}

// weight is how much a refusal counts, in twelfths.
type weight int

const one weight = 12

// weigh returns the weight of a refusal, and whether it is an alert about the certificate, which says what was wrong, or
// something that may mean nothing.
func weigh(r tlsbridge.Refusal) (w weight, weak bool) {
	switch r {
	case tlsbridge.UnknownCA, tlsbridge.CertificateUnknown, tlsbridge.BadCertificate,
		tlsbridge.CertificateRevoked, tlsbridge.UnsupportedCert:
		return one, false
	case tlsbridge.CertificateExpired, tlsbridge.ClosedOnCertificate:
		return one / 3, true
	case tlsbridge.SilentAfterHandshake:
		return one / 4, true
	}
	return 0, true
}

// tally is what is known of a key.
type tally struct {
	hard, weak weight
	refusals   int
	last       tlsbridge.Refusal
	until      time.Time // the end of the counting, or of the bypass
	bypassed   bool
}

// ok is the verdict on a server's certificate with which nothing is wrong.
const ok = "ok"

// Refused notes how a client has refused what it was shown in the place of a server's certificate, of which the verdict
// is given. It reports whether this is what has the client let through from now on.
func (b *Bypass) Refused(k Key, how tlsbridge.Refusal, verdict string) (begins bool) {
	w, weak := weigh(how)
	if b == nil || verdict != ok || w == 0 {
		return false
	}
	b.tally.Update(k, func(t tally, known bool) (tally, time.Duration) {
		now := time.Now()
		if !known {
			t.until = now.Add(b.period)
		}
		if t.bypassed {
			return t, t.until.Sub(now)
		}
		t.add(w, weak, how)
		if begins = t.hard+t.weak >= b.limit; begins {
			t.bypassed, t.until = true, now.Add(b.period)
		}
		return t, t.until.Sub(now)
	})
	return begins
}

func (t *tally) add(w weight, weak bool, how tlsbridge.Refusal) {
	if weak {
		t.weak += w
	} else {
		t.hard += w
	}
	t.refusals++
	t.last = how
}

// Accepted notes that a client has sent application data through an inspected flow: evidence that is not an alert does
// not count any more.
func (b *Bypass) Accepted(k Key) {
	if b == nil {
		return
	}
	b.tally.Update(k, func(t tally, known bool) (tally, time.Duration) {
		if !known || t.hard == 0 {
			return tally{}, 0
		}
		t.weak = 0
		// What silence had a part in does not stand without it.
		if t.bypassed && t.hard < b.limit {
			t.bypassed = false
		}
		return t, time.Until(t.until)
	})
}

// Bypassed reports whether a client is let through.
func (b *Bypass) Bypassed(k Key) bool {
	if b == nil {
		return false
	}
	t, _ := b.tally.Get(k)
	return t.bypassed
}

// Entry is what a Bypass remembers of a client and a name.
type Entry struct {
	Key
	Refusals int               // how many there were
	Last     tlsbridge.Refusal // how it refused the last time
	Weight   float64           // of the refusals that still count
	Bypassed bool              // it is let through
	Until    time.Time         // the end of that, else of the counting
}

// List returns what is remembered, the keys that were asked for last first.
func (b *Bypass) List() []Entry {
	if b == nil {
		return nil
	}
	var list []Entry
	for k, t := range b.tally.All() {
		list = append(list, Entry{
			Key: k, Refusals: t.refusals, Last: t.last,
			Weight: float64(t.hard+t.weak) / float64(one), Bypassed: t.bypassed, Until: t.until,
		})
	}
	return list
}

// Clear forgets everything.
func (b *Bypass) Clear() {
	if b != nil {
		b.tally.Clear()
	}
}
