package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var allVerdicts = []Verdict{UnknownIssuer, BadSignature, SelfSigned, Revoked, Expired, WrongHost, OK}

func TestMintForEveryKeyAndVerdict(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	for name, test := range serverKeys(t) {
		server := o.leaf(t, plainServer(), test.pub)
		for _, verdict := range allVerdicts {
			got, err := a.Mint(t.Context(), server, Judgment{Verdict: verdict})
			if err != nil {
				t.Errorf("%s, %v: %v", name, verdict, err)
				continue
			}
			if kind := kindOf(got.Leaf.PublicKey); kind != test.want || !matches(got.PrivateKey.(crypto.Signer), got.Leaf.PublicKey) {
				t.Errorf("%s, %v: key is %s, want %s with its private key", name, verdict, kind, test.want)
			}
			if len(got.Certificate) != 1 || !bytes.Equal(got.Certificate[0], got.Leaf.Raw) {
				t.Errorf("%s, %v: %d certificates are sent, want the leaf alone", name, verdict, len(got.Certificate))
			}
			if err := signedBy(a, got.Leaf, verdict); err != nil {
				t.Errorf("%s, %v: %v", name, verdict, err)
			}
		}
	}
}

// signedBy checks the signature by the key, and in the name, that the verdict asks for.
func signedBy(a *Authority, leaf *x509.Certificate, verdict Verdict) error {
	name, signer := a.untrusted.cert, a.untrusted.cert
	switch verdict {
	case OK, Expired, WrongHost:
		name, signer = a.trusted.cert, a.trusted.cert
	case BadSignature:
		name = a.trusted.cert
	case SelfSigned:
		name, signer = leaf, leaf
	}
	if !bytes.Equal(leaf.RawIssuer, name.RawSubject) {
		return errors.New("issuer is not the one wanted")
	}
	return signer.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature)
}

func TestNoVerdictIsNotTrusted(t *testing.T) {
	a, server := open(t, rsaDir(t)), fullServer(t)
	for _, verdict := range []Verdict{0, OK + 1, 255} {
		if leaf := mustMint(t, a, server, verdict); signedBy(a, leaf, UnknownIssuer) != nil {
			t.Errorf("the leaf of verdict %d is not signed by the untrusted authority", verdict)
		}
	}
}

func TestMintFailsForAKeyItHasNoLikeOf(t *testing.T) {
	a, server := open(t, rsaDir(t)), *fullServer(t)
	server.PublicKey = nil // what ParseCertificate leaves for Ed448 and others
	if leaf, err := a.Mint(t.Context(), &server, Judgment{Verdict: OK}); err != nil && leaf == nil {
		return
	}
	t.Error("a leaf was minted")
}

// waiting returns an authority that has no RSA key yet, and what gives it one.
func waiting(t *testing.T) (a *Authority, fill func()) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "leaf-rsa.key"))
	noError(t, err)
	private, err := parseKey(text)
	noError(t, err)
	key, err := newLeafKey(private)
	noError(t, err)
	slot := &rsaSlot{bits: 2048, ready: make(chan struct{})}
	root := newOrigin(t)
	signer := newIssuer(root.rootKey, []*x509.Certificate{root.root})
	a = &Authority{
		keys:    &leafKeys{rsa: &rsaKeys{slots: []*rsaSlot{slot}, stop: make(chan struct{})}},
		leaves:  newCache(2),
		trusted: signer,
	}
	return a, func() {
		slot.key = key
		close(slot.ready)
	}
}

func TestMintGivesUpWithItsContext(t *testing.T) {
	a, _ := waiting(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("the client left")
	cancel(gaveUp)
	_, err := a.Mint(ctx, newOrigin(t).leaf(t, plainServer(), rsaPublic(2048)), Judgment{Verdict: OK})
	if !errors.Is(err, gaveUp) {
		t.Errorf("Mint = %v, want %v", err, gaveUp)
	}
}

// TestMintNeverGeneratesAnRSAKey: in a bubble Wait returns when every goroutine waits, and none computes.
func TestMintNeverGeneratesAnRSAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, fill := waiting(t)
		server := newOrigin(t).leaf(t, plainServer(), rsaPublic(2048))
		minted := make(chan *tls.Certificate, 2)
		for _, mint := range []func(context.Context) (*tls.Certificate, error){
			func(ctx context.Context) (*tls.Certificate, error) { return a.Mint(ctx, server, Judgment{Verdict: OK}) },
			func(ctx context.Context) (*tls.Certificate, error) {
				return a.MintNamed(ctx, "www.example.com", server, Judgment{Verdict: OK})
			},
		} {
			go func() {
				leaf, err := mint(t.Context())
				if err != nil {
					t.Error(err)
				}
				minted <- leaf
			}()
		}
		synctest.Wait()
		if len(minted) != 0 {
			t.Fatal("a leaf was minted without a key")
		}
		fill()
		for range 2 {
			if leaf := <-minted; leaf == nil || leaf.PrivateKey != crypto.PrivateKey(a.keys.rsa.slots[0].key.signer) {
				t.Error("the leaf has a key of its own")
			}
		}
	})
}

// countingSigner counts signatures.
type countingSigner struct {
	crypto.Signer
	signed atomic.Int64
}

func (s *countingSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.signed.Add(1)
	return s.Signer.Sign(rand, digest, opts)
}

func TestConcurrentMintsSignOnce(t *testing.T) {
	for range 20 {
		a, server := open(t, rsaDir(t)), fullServer(t)
		counter := &countingSigner{Signer: a.trusted.key}
		a.trusted.key = counter
		leaves := make([]*tls.Certificate, 100)
		start := make(chan struct{})
		var running sync.WaitGroup
		for i := range leaves {
			running.Go(func() {
				<-start
				leaves[i], _ = a.Mint(t.Context(), server, Judgment{Verdict: OK})
			})
		}
		close(start)
		running.Wait()
		for _, leaf := range leaves {
			if leaf == nil || leaf != leaves[0] {
				t.Fatal("concurrent calls got different leaves")
			}
		}
		if n := counter.signed.Load(); n != 1 {
			t.Fatalf("%d signatures for one leaf", n)
		}
	}
}

// TestALateFlightFindsTheLeaf is the caller that missed the cache just before another flight landed.
func TestALateFlightFindsTheLeaf(t *testing.T) {
	a, want := open(t, rsaDir(t)), &tls.Certificate{}
	mint := func() (*tls.Certificate, error) { return want, nil }
	for range 2 {
		if got, err := a.once(leafID{}, mint); got != want || err != nil {
			t.Errorf("once = %p, %v, want %p", got, err, want)
		}
		mint = func() (*tls.Certificate, error) { return nil, errors.New("minted again") }
	}
}

func TestTheCacheTellsServersAndSignersApart(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	servers := []*x509.Certificate{
		o.leaf(t, plainServer(), newKey(t).Public()),
		o.leaf(t, plainServer(), newKey(t).Public()), // renewed: the same but for its key
	}
	seen := map[string]bool{}
	for _, server := range servers {
		for _, verdict := range []Verdict{OK, UnknownIssuer, BadSignature, SelfSigned} {
			leaf := mustMint(t, a, server, verdict)
			if seen[string(leaf.Raw)] || seen[leaf.SerialNumber.String()] {
				t.Errorf("%v: a leaf or its serial was used before", verdict)
			}
			seen[string(leaf.Raw)], seen[leaf.SerialNumber.String()] = true, true
		}
	}
	if mustMint(t, a, servers[0], OK) != mustMint(t, a, servers[0], WrongHost) {
		t.Error("verdicts with one signer have two leaves")
	}
}

// TestReplicasMintTheSameBytes has replicas mint at the same time, each in an order of its own: all kinds of keys, for
// all verdicts, with and without a status, and by name.
func TestReplicasMintTheSameBytes(t *testing.T) {
	dir, other := rsaDir(t), rsaDir(t)
	one := open(t, dir)
	for _, name := range []string{"ca.pem", "ca.key"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		noError(t, err)
		writeFile(t, filepath.Join(other, name), text)
	}
	both := append(certificatePEM(one.trusted.cert.Raw), pkcs8(t, one.trusted.key)...)
	replicas := map[string]*Authority{"first": one, "restarted": open(t, dir), "copied": open(t, other)}
	for _, name := range []string{"loaded", "loaded elsewhere"} {
		loaded, err := load(t, both)
		noError(t, err)
		replicas[name] = loaded
	}
	orders, status := ordersFor(t), someStatus()
	minted := map[string][]string{}
	var mu sync.Mutex
	var running sync.WaitGroup
	for name, replica := range replicas {
		for range 2 {
			running.Go(func() {
				for _, i := range rand.Perm(len(orders)) {
					bytes, err := orders[i].fill(t.Context(), replica, status)
					if err != nil {
						t.Errorf("%s: %s: %v", name, orders[i].name, err)
					}
					mu.Lock()
					minted[orders[i].name] = append(minted[orders[i].name], bytes)
					mu.Unlock()
				}
			})
		}
	}
	running.Wait()
	for _, order := range orders {
		all := minted[order.name]
		if distinct := slices.Compact(slices.Sorted(slices.Values(all))); len(all) != 2*len(replicas) || len(distinct) != 1 {
			t.Errorf("%s: %d replicas mint %d different leaves", order.name, len(replicas), len(distinct))
		}
	}
}

// order is one leaf to mint.
type order struct {
	name    string
	server  *x509.Certificate
	verdict Verdict
	named   bool
}

func ordersFor(t *testing.T) []order {
	t.Helper()
	o := newOrigin(t)
	var all []order
	for kind, test := range serverKeys(t) {
		server := o.leaf(t, plainServer(), test.pub)
		for _, verdict := range allVerdicts {
			all = append(all, order{kind + ", " + verdict.String(), server, verdict, false})
		}
		all = append(all, order{kind + ", by name", server, OK, true}, order{kind + ", by name, of an invalid one", server, Expired, true})
	}
	return all
}

// fill returns all that a client is shown: the leaf without and with a staple.
func (o order) fill(ctx context.Context, a *Authority, status *Status) (string, error) {
	var shown []byte
	for _, j := range []Judgment{{Verdict: o.verdict}, {o.verdict, status}} {
		mint := func() (*tls.Certificate, error) { return a.Mint(ctx, o.server, j) }
		if o.named {
			mint = func() (*tls.Certificate, error) { return a.MintNamed(ctx, "www.example.com", o.server, j) }
		}
		leaf, err := mint()
		if err != nil {
			return "", err
		}
		shown = append(append(shown, bytes.Join(leaf.Certificate, nil)...), leaf.OCSPStaple...)
	}
	return string(shown), nil
}

// fixedAuthority and fixedServer depend on nothing but this file.
func fixedAuthority(t *testing.T) *Authority {
	t.Helper()
	key, err := deriveECDSA([]byte("golden"), "ca", elliptic.P256())
	noError(t, err)
	notBefore, notAfter := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	der, err := selfIssue(key, pkix.Name{CommonName: "golden"}, notBefore, notAfter)
	noError(t, err)
	a, err := load(t, append(certificatePEM(der), pkcs8(t, key)...))
	noError(t, err)
	return a
}

func fixedServer(t *testing.T, pub crypto.PublicKey) *x509.Certificate {
	t.Helper()
	key, err := deriveECDSA([]byte("golden"), "origin", elliptic.P256())
	noError(t, err)
	template := plainServer()
	template.SerialNumber = big.NewInt(3)
	template.NotBefore, template.NotAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "origin"}, SubjectKeyId: []byte{1}}
	der, err := x509.CreateCertificate(nil, template, parent, pub, key)
	noError(t, err)
	server, err := x509.ParseCertificate(der)
	noError(t, err)
	return server
}

// TestMintedBytesStay pins the bytes across versions of this package and of Go: replicas are upgraded one by one.
func TestMintedBytesStay(t *testing.T) {
	a := fixedAuthority(t)
	var got []byte
	for _, kind := range []string{"P-256", "P-384", "P-521", "Ed25519", "RSA 2048"} {
		server := fixedServer(t, serverKeys(t)[kind].pub)
		for _, verdict := range []Verdict{OK, UnknownIssuer, SelfSigned, BadSignature} {
			got = append(got, kind+", "+verdict.String()+"\n"...)
			got = append(got, certificatePEM(mustMint(t, a, server, verdict).Raw)...)
		}
	}
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	status := &Status{ProducedAt: at, ThisUpdate: at, NextUpdate: at.AddDate(0, 0, 7)}
	stapled := mustStaple(t, a, fixedServer(t, serverKeys(t)["P-256"].pub), Judgment{OK, status})
	got = append(got, block("OCSP RESPONSE", stapled.OCSPStaple)...)
	golden := filepath.Join("testdata", "minted.pem")
	if *update {
		noError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	noError(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("minted\n%s\nwant\n%s", got, want)
	}
}

// FuzzMint holds that a certificate which parses and has a usual key is mirrored, with its very names. Besides the
// fuzzer's own mutations, which seldom leave DER whole, one byte is changed in place.
func FuzzMint(f *testing.F) {
	a, o := open(f, rsaDir(f)), newOrigin(f)
	for _, server := range []*x509.Certificate{fullServer(f), o.root, o.intermediate} {
		for at := 0; at < len(server.Raw); at += 8 {
			f.Add(server.Raw, uint16(at), byte(1))
		}
	}
	for _, test := range serverKeys(f) {
		f.Add(o.leaf(f, plainServer(), test.pub).Raw, uint16(0), byte(0))
	}
	f.Fuzz(func(t *testing.T, der []byte, at uint16, flip byte) {
		if int(at) < len(der) {
			der = bytes.Clone(der)
			der[at] ^= flip
		}
		server, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		a.leaves = newCache(3) // a hit would make the coverage of an input depend on the ones before
		for _, verdict := range []Verdict{OK, UnknownIssuer, BadSignature, SelfSigned} {
			leaf, err := a.Mint(t.Context(), server, Judgment{Verdict: verdict})
			if err != nil {
				if _, keyErr := a.keys.like(t.Context(), server.PublicKey); keyErr == nil {
					t.Errorf("Mint(%x, %v): %v", der, verdict, err)
				}
				continue
			}
			if _, err := x509.ParseCertificate(leaf.Certificate[0]); err != nil {
				t.Errorf("Mint(%x, %v) does not parse: %v", der, verdict, err)
			}
			if !bytes.Equal(altName(leaf.Leaf), altName(server)) || !bytes.Equal(leaf.Leaf.RawSubject, server.RawSubject) {
				t.Errorf("Mint(%x, %v) has other names", der, verdict)
			}
			if err := signedBy(a, leaf.Leaf, verdict); err != nil {
				t.Errorf("Mint(%x, %v): %v", der, verdict, err)
			}
		}
	})
}

func BenchmarkMint(b *testing.B) {
	a, o := open(b, rsaDir(b)), newOrigin(b)
	for _, kind := range []string{"P-256", "RSA 2048", "P-384", "Ed25519"} {
		server := o.leaf(b, plainServer(), serverKeys(b)[kind].pub)
		b.Run("key="+kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.leaves = newCache(1)
				mustMint(b, a, server, OK)
			}
		})
	}
}

func BenchmarkMintCached(b *testing.B) {
	a := open(b, rsaDir(b))
	server := newOrigin(b).leaf(b, plainServer(), newKey(b).Public())
	b.ReportAllocs()
	for b.Loop() {
		mustMint(b, a, server, OK)
	}
}
