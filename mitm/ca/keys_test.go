package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

func mustRSA(tb testing.TB, pkcs8 []byte) *rsa.PrivateKey {
	tb.Helper()
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		tb.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// rsaPublic is a modulus of that many bits that nobody knows the factors of: no server of a test signs with it.
func rsaPublic(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}

func ecdsaPublic(tb testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	tb.Helper()
	key, err := deriveECDSA([]byte("server"), "test", curve)
	if err != nil {
		tb.Fatal(err)
	}
	return &key.PublicKey
}

// kindOf describes a public key as the tables of tests do.
func kindOf(pub crypto.PublicKey) string {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return pub.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", pub.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

// serverKeys are keys that servers have, and the kind of our key for each.
func serverKeys(tb testing.TB) map[string]struct {
	pub  crypto.PublicKey
	want string
} {
	tb.Helper()
	return map[string]struct {
		pub  crypto.PublicKey
		want string
	}{
		"P-224":           {ecdsaPublic(tb, elliptic.P224()), "P-224"},
		"P-256":           {ecdsaPublic(tb, elliptic.P256()), "P-256"},
		"P-384":           {ecdsaPublic(tb, elliptic.P384()), "P-384"},
		"P-521":           {ecdsaPublic(tb, elliptic.P521()), "P-521"},
		"Ed25519":         {ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public(), "Ed25519"},
		"RSA 1024":        {rsaPublic(1024), "RSA-2048"},
		"RSA 2048":        {rsaPublic(2048), "RSA-2048"},
		"an odd RSA 2049": {rsaPublic(2049), "RSA-3072"},
		"RSA 3072":        {rsaPublic(3072), "RSA-3072"},
		"RSA 4096":        {rsaPublic(4096), "RSA-4096"},
		"RSA 8192":        {rsaPublic(8192), "RSA-4096"},
	}
}

func TestTheLeafKeyIsLikeTheServers(t *testing.T) {
	a := open(t, rsaDir(t))
	for name, test := range serverKeys(t) {
		key, err := a.keys.like(t.Context(), test.pub)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := kindOf(key.signer.Public()); got != test.want {
			t.Errorf("leaf key for %s is %s, want %s", name, got, test.want)
		}
	}
}

func TestAServerKeyWithoutLikeIsAnError(t *testing.T) {
	a := open(t, rsaDir(t))
	for _, pub := range []crypto.PublicKey{nil, "a key of a kind to come", &ecdsa.PublicKey{Curve: new(elliptic.CurveParams)}} {
		if _, err := a.keys.like(t.Context(), pub); err == nil {
			t.Errorf("there is a key like %T", pub)
		}
	}
}

func TestDerivedKeysDifferByAuthorityAndByPurpose(t *testing.T) {
	seen := map[string]string{}
	for i := range 2 {
		a := open(t, rsaDir(t))
		add := func(name string, key crypto.Signer) {
			name = fmt.Sprintf("%s of authority %d", name, i)
			spki, _, err := publicKeyID(key.Public())
			noError(t, err)
			if other, ok := seen[string(spki)]; ok {
				t.Errorf("%s is %s", name, other)
			}
			seen[string(spki)] = name
		}
		add("trusted key", a.trusted.key)
		add("untrusted key", a.untrusted.key)
		for kind, key := range a.keys.derived {
			add(kind+" leaf key", key.signer)
		}
	}
}

func TestAFlowWaitsForAnRSAKeyAsLongAsItLikes(t *testing.T) {
	key, err := newLeafKey(newKey(t))
	noError(t, err)
	slot := &rsaSlot{bits: 2048, ready: make(chan struct{}), key: key}
	k := &rsaKeys{slots: []*rsaSlot{slot}, stop: make(chan struct{})}

	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("the client left")
	cancel(gaveUp)
	if _, err := k.get(ctx, 2048); !errors.Is(err, gaveUp) {
		t.Errorf("get with a context that ended = %v, want %v", err, gaveUp)
	}
	got := make(chan *leafKey)
	go func() {
		key, _ := k.get(t.Context(), 1024)
		got <- key
	}()
	close(slot.ready)
	if <-got != key {
		t.Error("get did not return the key that became ready")
	}
	if found, err := k.get(ctx, 2048); found != key || err != nil {
		t.Errorf("a key that is ready asks for no time: %v", err)
	}
}

func TestAFlowDoesNotWaitForAClosedAuthority(t *testing.T) {
	k := &rsaKeys{slots: []*rsaSlot{{bits: 2048, ready: make(chan struct{})}}, stop: make(chan struct{}), done: make(chan struct{})}
	close(k.done)
	noError(t, k.close())
	noError(t, k.close())
	if _, err := k.get(t.Context(), 2048); !errors.Is(err, errClosed) {
		t.Errorf("get = %v, want %v", err, errClosed)
	}
}

func TestAnRSAKeyThatCannotBeStoredServesAndIsReported(t *testing.T) {
	d := directory(rsaDir(t))
	noError(t, os.RemoveAll(string(d)))
	k, err := newRSAKeys(d, true)
	noError(t, err)
	if _, err := k.get(t.Context(), 2048); err != nil {
		t.Errorf("get = %v", err)
	}
	if err := k.close(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("close = %v, want what kept the key from being stored", err)
	}
}

func TestAGeneratedRSAKeyIsStored(t *testing.T) {
	dir := rsaDir(t)
	remove("leaf-rsa.key")(t, dir)
	first := open(t, dir)
	one, err := first.keys.rsa.get(t.Context(), 2048)
	noError(t, err)
	two, err := open(t, dir).keys.rsa.get(t.Context(), 2048)
	noError(t, err)
	if !sameKey(one.signer, two.signer) {
		t.Error("the second Open has another RSA key")
	}
	if _, err := os.Stat(filepath.Join(dir, "leaf-rsa.key")); err != nil {
		t.Error(err)
	}
}
