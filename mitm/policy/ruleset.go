package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// ruleset is what a rule file says, made fit for fast decisions. It is not changed once it is made, but for the contents
// of its lists.
type ruleset struct {
	name, version string
	rules         []rule
	otherwise     outcome // the default

	lists    []mentioned
	failures *failures
	count    int           // the most failures that a rule asks for
	period   time.Duration // the longest time in which it does

	// The places of rules that match a word of the hello, the lowest for each word, and of the other rules in order.
	domains        *domains
	ja3, ja4, alpn map[string]uint32
	walked         []uint32
}

// rule is one of the rules. Its number is its place in the file from 1 on.
type rule struct {
	line        int
	active      bool
	kind        string
	expression  string // as it was written
	description string
	matcher     matcher
	outcome     outcome
}

// outcome is what an action says.
type outcome struct {
	action   Action
	target   bridge.Addr
	throttle int64
}

// label is what a flow's record says of the rule with that place.
func (s *ruleset) label(place int) string {
	if place == len(s.rules) {
		return "default"
	}
	if d := s.rules[place].description; d != "" {
		return d
	}
	return fmt.Sprintf("rule %d", place+1)
}

// index sorts the active rules into those that are looked up and those that are walked over.
func (s *ruleset) index() {
	s.domains = newDomains()
	s.ja3, s.ja4, s.alpn = make(map[string]uint32), make(map[string]uint32), make(map[string]uint32)
	for i, r := range s.rules {
		if !r.active {
			continue
		}
		place := uint32(i)
		switch m := r.matcher.(type) {
		case matchJA3:
			first(s.ja3, m.hash, place)
		case matchJA4:
			first(s.ja4, m.hash, place)
		case matchALPN:
			first(s.alpn, m.protocol, place)
		case matchDomain:
			s.indexDomain(m.name, place)
		case matchFailures:
			s.count, s.period = max(s.count, m.count), max(s.period, m.period)
			s.walked = append(s.walked, place)
		default:
			s.walked = append(s.walked, place)
		}
	}
}

// indexDomain adds a domain. Places are kept one higher in the index, where 0 is none.
func (s *ruleset) indexDomain(name string, place uint32) {
	if name == "" {
		s.walked = append(s.walked, place)
		return
	}
	s.domains.add(name, func(old uint32) uint32 {
		if old != 0 {
			return old
		}
		return place + 1
	})
}

func first(index map[string]uint32, word string, place uint32) {
	if _, ok := index[word]; !ok {
		index[word] = place
	}
}

// decide returns what the first rule that matches says.
func (s *ruleset) decide(q *query) Decision {
	q.sni = q.name()
	best, waits := s.first(q)
	o := s.outcome(best)
	d := Decision{Action: o.action, Target: o.target, Throttle: o.throttle, Rule: s.label(best)}
	if waits && s.awaits(q, best) {
		d.Action, d.Awaits, d.Then, d.rules, d.best = Inspect, true, o.action, s, best
	}
	return d
}

// decideByCert returns the outcome of the first rule before that of the place which is for such a certificate, else of
// that one, and its place.
func (s *ruleset) decideByCert(verdict string, best int) (place int, o outcome) {
	q := &query{Facts: Facts{ServerCert: verdict}}
	for _, place := range s.walked {
		if m, ok := s.rules[place].matcher.(matchServerCert); ok && int(place) < best && m.match(q) == yes {
			return int(place), s.rules[place].outcome
		}
	}
	return best, s.outcome(best)
}

// first returns the place of the first rule that matches, and whether one before it can't be told yet.
func (s *ruleset) first(q *query) (best int, waits bool) {
	best = s.indexed(q)
	for _, place := range s.walked {
		if int(place) >= best {
			break
		}
		switch s.rules[place].says(q) {
		case yes:
			return int(place), waits
		case open:
			waits = true
		}
	}
	return best, waits
}

// indexed returns the place of the first rule that matches by a word of the hello, else that of the default.
func (s *ruleset) indexed(q *query) int {
	best := uint32(len(s.rules))
	if q.NonTLS {
		return int(best)
	}
	if place, ok := s.domains.lowest(q.sni); ok {
		best = min(best, place-1)
	}
	if place, ok := s.ja3[q.JA3]; ok {
		best = min(best, place)
	}
	if place, ok := s.ja4[q.JA4]; ok {
		best = min(best, place)
	}
	for _, protocol := range q.ALPN {
		if place, ok := s.alpn[protocol]; ok {
			best = min(best, place)
		}
	}
	return int(best)
}

// says is what the rule's matcher says. What is in a hello can't match without one.
func (r *rule) says(q *query) verdict {
	if _, ofHello := r.matcher.(interface{ hello() }); ofHello && q.NonTLS {
		return no
	}
	return r.matcher.match(q)
}

func (s *ruleset) outcome(place int) outcome {
	if place == len(s.rules) {
		return s.otherwise
	}
	return s.rules[place].outcome
}

// awaits reports whether the certificate of the server makes a difference: a rule before that of the place would have
// something else done. Where the server is not to speak TLS it has none.
func (s *ruleset) awaits(q *query, best int) bool {
	o := s.outcome(best)
	if o.action == Terminate || o.action == Encrypt {
		return false
	}
	return slices.ContainsFunc(s.walked, func(place uint32) bool {
		if int(place) >= best || s.rules[place].says(q) != open {
			return false
		}
		other := s.rules[place].outcome
		return other.action != o.action || other.throttle != o.throttle
	})
}
