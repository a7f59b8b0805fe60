package ca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
)

// Extensions that are not simply copied (RFC 5280 section 4.2.1).
var (
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// isDropped tells extensions that are true of the real issuer only, or that bind the leaf to what we cannot sign.
// SChannel, for one, fails when the CRL it is pointed to is not by the issuer it sees.
func isDropped(id asn1.ObjectIdentifier) bool {
	switch id.String() {
	case "2.5.29.30", // name constraints
		"2.5.29.31",               // CRL distribution points
		"2.5.29.46",               // freshest CRL
		"1.3.6.1.5.5.7.1.1",       // authority information access: OCSP and issuer addresses
		"1.3.6.1.5.5.7.1.24",      // TLS feature (RFC 7633): must-staple
		"1.3.6.1.4.1.11129.2.4.2", // signed certificate timestamps (RFC 6962 section 3.3)
		"1.3.6.1.4.1.11129.2.4.3": // precertificate poison (RFC 6962 section 3.1)
		return true
	}
	return false
}

// mirror makes the template of a leaf that says what the server's says, about our key. authorityKeyID is that of
// the signer.
//
// A leaf that another signs is an end entity, whatever the server's was: our authority has path length 0, and a CA
// certificate from it would be a gift to whoever finds the key. selfSigned is for the leaf that signs itself, and
// stays what the server's was.
func mirror(server *x509.Certificate, key *leafKey, authorityKeyID []byte, selfSigned bool) (*x509.Certificate, error) {
	template := &x509.Certificate{
		RawSubject: server.RawSubject,
		NotBefore:  server.NotBefore,
		NotAfter:   server.NotAfter,
	}
	demote := server.IsCA && !selfSigned
	if demote {
		template.BasicConstraintsValid = true
		template.KeyUsage = demotedUsage(server.KeyUsage)
	}
	if selfIssued(server) && !selfSigned && len(server.AuthorityKeyId) == 0 {
		// RFC 5280 section 4.2.1.1 lets only self-signed certificates be without; strict clients insist.
		template.AuthorityKeyId = authorityKeyID
	}
	for _, ext := range server.Extensions {
		if demote && (ext.Id.Equal(oidBasicConstraints) || ext.Id.Equal(oidKeyUsage)) {
			continue
		}
		ext, keep, err := mirrorExtension(server, ext, key.ski, authorityKeyID)
		if err != nil {
			return nil, err
		}
		if keep {
			template.ExtraExtensions = append(template.ExtraExtensions, ext)
		}
	}
	return template, nil
}

// demotedUsage takes away what only a CA may have. A usage for nothing else stays: a TLS client refuses it, as it
// refused the server's, whereas no usage at all means any.
func demotedUsage(usage x509.KeyUsage) x509.KeyUsage {
	if rest := usage &^ (x509.KeyUsageCertSign | x509.KeyUsageCRLSign); rest != 0 {
		return rest
	}
	return usage
}

// mirrorExtension keeps, replaces or drops one extension. The key identifiers are ours, and there only if the
// server has them: chains are built by them, so they must be true.
func mirrorExtension(server *x509.Certificate, ext pkix.Extension, subjectKeyID, authorityKeyID []byte) (pkix.Extension, bool, error) {
	var err error
	switch {
	case ext.Id.Equal(oidSubjectKeyID):
		ext.Value, err = asn1.Marshal(subjectKeyID)
	case ext.Id.Equal(oidAuthorityKeyID):
		if len(authorityKeyID) == 0 {
			return ext, false, nil
		}
		ext.Value, err = asn1.Marshal(struct {
			KeyID []byte `asn1:"optional,tag:0"`
		}{authorityKeyID})
	case ext.Id.Equal(oidSubjectAltName):
		// Kept even when critical and without a name that crypto/x509 knows: without it the subject would speak.
	case isDropped(ext.Id), isUnknownCritical(server, ext.Id):
		return ext, false, nil
	}
	if err != nil {
		return ext, false, fmt.Errorf("encode key identifier: %w", err)
	}
	return ext, true, nil
}

// isUnknownCritical tells extensions that a client has to understand and that we do not: their meaning may be
// bound to the real key or issuer.
func isUnknownCritical(server *x509.Certificate, id asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(server.UnhandledCriticalExtensions, id.Equal)
}
