package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// goodStatus is the template of a usual response for the leaf.
func goodStatus(leaf *x509.Certificate) ocsp.Response {
	now := time.Now().UTC().Truncate(time.Second)
	return ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
}

// staple makes a response with the encoder that is not ours. The template's Certificate goes along in it.
func staple(tb testing.TB, issuer *x509.Certificate, template ocsp.Response, key crypto.Signer) []byte {
	tb.Helper()
	responder := issuer
	if template.Certificate != nil {
		responder = template.Certificate
	}
	der, err := ocsp.CreateResponse(issuer, responder, template, key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// responder issues a certificate of one who signs for the intermediate, and its key.
func (o *origin) responder(tb testing.TB, change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	tb.Helper()
	template, key := plainServer(), newKey(tb)
	template.Subject = pkix.Name{CommonName: "Responder"}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	change(template)
	return o.leaf(tb, template, key.Public()), key
}

func unchanged(*x509.Certificate) {}

func TestStaplesThatCount(t *testing.T) {
	o := newOrigin(t)
	leaf := o.leaf(t, plainServer(), newKey(t).Public())
	responder, responderKey := o.responder(t, unchanged)
	tests := []struct {
		name   string
		change func(*ocsp.Response)
		key    crypto.Signer
	}{
		{"by the issuer", func(*ocsp.Response) {}, o.intermediateKey},
		{"by the issuer, who sends its certificate along", func(r *ocsp.Response) { r.Certificate = o.intermediate }, o.intermediateKey},
		{"by whom the issuer has appointed", func(r *ocsp.Response) { r.Certificate = responder }, responderKey},
		{"with SHA-256 for the issuer", func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }, o.intermediateKey},
		{"without an end", func(r *ocsp.Response) { r.NextUpdate = time.Time{} }, o.intermediateKey},
		{"by a clock that is a little ahead", func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(time.Minute) }, o.intermediateKey},
		{"by a clock that is a little behind", func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Minute) }, o.intermediateKey},
		{"revoked", func(r *ocsp.Response) {
			r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, time.Now(), ocsp.KeyCompromise
		}, o.intermediateKey},
		{"unknown", func(r *ocsp.Response) { r.Status = ocsp.Unknown }, o.intermediateKey},
	}
	for _, test := range tests {
		template := goodStatus(leaf)
		test.change(&template)
		got, err := readStatus(staple(t, o.intermediate, template, test.key), leaf, o.intermediate, time.Now())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		second := time.Second
		same := got.Code == template.Status && got.Reason == template.RevocationReason &&
			got.ThisUpdate.Equal(template.ThisUpdate.Truncate(second)) && got.NextUpdate.Equal(template.NextUpdate.Truncate(second)) &&
			got.RevokedAt.Equal(template.RevokedAt.Truncate(second)) && !got.ProducedAt.IsZero()
		if !same {
			t.Errorf("%s: %+v, want that of %+v", test.name, got, template)
		}
	}
}

func TestStaplesThatDoNotCount(t *testing.T) {
	o, other := newOrigin(t), newOrigin(t)
	leaf := o.leaf(t, plainServer(), newKey(t).Public())
	good := staple(t, o.intermediate, goodStatus(leaf), o.intermediateKey)
	signed := func(issuer *x509.Certificate, key crypto.Signer, change func(*ocsp.Response)) []byte {
		template := goodStatus(leaf)
		change(&template)
		return staple(t, issuer, template, key)
	}
	by := func(appoints *origin, change func(*x509.Certificate)) []byte {
		cert, key := appoints.responder(t, change)
		return signed(o.intermediate, key, func(r *ocsp.Response) { r.Certificate = cert })
	}
	renamed := *o.intermediate
	renamed.RawSubject = other.root.RawSubject
	tests := map[string][]byte{
		"nothing":               nil,
		"no DER":                []byte("a staple"),
		"more than a response":  append(bytes.Clone(good), 0),
		"an error":              ocsp.TryLaterErrorResponse,
		"of another number":     signed(o.intermediate, o.intermediateKey, func(r *ocsp.Response) { r.SerialNumber = other.root.SerialNumber }),
		"of another issuer":     signed(other.intermediate, o.intermediateKey, func(*ocsp.Response) {}),
		"of an issuer's name":   signed(&renamed, o.intermediateKey, func(*ocsp.Response) {}),
		"signed by another":     signed(o.intermediate, other.intermediateKey, func(*ocsp.Response) {}),
		"a damaged signature":   append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
		"by a server":           by(o, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"by one for any use":    by(o, func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"by a past responder":   by(o, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"by a future responder": by(o, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"by another's":          by(other, unchanged),
		"past":                  signed(o.intermediate, o.intermediateKey, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-6 * time.Minute) }),
		"future":                signed(o.intermediate, o.intermediateKey, func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(6 * time.Minute) }),
		"saying nothing":        signed(o.intermediate, o.intermediateKey, func(r *ocsp.Response) { r.Status = 99 }),
	}
	for name, der := range tests {
		if status, err := readStatus(der, leaf, o.intermediate, time.Now()); err == nil {
			t.Errorf("%s: %+v, want an error", name, status)
		}
	}
	for n := range good {
		if status, err := readStatus(good[:n], leaf, o.intermediate, time.Now()); err == nil {
			t.Errorf("the first %d bytes of %d: %+v, want an error", n, len(good), status)
		}
	}
	if _, err := readStatus(good, leaf, o.intermediate, time.Now()); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// FuzzStatus holds that what is read of any response which the issuer has signed can be written, and is then read as
// the same.
func FuzzStatus(f *testing.F) {
	o := newOrigin(f)
	leaf := o.leaf(f, plainServer(), newKey(f).Public())
	for _, change := range []func(*ocsp.Response){
		func(*ocsp.Response) {},
		func(r *ocsp.Response) { r.NextUpdate = time.Time{} },
		func(r *ocsp.Response) { r.Status = ocsp.Unknown },
		func(r *ocsp.Response) {
			r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, time.Now(), ocsp.Superseded
		},
	} {
		template := goodStatus(leaf)
		change(&template)
		response, err := ocsp.ParseResponse(staple(f, o.intermediate, template, o.intermediateKey), o.intermediate)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(response.TBSResponseData, uint16(0), byte(0))
		for at := range response.TBSResponseData {
			f.Add(response.TBSResponseData, uint16(at), byte(1))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte) {
		if int(at) < len(data) {
			data = bytes.Clone(data)
			data[at] ^= flip
		}
		signer := &issuer{cert: o.intermediate, key: o.intermediateKey}
		algorithm, signature, err := signLike(leaf, signer.key, data)
		noError(t, err)
		response, err := appendOCSPResponse(nil, data, algorithm, signature)
		if err != nil {
			return // no DER
		}
		now := time.Now()
		status, err := readStatus(response, leaf, o.intermediate, now)
		if err != nil {
			return
		}
		own, err := newStaple(status, leaf, signer)
		if err != nil {
			t.Fatalf("%+v, as read of %x, cannot be written: %v", status, data, err)
		}
		again, err := readStatus(own, leaf, o.intermediate, now)
		if err != nil || stapledKey(leafID{}, again) != stapledKey(leafID{}, status) {
			t.Errorf("%+v, as read of %x, is then read as %+v, %v", status, data, again, err)
		}
	})
}
