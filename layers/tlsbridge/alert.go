package tlsbridge

import (
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

// Alert is an AlertDescription (RFC 8446 §6).
type Alert uint8

// The alerts that this package sends by itself, or looks for. All others are those of a peer.
const (
	closeNotify      Alert = 0
	handshakeFailure Alert = 40
	accessDenied     Alert = 49
	decodeError      Alert = 50
	protocolVersion  Alert = 70
	insufficient     Alert = 71 // insufficient_security
	internalError    Alert = 80
	userCanceled     Alert = 90
	unrecognizedName Alert = 112
)

// String returns the alert's words, as crypto/tls has them.
func (a Alert) String() string {
	return strings.TrimPrefix(tls.AlertError(a).Error(), "tls: ")
}

const (
	contentTypeAlert     = 21
	contentTypeHandshake = 22

	levelWarning = 1
	levelFatal   = 2
)

// appendAlert appends a as a plaintext record, as a server sends it that has answered
// nothing yet.
//
// RFC 8446 §5.1 and RFC 5246 §E.1 let the record version be at most what the client
// put into legacy_version; TLS 1.3 peers write 3.3.
func appendAlert(b []byte, hello *detect.ClientHello, a Alert) []byte {
	version, level := uint16(tls.VersionTLS12), byte(levelFatal)
	if hello != nil {
		version = min(hello.LegacyVersion, version)
	}
	if a == closeNotify {
		level = levelWarning
	}
	return append(b, contentTypeAlert, byte(version>>8), byte(version), 0, 2, level, byte(a))
}

// alertOf returns the alert of the peer that made a TLS operation fail. crypto/tls and
// utls wrap it as a net.OpError around a type that they do not export, and which no
// errors.As can name: it is recognised by what it is, a number of 8 bits.
func alertOf(err error) (Alert, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return Alert(v.Uint()), true
}
