package ca

import (
	"bytes"
	"testing"
)

func TestSecretsAreTheAuthoritysForOnePurpose(t *testing.T) {
	dir := t.TempDir()
	secret := func(dir, purpose string) []byte {
		a, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		s, err := a.Secret(purpose)
		if err != nil || len(s) != 32 {
			t.Fatalf("Secret() = %d bytes, %v", len(s), err)
		}
		return s
	}
	first := secret(dir, "tickets")
	if !bytes.Equal(first, secret(dir, "tickets")) {
		t.Error("the secret is another one after a restart")
	}
	if bytes.Equal(first, secret(dir, "tokens")) {
		t.Error("another purpose has the same secret")
	}
	if bytes.Equal(first, secret(t.TempDir(), "tickets")) {
		t.Error("another authority has the same secret")
	}
}
