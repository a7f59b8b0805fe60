package ca

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// someStatus is a status as it is read: in whole seconds.
func someStatus() *Status {
	now := time.Now().UTC().Truncate(time.Second)
	return &Status{ProducedAt: now.Add(-2 * time.Hour), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
}

func mustStaple(tb testing.TB, a *Authority, server *x509.Certificate, j Judgment) *tls.Certificate {
	tb.Helper()
	leaf, err := a.Mint(tb.Context(), server, j)
	if err != nil {
		tb.Fatalf("Mint(%v): %v", j.Verdict, err)
	}
	return leaf
}

// authorities are of every kind of key that a loaded one may have, and one is an intermediate.
func authorities(tb testing.TB) map[string]*Authority {
	tb.Helper()
	rsaText, err := os.ReadFile("testdata/leaf-rsa.key")
	if err != nil {
		tb.Fatal(err)
	}
	rsaKey, err := parseKey(rsaText)
	if err != nil {
		tb.Fatal(err)
	}
	keys := map[string]crypto.Signer{"RSA": rsaKey, "Ed25519": ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		keys[curve.Params().Name], err = deriveECDSA([]byte("authority"), "test", curve)
		if err != nil {
			tb.Fatal(err)
		}
	}
	all := map[string]*Authority{}
	for name, key := range keys {
		root := testRoot(tb, key, unchanged)
		all[name], err = load(tb, bundle{[]*x509.Certificate{root}, key}.text(tb))
		if err != nil {
			tb.Fatalf("load %s: %v", name, err)
		}
	}
	company, key := newOrigin(tb), newKey(tb)
	proxy := issue(tb, testRoot(tb, key, func(c *x509.Certificate) { c.Subject.CommonName = "Company Proxy" }), company.intermediate, key.Public(), company.intermediateKey)
	all["intermediate"], err = load(tb, bundle{[]*x509.Certificate{proxy, company.intermediate, company.root}, key}.text(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestAStapleSaysWhatTheServersSaid(t *testing.T) {
	server := newOrigin(t).leaf(t, plainServer(), newKey(t).Public())
	revoked, unknown, endless := someStatus(), someStatus(), someStatus()
	revoked.Code, revoked.RevokedAt, revoked.Reason = ocsp.Revoked, revoked.ThisUpdate.Add(-time.Hour), ocsp.KeyCompromise
	unknown.Code = ocsp.Unknown
	endless.NextUpdate = time.Time{}
	for name, a := range authorities(t) {
		for _, verdict := range allVerdicts {
			for _, want := range []*Status{someStatus(), revoked, unknown, endless} {
				leaf := mustStaple(t, a, server, Judgment{verdict, want})
				issuer := leaf.Leaf
				if signer := a.signer(verdict); signer != nil {
					issuer = signer.cert
				}
				if verdict == BadSignature {
					if _, err := readStatus(leaf.OCSPStaple, leaf.Leaf, issuer, time.Now()); err == nil {
						t.Errorf("%s: the pretender signs well", name)
					}
					continue
				}
				got, err := readStatus(leaf.OCSPStaple, leaf.Leaf, issuer, time.Now())
				if err != nil || *got != *want {
					t.Errorf("%s, %v: the staple says %+v, %v, want %+v", name, verdict, got, err, want)
				}
			}
		}
	}
}

func TestTheRootIsSentWithATrustedStapleOnly(t *testing.T) {
	server, status := newOrigin(t).leaf(t, plainServer(), newKey(t).Public()), someStatus()
	for name, a := range authorities(t) {
		for _, verdict := range allVerdicts {
			plain, stapled := mustStaple(t, a, server, Judgment{Verdict: verdict}), mustStaple(t, a, server, Judgment{verdict, status})
			want := plain.Certificate
			if a.signer(verdict) == a.trusted && name != "intermediate" {
				want = [][]byte{plain.Leaf.Raw, a.Certificate().Raw}
			}
			if !bytes.Equal(bytes.Join(stapled.Certificate, nil), bytes.Join(want, nil)) {
				t.Errorf("%s, %v: with a staple %d certificates are sent, want %d", name, verdict, len(stapled.Certificate), len(want))
			}
		}
	}
}

func TestAStapleIsNoPartOfTheCachedLeaf(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	plain := mustStaple(t, a, server, Judgment{Verdict: OK})
	stapled := mustStaple(t, a, server, Judgment{OK, someStatus()})
	newer := someStatus()
	newer.ThisUpdate = newer.ThisUpdate.Add(time.Second)
	renewed := mustStaple(t, a, server, Judgment{OK, newer})
	if plain.OCSPStaple != nil || mustStaple(t, a, server, Judgment{Verdict: OK}) != plain {
		t.Error("the leaf without a staple has changed")
	}
	if stapled.Leaf != plain.Leaf || renewed.Leaf != plain.Leaf {
		t.Error("a staple has another leaf")
	}
	if mustStaple(t, a, server, Judgment{OK, someStatus()}) != stapled {
		t.Error("a staple was signed twice")
	}
	if len(stapled.OCSPStaple) == 0 || bytes.Equal(renewed.OCSPStaple, stapled.OCSPStaple) {
		t.Error("the newer status has the older staple")
	}
}

func BenchmarkMintStapled(b *testing.B) {
	a, server := open(b, rsaDir(b)), newOrigin(b).leaf(b, plainServer(), newKey(b).Public())
	j := Judgment{OK, someStatus()}
	b.Run("cached=no", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			j.Status.Reason++ // which nobody sees of a good one
			mustStaple(b, a, server, j)
		}
	})
	b.Run("cached=yes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustStaple(b, a, server, j)
		}
	})
}
