package ca

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/ocsp"
)

// The ASN.1 of OCSP responses (RFC 6960 section 4.2.1), as far as it is written here. Reading is left to
// golang.org/x/crypto/ocsp; its writing puts in the time of day and signs with chance, so that no two replicas
// would have the same bytes.
type (
	ocspResponse struct {
		Status asn1.Enumerated   // 0: successful
		Bytes  ocspResponseBytes `asn1:"explicit,tag:0"`
	}
	ocspResponseBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	ocspBasicResponse struct {
		Data      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	ocspResponseData struct {
		ResponderID asn1.RawValue
		ProducedAt  time.Time `asn1:"generalized"`
		Responses   []ocspSingleResponse
	}
	ocspSingleResponse struct {
		CertID     ocspCertID
		Good       asn1.Flag       `asn1:"tag:0,optional"`
		Revoked    ocspRevokedInfo `asn1:"tag:1,optional"`
		Unknown    asn1.Flag       `asn1:"tag:2,optional"`
		ThisUpdate time.Time       `asn1:"generalized"`
		NextUpdate time.Time       `asn1:"generalized,explicit,tag:0,optional"`
	}
	ocspCertID struct {
		HashAlgorithm pkix.AlgorithmIdentifier
		IssuerName    []byte // hashed
		IssuerKey     []byte // hashed
		SerialNumber  *big.Int
	}
	ocspRevokedInfo struct {
		RevocationTime time.Time       `asn1:"generalized"`
		Reason         asn1.Enumerated `asn1:"explicit,tag:0,optional"`
	}
)

var (
	oidOCSPBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// appendOCSPData appends the part of a response that is signed: the status of the leaf, by its issuer.
//
// RFC 5019 section 2.2.3 asks for a single response, and for SHA-1 to name the issuer: nothing secret hangs on that
// hash, and clients look for no other.
func appendOCSPData(b []byte, s *Status, leaf, issuer *x509.Certificate) ([]byte, error) {
	name, key, err := issuerHashes(crypto.SHA1, issuer)
	if err != nil {
		return nil, err
	}
	keyHash, err := asn1.Marshal(key)
	if err != nil {
		return nil, err
	}
	single := ocspSingleResponse{
		CertID: ocspCertID{
			HashAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue},
			IssuerName:    name,
			IssuerKey:     key,
			SerialNumber:  leaf.SerialNumber,
		},
		ThisUpdate: s.ThisUpdate.UTC(),
		NextUpdate: s.NextUpdate.UTC(), // left out when it is zero
	}
	switch s.Code {
	case ocsp.Good:
		single.Good = true
	case ocsp.Revoked:
		single.Revoked = ocspRevokedInfo{s.RevokedAt.UTC(), asn1.Enumerated(s.Reason)}
	default:
		single.Unknown = true
	}
	data, err := asn1.Marshal(ocspResponseData{
		ResponderID: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: keyHash}, // byKey
		ProducedAt:  s.ProducedAt.UTC(),
		Responses:   []ocspSingleResponse{single},
	})
	return append(b, data...), err
}

// appendOCSPResponse appends the whole response around the signed part. No certificate is in it: the signer is the
// issuer of the leaf, whom the client knows.
func appendOCSPResponse(b, data []byte, algorithm pkix.AlgorithmIdentifier, signature []byte) ([]byte, error) {
	basic, err := asn1.Marshal(ocspBasicResponse{
		Data:      asn1.RawValue{FullBytes: data},
		Algorithm: algorithm,
		Signature: asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	if err != nil {
		return nil, err
	}
	response, err := asn1.Marshal(ocspResponse{Bytes: ocspResponseBytes{oidOCSPBasic, basic}})
	return append(b, response...), err
}

// ocspCertIDs returns the certificates that the signed part of a response speaks of.
func ocspCertIDs(data []byte) ([]ocspCertID, error) {
	// Like ocspResponseData, but that each response is read only as far as its first field.
	var read struct {
		Version     int `asn1:"optional,default:0,explicit,tag:0"`
		ResponderID asn1.RawValue
		ProducedAt  time.Time `asn1:"generalized"`
		Responses   []struct{ CertID ocspCertID }
	}
	if _, err := asn1.Unmarshal(data, &read); err != nil {
		return nil, err
	}
	ids := make([]ocspCertID, len(read.Responses))
	for i, response := range read.Responses {
		ids[i] = response.CertID
	}
	return ids, nil
}

// issuerHashes are what a CertID names an issuer by: hashes of its name, and of its key without the algorithm.
func issuerHashes(hash crypto.Hash, issuer *x509.Certificate) (name, key []byte, err error) {
	if !hash.Available() {
		return nil, nil, fmt.Errorf("no implementation of %v", hash)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, nil, fmt.Errorf("decode public key: %w", err)
	}
	sum := func(b []byte) []byte {
		h := hash.New()
		h.Write(b)
		return h.Sum(nil)
	}
	return sum(issuer.RawSubject), sum(info.PublicKey.RightAlign()), nil
}

// signLike signs data as the certificate was signed, by the same key.
func signLike(cert *x509.Certificate, key crypto.Signer, data []byte) (pkix.AlgorithmIdentifier, []byte, error) {
	var signed struct {
		Content   asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.Raw, &signed); err != nil {
		return signed.Algorithm, nil, fmt.Errorf("decode certificate: %w", err)
	}
	hash, ok := map[x509.SignatureAlgorithm]crypto.Hash{
		x509.SHA256WithRSA:   crypto.SHA256,
		x509.ECDSAWithSHA256: crypto.SHA256,
		x509.ECDSAWithSHA384: crypto.SHA384,
		x509.ECDSAWithSHA512: crypto.SHA512,
		x509.PureEd25519:     0,
	}[cert.SignatureAlgorithm]
	if !ok {
		return signed.Algorithm, nil, errors.New("no hash for " + cert.SignatureAlgorithm.String())
	}
	// Without chance, as in the certificate itself.
	signature, err := crypto.SignMessage(key, nil, data, hash)
	return signed.Algorithm, signature, err
}
