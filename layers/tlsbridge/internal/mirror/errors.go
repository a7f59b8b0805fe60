package mirror

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	utls "github.com/refraction-networking/utls"
)

// ErrClientCertificate is a handshake whose server asks for a client certificate when there is nobody to ask.
var ErrClientCertificate = errors.New("the server asks for a client certificate")

// Retry is a handshake that failed for a reason that is ours and that changes to the hello may cure.
type Retry struct {
	Changes Changes // those to add
	Err     error
}

func (r *Retry) Error() string { return r.Err.Error() }
func (r *Retry) Unwrap() error { return r.Err }

// Unbridgeable is a hello or a server that no change cures, although the client's own hello might fare better.
type Unbridgeable struct {
	Reason string // a few words
	Err    error
}

func (u *Unbridgeable) Error() string {
	if u.Err == nil {
		return u.Reason
	}
	return u.Reason + ": " + u.Err.Error()
}

func (u *Unbridgeable) Unwrap() error { return u.Err }

// Panic is a panic of utls.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// explain says whether changes may cure a handshake that failed.
func (h *handshake) explain(err error) error {
	if h.spec == nil || h.conn == nil {
		return err
	}
	if h.conn.HandshakeState.Session != nil && h.config.Changes&WithoutResumption == 0 {
		// The ticket may be what was wrong, and the client's own might be good.
		return &Retry{WithoutResumption, err}
	}
	if cure := h.cure(err.Error()) &^ h.config.Changes; cure != 0 {
		return &Retry{cure, err}
	}
	return err
}

// cure finds the changes that the evidence asks for: what the server has said, and how utls failed.
func (h *handshake) cure(text string) Changes {
	f, s := &h.tap.server, h.spec
	has := func(extension uint16) bool { _, ok := s.hello.Extension(extension); return ok }
	fails := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case f.EncryptThenMAC && isCBC(f.Suite):
		return WithoutEncryptThenMAC
	case f.Retried && f.Group == hybrid:
		return HybridShare
	case f.Group != 0 && !isKnownGroup(f.Group):
		return KnownGroups
	case fails("unconfigured cipher suite"):
		return KnownSuites
	case fails("invalid signature by the server certificate") && has(extDelegatedCredential):
		return WithoutDelegatedCredentials
	case fails("decompress") && has(extCompressCertificate):
		return WithoutCompression
	case f.RetriedECH || fails("encrypted client hello") && has(extECH):
		return WithoutECH
	}
	return 0
}

// isCBC reports whether a suite that utls has uses a block cipher with a MAC, the only kind to which encrypt_then_mac
// applies.
func isCBC(id uint16) bool {
	name := utls.CipherSuiteName(id)
	return strings.Contains(name, "_CBC_") || slices.Contains([]uint16{utls.FAKE_TLS_DHE_RSA_WITH_AES_128_CBC_SHA}, id)
}
