package mirror

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
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

// explain says whether changes may cure a handshake that failed, or the client's own hello.
func (h *handshake) explain(ctx context.Context, err error) error {
	if h.conn == nil || h.tap.broken || h.asked || ctx.Err() != nil {
		// It failed for a reason that has nothing to do with the hello, or too late: nobody is asked for a certificate twice.
		return err
	}
	if cure := h.cure(err) &^ h.config.Changes; cure != 0 {
		return &Retry{cure, err}
	}
	if h.conn.HandshakeState.Session != nil {
		return &Retry{WithoutResumption, err} // the ticket may be what was wrong, and the client's own might be good
	}
	if reason := h.lost(err); reason != "" {
		return &Unbridgeable{reason, err}
	}
	return err
}

// cure finds the changes that the evidence asks for: what the server has said, and how utls failed.
func (h *handshake) cure(err error) Changes {
	f, s := &h.tap.server, h.spec
	has := func(extension uint16) bool { _, ok := s.hello.Extension(extension); return ok }
	fails := func(part string) bool { return strings.Contains(err.Error(), part) }
	switch {
	case errors.Is(err, errEncryptThenMAC):
		return WithoutEncryptThenMAC
	case f.Retried && f.Group == hybrid:
		return HybridShare
	case f.Group != 0 && !isKnownGroup(f.Group) && slices.Contains(s.groups, f.Group):
		return KnownGroups
	case s.shares.filled && !f.Answered && isAlert(err, 47, 50, 80): // illegal_parameter, decode_error, internal_error
		return KnownGroups // the server may have taken a share for real that is filled with anything
	case (f.Answered || f.Retried) && !knownSuites[f.Suite] && slices.Contains(s.suites, f.Suite):
		return KnownSuites
	case fails("invalid signature by the server certificate") && has(extDelegatedCredential):
		return WithoutDelegatedCredentials
	case fails("decompress") && has(extCompressCertificate):
		return WithoutCompression
	case f.RetriedECH && has(extECH):
		return WithoutECH
	}
	return 0
}

// lost names what the client's own hello has and no hello of ours, if the server's alert may be about that; or "".
func (h *handshake) lost(err error) string {
	server := h.conn.HandshakeState.ServerHello
	switch {
	// handshake_failure, illegal_parameter, decrypt_error, missing_extension, unknown_psk_identity
	case h.spec.hello.HasPreSharedKey && hasExternalKey(h.spec.hello) && isAlert(err, 40, 47, 51, 109, 115):
		return "the client has a key of the server's"
	case server != nil && isAnyAlert(err) && !knowsAll(server.Raw):
		return "the server has agreed to what is not known here"
	}
	return ""
}

// hasExternalKey reports whether a client offers a key that it has not got from an earlier session: its
// obfuscated_ticket_age is 0 (RFC 8446 §4.2.11).
func hasExternalKey(hello *detect.ClientHello) bool {
	data, _ := hello.Extension(extPreSharedKey)
	if len(data) < 2 {
		return false
	}
	identities := data[2:min(2+int(binary.BigEndian.Uint16(data)), len(data))]
	for len(identities) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(identities))
		if len(identities) < n+4 {
			break
		}
		if binary.BigEndian.Uint32(identities[n:]) == 0 {
			return true
		}
		identities = identities[n+4:]
	}
	return false
}

// knowsAll reports whether utls does what a server has agreed to in the extensions of its ServerHello, or need not do
// anything. In TLS 1.3 it agrees elsewhere.
func knowsAll(serverHello []byte) bool {
	const sessionID = handshakeHeaderLen + 2 + 32
	if len(serverHello) <= sessionID {
		return true
	}
	extensions := sessionID + 1 + int(serverHello[sessionID]) + 2 + 1 + 2
	if len(serverHello) < extensions {
		return true
	}
	for id := range extensionsIn(serverHello[extensions:]) {
		if !knownAnswers[id] {
			return false
		}
	}
	return true
}

// knownAnswers are the extensions of a ServerHello that may be there in a handshake that succeeds.
var knownAnswers = map[uint16]bool{
	0: true, extMaxFragmentLength: true, extStatusRequest: true, extSupportedGroups: true, extPointFormats: true,
	extALPN: true, extSCT: true, extEncryptThenMAC: true, extExtendedMaster: true, extRecordSizeLimit: true,
	extSessionTicket: true, extSupportedVersions: true, extKeyShare: true, extPreSharedKey: true, extRenegotiationInfo: true,
}

// isAlert reports whether the server has ended a handshake with one of these alerts.
func isAlert(err error, alerts ...utls.AlertError) bool {
	op := (*net.OpError)(nil)
	return isAnyAlert(err) && errors.As(err, &op) &&
		slices.ContainsFunc(alerts, func(a utls.AlertError) bool { return op.Err.Error() == a.Error() })
}

func isAnyAlert(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "remote error" && op.Err != nil
}

// isCBC reports whether a suite that utls has uses a block cipher with a MAC, the only kind to which encrypt_then_mac
// applies.
func isCBC(id uint16) bool { return strings.Contains(utls.CipherSuiteName(id), "_CBC_") }
