package ca

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"testing"
	"time"
)

// The extensions of a test that crypto/x509 does not write by itself.
var (
	oidMustStaple      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}
	oidSCTList         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidPoison          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidFreshestCRL     = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidCRLs            = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidPolicies        = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidAIA             = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidStrange         = asn1.ObjectIdentifier{1, 2, 3, 4}
	oidStrangeCritical = asn1.ObjectIdentifier{1, 2, 3, 5}
)

// fullServer has every kind of extension.
func fullServer(tb testing.TB) *x509.Certificate {
	tb.Helper()
	template := plainServer()
	template.Subject = pkix.Name{
		Country: []string{"XX"}, Organization: []string{"Exämple", "Second"}, CommonName: "www.example.com",
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 15}, Value: "Private Organization"}},
	}
	template.DNSNames = []string{"www.example.com", "*.example.org"}
	template.IPAddresses = []net.IP{{192, 0, 2, 7}, net.ParseIP("2001:db8::7")}
	template.EmailAddresses = []string{"host@example.com"}
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/a"}}
	template.PolicyIdentifiers = []asn1.ObjectIdentifier{{2, 23, 140, 1, 2, 1}}
	policy, err := x509.OIDFromInts([]uint64{2, 23, 140, 1, 2, 1})
	if err != nil {
		tb.Fatal(err)
	}
	template.Policies = []x509.OID{policy}
	template.CRLDistributionPoints = []string{"http://crl.example/1"}
	template.OCSPServer = []string{"http://ocsp.example"}
	template.IssuingCertificateURL = []string{"http://issuer.example"}
	template.PermittedDNSDomains = []string{"example.com"}
	null := []byte{5, 0}
	template.ExtraExtensions = []pkix.Extension{
		{Id: oidMustStaple, Value: []byte{0x30, 3, 2, 1, 5}},
		{Id: oidSCTList, Value: []byte{4, 2, 0, 0}},
		{Id: oidPoison, Critical: true, Value: null},
		{Id: oidFreshestCRL, Value: []byte{0x30, 0}},
		{Id: oidStrange, Value: []byte("any bytes")},
		{Id: oidStrangeCritical, Critical: true, Value: null},
	}
	return newOrigin(tb).leaf(tb, template, newKey(tb).Public())
}

func TestMirroredFields(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	leaf := mustMint(t, a, server, OK)
	if !bytes.Equal(leaf.RawSubject, server.RawSubject) {
		t.Errorf("subject = %x, want %x", leaf.RawSubject, server.RawSubject)
	}
	if !bytes.Equal(leaf.RawIssuer, a.Certificate().RawSubject) {
		t.Errorf("issuer = %q, want %q", leaf.Issuer, a.Certificate().Subject)
	}
	if !leaf.NotBefore.Equal(server.NotBefore) || !leaf.NotAfter.Equal(server.NotAfter) {
		t.Errorf("validity = %v to %v, want %v to %v", leaf.NotBefore, leaf.NotAfter, server.NotBefore, server.NotAfter)
	}
	if leaf.SerialNumber.BitLen() != 127 {
		t.Errorf("serial %x has %d bits, want 127: 16 bytes that begin with 01", leaf.SerialNumber, leaf.SerialNumber.BitLen())
	}
}

// TestMirroredExtensions goes through the server's extensions in their order.
func TestMirroredExtensions(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	rules := []struct {
		id   asn1.ObjectIdentifier
		rule string
	}{
		{oidKeyUsage, "copied"},
		{oidExtKeyUsage, "copied"},
		{oidBasicConstraints, "copied"},
		{oidSubjectKeyID, "ours"},
		{oidAuthorityKeyID, "ours"},
		{oidAIA, "dropped"},
		{oidSubjectAltName, "copied"},
		{oidPolicies, "copied"},
		{oidNameConstraints, "dropped"},
		{oidCRLs, "dropped"},
		{oidMustStaple, "dropped"},
		{oidSCTList, "dropped"},
		{oidPoison, "dropped"},
		{oidFreshestCRL, "dropped"},
		{oidStrange, "copied"},
		{oidStrangeCritical, "dropped"},
	}
	if len(server.Extensions) != len(rules) {
		t.Fatalf("the server has %d extensions, the table %d", len(server.Extensions), len(rules))
	}
	left := mustMint(t, a, server, OK).Extensions
	for i, rule := range rules {
		theirs := server.Extensions[i]
		if !theirs.Id.Equal(rule.id) {
			t.Fatalf("extension %d of the server is %v, the table has %v", i, theirs.Id, rule.id)
		}
		if rule.rule == "dropped" {
			continue // were it there, the next one would find it
		}
		if len(left) == 0 || !left[0].Id.Equal(rule.id) {
			t.Fatalf("%v is missing, or not in its place", rule.id)
		}
		same := bytes.Equal(left[0].Value, theirs.Value) && left[0].Critical == theirs.Critical
		if same != (rule.rule == "copied") {
			t.Errorf("%v is %x (critical %v), the server's %x: want it %s", rule.id, left[0].Value, left[0].Critical, theirs.Value, rule.rule)
		}
		left = left[1:]
	}
	if len(left) != 0 {
		t.Errorf("more extensions than the server has: %v", left)
	}
}

func TestKeyIdentifiersAreTrue(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	for verdict, issuer := range map[Verdict]*x509.Certificate{OK: a.trusted.cert, UnknownIssuer: a.untrusted.cert, SelfSigned: nil} {
		leaf := mustMint(t, a, server, verdict)
		_, want, err := publicKeyID(leaf.PublicKey)
		noError(t, err)
		if !bytes.Equal(leaf.SubjectKeyId, want) {
			t.Errorf("%v: SubjectKeyId = %x, want %x", verdict, leaf.SubjectKeyId, want)
		}
		if issuer != nil {
			want = issuer.SubjectKeyId
		}
		if !bytes.Equal(leaf.AuthorityKeyId, want) {
			t.Errorf("%v: AuthorityKeyId = %x, want %x", verdict, leaf.AuthorityKeyId, want)
		}
	}
}

func TestKeyIdentifiersAreOmittedIfTheServerHasNone(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	template, issuer := plainServer(), *o.intermediate
	template.SubjectKeyId, issuer.SubjectKeyId = nil, nil
	server := issue(t, template, &issuer, newKey(t).Public(), o.intermediateKey)
	leaf := mustMint(t, a, server, OK)
	if leaf.SubjectKeyId != nil || leaf.AuthorityKeyId != nil {
		t.Errorf("SubjectKeyId = %x, AuthorityKeyId = %x, want none", leaf.SubjectKeyId, leaf.AuthorityKeyId)
	}
}

func TestAnAuthorityWithoutKeyIdentifierIsNotNamedByOne(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	template, err := mirror(server, a.keys.derived[kindP256], nil, false)
	noError(t, err)
	for _, ext := range template.ExtraExtensions {
		if ext.Id.Equal(oidAuthorityKeyID) {
			t.Errorf("AuthorityKeyId = %x, want none", ext.Value)
		}
	}
}

func TestAServerThatIsACAIsDemotedUnlessItSignsItself(t *testing.T) {
	const signs = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	tests := []struct {
		name            string
		usage           x509.KeyUsage
		verdict         Verdict
		wantCA          bool
		wantUsage       x509.KeyUsage
		wantConstraints bool
	}{
		{"it verifies", signs | x509.KeyUsageDigitalSignature, OK, false, x509.KeyUsageDigitalSignature, true},
		{"its issuer is unknown", signs | x509.KeyUsageDigitalSignature, UnknownIssuer, false, x509.KeyUsageDigitalSignature, true},
		{"it has no usage", 0, OK, false, 0, true},
		{"it has no usage that a server needs", signs, OK, false, signs, true},
		{"it signs itself", signs | x509.KeyUsageDigitalSignature, SelfSigned, true, signs | x509.KeyUsageDigitalSignature, true},
	}
	a := open(t, rsaDir(t))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			template, key := plainServer(), newKey(t)
			template.IsCA, template.KeyUsage = true, test.usage
			leaf := mustMint(t, a, issue(t, template, template, key.Public(), key), test.verdict)
			if leaf.IsCA != test.wantCA || leaf.KeyUsage != test.wantUsage || leaf.BasicConstraintsValid != test.wantConstraints {
				t.Errorf("CA=%v usage=%b constraints=%v, want %v %b %v", leaf.IsCA, leaf.KeyUsage, leaf.BasicConstraintsValid, test.wantCA, test.wantUsage, test.wantConstraints)
			}
		})
	}
}

// TestAStrangeCriticalAltNameIsCopied uses names of a kind that crypto/x509 does not know.
func TestAStrangeCriticalAltNameIsCopied(t *testing.T) {
	template := plainServer()
	template.DNSNames = nil
	registeredID := []byte{0x30, 4, 0x88, 2, 0x2a, 3}
	template.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Critical: true, Value: registeredID}}
	server := newOrigin(t).leaf(t, template, newKey(t).Public())
	if len(server.UnhandledCriticalExtensions) != 1 {
		t.Fatalf("the test needs a name that crypto/x509 does not handle, it handles %x", registeredID)
	}
	leaf := mustMint(t, open(t, rsaDir(t)), server, OK)
	if got := altName(leaf); !bytes.Equal(got, registeredID) {
		t.Errorf("SubjectAltName = %x, want %x", got, registeredID)
	}
}

func altName(cert *x509.Certificate) []byte {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidSubjectAltName) {
			return ext.Value
		}
	}
	return nil
}

func TestDatesOfAllCenturiesAreCopied(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	for _, year := range []int{1, 1949, 1950, 2049, 2050, 9998} {
		template := plainServer()
		template.NotBefore = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		template.NotAfter = template.NotBefore.AddDate(1, 0, 0)
		server := o.leaf(t, template, newKey(t).Public())
		leaf := mustMint(t, a, server, Expired)
		if !leaf.NotBefore.Equal(server.NotBefore) || !leaf.NotAfter.Equal(server.NotAfter) {
			t.Errorf("validity = %v to %v, want %v to %v", leaf.NotBefore, leaf.NotAfter, server.NotBefore, server.NotAfter)
		}
	}
}
