package ca

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
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
		leaf, err := mintOwn(a, name, now)
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
		leaf, err := mintOwn(a, "proxy.example", now)
		noError(t, err)
		if leaf.Leaf.NotBefore.Before(begin) || leaf.Leaf.NotAfter.After(end) || now.Before(leaf.Leaf.NotBefore) || now.After(leaf.Leaf.NotAfter) {
			t.Errorf("at %v: valid from %v to %v, authority from %v to %v", now, leaf.Leaf.NotBefore, leaf.Leaf.NotAfter, begin, end)
		}
	}
	for _, now := range []time.Time{begin.Add(-time.Second), end.Add(time.Second)} {
		if _, err := mintOwn(a, "proxy.example", now); err == nil {
			t.Errorf("a leaf is minted at %v, authority from %v to %v", now, begin, end)
		}
	}
}

// mintOwn is MintName at another time.
func mintOwn(a *Authority, name string, now time.Time) (*tls.Certificate, error) {
	leaf, _, err := a.mintName(name, now, a.keys.derived[kindP256], a.trusted)
	return leaf, err
}

func TestANamedLeafHasTheKindOfTheServersKey(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	for kind, test := range serverKeys(t) {
		template := plainServer()
		template.DNSNames = []string{"*.example.org"}
		leaf, err := a.MintNamed(t.Context(), "www.example.com", o.leaf(t, template, test.pub), Judgment{Verdict: OK})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got := kindOf(leaf.Leaf.PublicKey); got != test.want || !matches(leaf.PrivateKey.(crypto.Signer), leaf.Leaf.PublicKey) {
			t.Errorf("%s: key is %s, want %s with its private key", kind, got, test.want)
		}
		if names := leaf.Leaf.DNSNames; len(names) != 1 || names[0] != "www.example.com" {
			t.Errorf("%s: names are %q, want the one asked for", kind, names)
		}
		if got := opensslVerify(t, leaf.Leaf, nil, []*x509.Certificate{a.Certificate()}, "www.example.com"); got != "" {
			t.Errorf("%s: %s", kind, got)
		}
		again, err := a.MintNamed(t.Context(), "WWW.example.com.", o.leaf(t, plainServer(), test.pub), Judgment{Verdict: OK})
		if err != nil || again != leaf {
			t.Errorf("%s: another server of that name has another leaf (%v)", kind, err)
		}
	}
}

// TestANamedLeafServesTheRSAKeyExchange has a cipher suite in which the client encrypts to the server's key.
func TestANamedLeafServesTheRSAKeyExchange(t *testing.T) {
	a := open(t, rsaDir(t))
	leaf, err := a.MintNamed(t.Context(), "www.example.com", newOrigin(t).leaf(t, plainServer(), rsaPublic(2048)), Judgment{Verdict: OK})
	noError(t, err)
	if leaf.Leaf.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
		t.Errorf("KeyUsage = %b, want digitalSignature and keyEncipherment", leaf.Leaf.KeyUsage)
	}
	suites := []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	err = shake(t, &tls.Config{Certificates: []tls.Certificate{*leaf}, MaxVersion: tls.VersionTLS12, CipherSuites: suites},
		&tls.Config{ServerName: "www.example.com", RootCAs: poolOf(a.Certificate()), MaxVersion: tls.VersionTLS12, CipherSuites: suites})
	if err != nil {
		t.Error(err)
	}
}

// TestANamedLeafLaundersNothing: its name and its dates are good, so the signer has to tell.
func TestANamedLeafLaundersNothing(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	for _, verdict := range append(allVerdicts, OK+1, 255) {
		leaf, err := a.MintNamed(t.Context(), "www.example.com", server, Judgment{Verdict: verdict, Status: someStatus()})
		if err != nil {
			t.Errorf("%v: %v", verdict, err)
			continue
		}
		want := a.untrusted
		if verdict == OK {
			want = a.trusted
		}
		if err := leaf.Leaf.CheckSignatureFrom(want.cert); err != nil {
			t.Errorf("%v: %v", verdict, err)
		}
		if _, err := readStatus(leaf.OCSPStaple, leaf.Leaf, want.cert, time.Now()); err != nil {
			t.Errorf("%v: its staple: %v", verdict, err)
		}
	}
}

func TestMintNamedFails(t *testing.T) {
	a, server := open(t, rsaDir(t)), *fullServer(t)
	if _, err := a.MintNamed(t.Context(), "a b", &server, Judgment{Verdict: OK}); !errors.Is(err, ErrNotAName) {
		t.Errorf("for what is no name: %v, want %v", err, ErrNotAName)
	}
	server.PublicKey = nil
	if leaf, err := a.MintNamed(t.Context(), "www.example.com", &server, Judgment{Verdict: OK}); err == nil {
		t.Errorf("for a key that there is no like of: %v", leaf)
	}
}
