package ca

import (
	"crypto"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestMintNameServesNamesAndAddresses(t *testing.T) {
	a := open(t, rsaDir(t))
	long := strings.Repeat(strings.Repeat("a", 60)+".", 3) + "example"
	for name, hosts := range map[string][]string{
		"proxy.example":    {"proxy.example", "PROXY.example"},
		"Proxy.Example.":   {"proxy.example"},
		"localhost":        {"localhost"},
		"a_b.example":      {"a_b.example"},
		long:               {long},
		"192.0.2.7":        {"192.0.2.7"},
		"::ffff:192.0.2.7": {"192.0.2.7"},
		"2001:db8::7":      {"2001:db8::7", "[2001:db8:0::7]"},
		"[2001:db8::7]":    {"2001:db8::7"},
		"fe80::1%eth0":     {"fe80::1"},
	} {
		leaf, err := a.MintName(t.Context(), name)
		if err != nil {
			t.Errorf("MintName(%q): %v", name, err)
			continue
		}
		for _, host := range hosts {
			if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: poolOf(a.Certificate()), DNSName: host}); err != nil {
				t.Errorf("leaf of %q does not serve %q: %v", name, host, err)
			}
		}
		if len(leaf.Certificate) != 1 || !matches(leaf.PrivateKey.(crypto.Signer), leaf.Leaf.PublicKey) {
			t.Errorf("leaf of %q: %d certificates, or another's key", name, len(leaf.Certificate))
		}
	}
}

func TestMintNameRefusesWhatIsNoName(t *testing.T) {
	a := open(t, rsaDir(t))
	for _, name := range []string{"", ".", "a..b", "a b", "a/b", "*.example", "ä.example", "x\x00y", strings.Repeat("a", 64), strings.Repeat("a.", 128)} {
		if _, err := a.MintName(t.Context(), name); err == nil {
			t.Errorf("MintName(%q) made a leaf", name)
		}
	}
}

func TestOwnLeavesOfAMonthAreOne(t *testing.T) {
	a := open(t, rsaDir(t))
	start := time.Date(a.Certificate().NotBefore.Year()+1, 3, 1, 0, 0, 0, 0, time.UTC)
	mint := func(name string, now time.Time) *x509.Certificate {
		leaf, err := a.mintName(name, now)
		noError(t, err)
		return leaf.Leaf
	}
	first := mint("proxy.example", start)
	if other := mint("PROXY.example.", start.AddDate(0, 1, 0).Add(-time.Second)); other != first {
		t.Error("one name has two leaves in a month")
	}
	next := mint("proxy.example", start.AddDate(0, 1, 0))
	if next.Equal(first) || next.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Error("the next month has the same leaf or serial")
	}
	if !first.NotBefore.Equal(start.Add(-24 * time.Hour)) {
		t.Errorf("NotBefore = %v, want a day before %v", first.NotBefore, start)
	}
	// RFC 5280 section 4.1.2.5: both ends belong to the period.
	if got := first.NotAfter.Sub(first.NotBefore) + time.Second; got != 397*24*time.Hour {
		t.Errorf("validity = %v, want 397 days", got)
	}
}

func TestOwnLeavesStayWithinTheAuthority(t *testing.T) {
	a := open(t, rsaDir(t))
	begin, end := a.Certificate().NotBefore, a.Certificate().NotAfter
	for _, now := range []time.Time{begin, end} {
		leaf, err := a.mintName("proxy.example", now)
		noError(t, err)
		if leaf.Leaf.NotBefore.Before(begin) || leaf.Leaf.NotAfter.After(end) || now.Before(leaf.Leaf.NotBefore) || now.After(leaf.Leaf.NotAfter) {
			t.Errorf("at %v: valid from %v to %v, authority from %v to %v", now, leaf.Leaf.NotBefore, leaf.Leaf.NotAfter, begin, end)
		}
	}
	for _, now := range []time.Time{begin.Add(-time.Second), end.Add(time.Second)} {
		if _, err := a.mintName("proxy.example", now); err == nil {
			t.Errorf("a leaf is minted at %v, authority from %v to %v", now, begin, end)
		}
	}
}
