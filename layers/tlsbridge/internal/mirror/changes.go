package mirror

import "strings"

// Changes are what a mirrored hello has different from the client's own. 0 is nothing: the hello is faithful.
type Changes uint16

// The changes. Each cures something that utls cannot do and that the server has taken up.
const (
	WithoutEncryptThenMAC       Changes = 1 << iota // encrypt_then_mac (RFC 7366)
	KnownGroups                                     // groups that utls lacks are left out, and one that is left has a share
	KnownSuites                                     // cipher suites that utls lacks are left out
	HybridShare                                     // there is a share of X25519MLKEM768
	WithoutDelegatedCredentials                     // delegated_credential (RFC 9345)
	WithoutCompression                              // compress_certificate (RFC 8879)
	WithoutECH                                      // encrypted_client_hello (RFC 9849)
	WithoutResumption                               // no session is resumed
)

// String names the changes for people.
func (c Changes) String() string {
	if c == 0 {
		return "faithful"
	}
	names := []string{
		"without encrypt_then_mac", "known groups", "known suites", "hybrid share", "without delegated_credential",
		"without compress_certificate", "without encrypted_client_hello",
		"without resumption",
	}
	var list []string
	for i, name := range names {
		if c&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}

// without returns the change that leaves an extension out, and 0 when there is none.
func without(extension uint16) Changes {
	switch extension {
	case extEncryptThenMAC:
		return WithoutEncryptThenMAC
	case extDelegatedCredential:
		return WithoutDelegatedCredentials
	case extCompressCertificate:
		return WithoutCompression
	case extECH:
		return WithoutECH
	}
	return 0
}
