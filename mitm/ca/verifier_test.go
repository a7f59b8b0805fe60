package ca

import (
	"crypto/x509"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

// TestAVerifierSaysTheSameAgain has one verifier see every trouble under every name, in an order of chance: what is
// remembered of one must not launder another.
func TestAVerifierSaysTheSameAgain(t *testing.T) {
	all := troubles(t)
	hosts := []string{"www.example.com", "other.example", "192.0.2.1", ""}
	verifiers := map[*x509.Certificate]*Verifier{}
	for _, trouble := range all {
		if verifiers[trouble.root] == nil {
			verifiers[trouble.root] = NewVerifier(poolOf(trouble.root))
		}
	}
	for range 3 {
		for _, i := range rand.Perm(len(all) * len(hosts)) {
			trouble, host := all[i/len(hosts)], hosts[i%len(hosts)]
			for root, verifier := range verifiers {
				want := Classify(trouble.chain, poolOf(root), host, time.Now())
				if got := verifier.Verify(trouble.chain, nil, host); got.Verdict != want || got.Status != nil {
					t.Errorf("%s, as %q: Verify = %+v, want %v", trouble.name, host, got, want)
				}
			}
		}
	}
}

func TestAVerifierRemembers(t *testing.T) {
	o := newOrigin(t)
	leaf := o.leaf(t, plainServer(), newKey(t).Public())
	stapled := staple(t, o.intermediate, goodStatus(leaf), o.intermediateKey)
	v := NewVerifier(o.roots())
	first := v.Verify([]*x509.Certificate{leaf, o.intermediate}, stapled, "www.example.com")
	if again := v.Verify([]*x509.Certificate{leaf, o.intermediate}, stapled, "www.example.com"); again.Status == nil || again != first {
		t.Errorf("the second time %+v, the first %+v: the staple was read anew", again, first)
	}
	if other := v.Verify([]*x509.Certificate{leaf, o.intermediate}, stapled, "other.example"); other.Verdict != WrongHost || other.Status == first.Status {
		t.Errorf("for another name %+v, of the judgment for the first", other)
	}
	if alone := v.Verify([]*x509.Certificate{leaf}, stapled, "www.example.com"); alone.Verdict != UnknownIssuer || alone.Status != nil {
		t.Errorf("without the intermediate %+v", alone)
	}
}

// TestAVerifierLooksAtTheTime moves the time over each date of a chain.
func TestAVerifierLooksAtTheTime(t *testing.T) {
	const at, life = time.Minute, 1000 * time.Hour
	valid := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	tests := []struct {
		name               string
		root, middle, leaf func(*x509.Certificate)
		before, then       Verdict // up to that date, and from the next instant
		late               time.Duration
	}{
		{"the leaf ends", valid(-life, life), valid(-life, life), valid(-life, at), OK, Expired, 1},
		{"the leaf begins", valid(-life, life), valid(-life, life), valid(at, life), Expired, OK, 0},
		{"the intermediate ends", valid(-life, life), valid(-life, at), valid(-life, life), OK, UnknownIssuer, 1},
		{"the intermediate begins", valid(-life, life), valid(at, life), valid(-life, life), UnknownIssuer, OK, 0},
		{"the root ends", valid(-life, at), valid(-life, life), valid(-life, life), OK, UnknownIssuer, 1},
		{"the root begins", valid(at, life), valid(-life, life), valid(-life, life), UnknownIssuer, OK, keptFor},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t)
				root, middle, template := *o.root, *o.intermediate, plainServer()
				test.root(&root)
				test.middle(&middle)
				test.leaf(template)
				o.root = issue(t, &root, &root, o.rootKey.Public(), o.rootKey)
				o.intermediate = issue(t, &middle, o.root, o.intermediateKey.Public(), o.rootKey)
				v, chain := NewVerifier(o.roots()), []*x509.Certificate{o.leaf(t, template, newKey(t).Public()), o.intermediate}
				verify := func(want Verdict) {
					t.Helper()
					if got := v.Verify(chain, nil, "www.example.com").Verdict; got != want {
						t.Errorf("after %v: Verify = %v, want %v", time.Since(bubbleStart), got, want)
					}
				}
				verify(test.before)
				time.Sleep(at - 1)
				verify(test.before)
				time.Sleep(1 + test.late)
				verify(test.then)
				time.Sleep(2 * keptFor)
				verify(test.then)
			})
		})
	}
}

// bubbleStart is the time at which each bubble of testing/synctest begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestAVerifierForgetsAStatusThatHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t)
		chain := []*x509.Certificate{o.leaf(t, plainServer(), newKey(t).Public()), o.intermediate}
		template := goodStatus(chain[0])
		template.NextUpdate = time.Now().Add(time.Minute)
		v, stapled := NewVerifier(o.roots()), staple(t, o.intermediate, template, o.intermediateKey)
		for _, test := range []struct {
			after time.Duration
			want  bool
		}{{0, true}, {time.Minute + ocspSkew, true}, {1, false}} {
			time.Sleep(test.after)
			if got := v.Verify(chain, stapled, "www.example.com"); (got.Status != nil) != test.want || got.Verdict != OK {
				t.Errorf("%v later: %+v, want a status = %v", test.after, got, test.want)
			}
		}
	})
}

func TestRevokedIsWhatTheIssuerOfAGoodLeafSays(t *testing.T) {
	o, unknown := newOrigin(t), newOrigin(t)
	by := func(o *origin, change func(*x509.Certificate)) []*x509.Certificate {
		template := plainServer()
		change(template)
		return []*x509.Certificate{o.leaf(t, template, newKey(t).Public()), o.intermediate}
	}
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	tests := []struct {
		name  string
		chain []*x509.Certificate
		by    *origin
		host  string
		want  Verdict
		known bool // what the staple says
	}{
		{"it is good otherwise", by(o, unchanged), o, "www.example.com", Revoked, true},
		{"it is expired", by(o, past), o, "www.example.com", Revoked, true},
		{"it is for another host", by(o, unchanged), o, "other.example", Revoked, true},
		{"its issuer is unknown", by(unknown, unchanged), unknown, "www.example.com", UnknownIssuer, true},
		{"somebody else says so", by(o, unchanged), unknown, "www.example.com", OK, false},
		{"its issuer is not sent", by(unknown, unchanged)[:1], unknown, "www.example.com", UnknownIssuer, false},
	}
	for _, test := range tests {
		template := goodStatus(test.chain[0])
		template.Status, template.RevokedAt = ocsp.Revoked, time.Now().Add(-time.Hour)
		revoked := staple(t, test.by.intermediate, template, test.by.intermediateKey)
		got := NewVerifier(o.roots()).Verify(test.chain, revoked, test.host)
		if got.Verdict != test.want || (got.Status != nil) != test.known {
			t.Errorf("%s: %+v, want %v and a status = %v", test.name, got, test.want, test.known)
		}
	}
}

func TestARootHasNoStatus(t *testing.T) {
	template, key := plainServer(), newKey(t)
	leaf := issue(t, template, template, key.Public(), key)
	v := NewVerifier(poolOf(leaf))
	if got := v.Verify([]*x509.Certificate{leaf, leaf}, staple(t, leaf, goodStatus(leaf), key), "www.example.com"); got != (Judgment{Verdict: OK}) {
		t.Errorf("%+v, want no more than OK", got)
	}
}

func TestAsIfValid(t *testing.T) {
	now := time.Now()
	revoked := &Status{Code: ocsp.Revoked, RevokedAt: now, Reason: 1, ProducedAt: now, ThisUpdate: now, NextUpdate: now.Add(1)}
	good := Status{ProducedAt: now, ThisUpdate: now, NextUpdate: now.Add(1)}
	if got := (Judgment{Revoked, revoked}).AsIfValid(); got.Verdict != OK || *got.Status != good {
		t.Errorf("revoked becomes %v, %+v", got.Verdict, got.Status)
	}
	if revoked.Code != ocsp.Revoked {
		t.Error("the status was changed, which is shared")
	}
	if got := (Judgment{Expired, &good}).AsIfValid(); got != (Judgment{OK, &good}) {
		t.Errorf("good becomes %+v", got)
	}
	if got := (Judgment{}).AsIfValid(); got != (Judgment{Verdict: OK}) {
		t.Errorf("no status becomes %+v", got)
	}
}

func BenchmarkVerify(b *testing.B) {
	o := newOrigin(b)
	chain := []*x509.Certificate{o.leaf(b, plainServer(), newKey(b).Public()), o.intermediate}
	stapled := staple(b, o.intermediate, goodStatus(chain[0]), o.intermediateKey)
	for name, staple := range map[string][]byte{"no": nil, "yes": stapled} {
		b.Run("staple="+name+"/cached=no", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				judge(chain, staple, o.roots(), "www.example.com", time.Now())
			}
		})
		b.Run("staple="+name+"/cached=yes", func(b *testing.B) {
			v := NewVerifier(o.roots())
			b.ReportAllocs()
			for b.Loop() {
				v.Verify(chain, staple, "www.example.com")
			}
		})
	}
}
