package policy

import (
	"strconv"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// defaultFailPeriod is the period of a rule that does not say.
const defaultFailPeriod = 900

func readFailures(_ *ruleReader, f *fields, n node) (matcher, error) {
	count, err := n.number("expression", 1, maxFailures)
	if err != nil {
		return nil, err
	}
	period, err := f.number("period", 1, maxSeconds, defaultFailPeriod)
	return matchFailures{count: int(count), period: time.Duration(period) * time.Second}, err
}

func readErrorCode(_ *ruleReader, f *fields, n node) (matcher, error) {
	how, ok := ParseRefusal(strings.Trim(n.String(), `"`))
	if !ok {
		return nil, at(n.line, "expression is %s: want an alert by number or name, like 48 or unknown_ca, or OpenSSL's code for it, like 0x0A000418", n)
	}
	count, err := f.number("count", 1, maxFailures, 1)
	if err != nil {
		return nil, err
	}
	period, err := f.number("period", 1, maxSeconds, defaultFailPeriod)
	return matchFailures{how: how, count: int(count), period: time.Duration(period) * time.Second}, err
}

// alerts are the descriptions of alerts (RFC 8446 §6, and what RFC 5246 §7.2 has besides), by their numbers.
var alerts = map[uint64]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
	30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate",
	43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
	47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error",
	60: "export_restriction", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
	86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension",
	110: "unsupported_extension", 111: "certificate_unobtainable", 112: "unrecognized_name",
	113: "bad_certificate_status_response", 114: "bad_certificate_hash_value", 115: "unknown_psk_identity",
	116: "certificate_required", 120: "no_application_protocol", 121: "ech_required",
}

// Refusal is how a client shows that it does not accept what it was shown.
type Refusal = tlsbridge.Refusal

// ParseRefusal returns how a client has failed by an alert's number, name, or OpenSSL's code for having been sent it; or
// by our own words for failing without one, closed and silent.
func ParseRefusal(s string) (Refusal, bool) {
	s = strings.ToLower(s)
	switch how := tlsbridge.Refusal(s); how {
	case tlsbridge.ClosedOnCertificate, tlsbridge.SilentAfterHandshake:
		return how, true
	}
	for _, name := range alerts {
		if s == name {
			return tlsbridge.Refusal(name), true
		}
	}
	number, err := strconv.ParseUint(s, 10, 8)
	if code, isCode := strings.CutPrefix(s, "0x"); isCode {
		number, err = openSSLAlert(code)
	}
	if err != nil {
		return tlsbridge.NotRefused, false
	}
	name, ok := alerts[number]
	return Refusal(name), ok
}

// openSSLAlert returns the alert of an OpenSSL error code. The reason is SSL_AD_REASON_OFFSET, 1000, and the alert; the
// library is ERR_LIB_SSL, 20, which OpenSSL 3 has in the bits from 23 on, over a reason of 23 bits, and those before in
// the bits from 24 on, over 12 bits of a function's number and a reason of 12.
func openSSLAlert(digits string) (uint64, error) {
	const (
		library = 20
		offset  = 1000
	)
	code, err := strconv.ParseUint(digits, 16, 32)
	reason := uint64(0)
	switch {
	case code>>23 == library:
		reason = code & 0x7fffff
	case code>>24 == library:
		reason = code & 0xfff
	}
	if err != nil || reason < offset {
		return 0, strconv.ErrSyntax
	}
	return reason - offset, nil
}
