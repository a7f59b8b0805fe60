package socks

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// answerFunc makes the last message of a handshake that we terminate: the grant when err is nil, else the refusal.
type answerFunc func(err error, bnd Addr) []byte

func answer5(err error, bnd Addr) []byte {
	reply, _ := AppendReply(nil, Reply{Rep: repOf(err), Bnd: bnd}) // an IP address always fits
	return reply
}

// answer4 knows one refusal: the other two speak of identd, which nobody asks.
func answer4(err error, bnd Addr) []byte {
	reply := Reply4{Rep: Rep4Granted, DstPort: bnd.Port, DstIP: bnd.IP}
	if err != nil {
		reply = Reply4{Rep: Rep4Rejected, DstIP: netip.IPv4Unspecified()}
	}
	return AppendReply4(nil, reply)
}

// errCommand is a command that is not served.
var errCommand = errors.New("only CONNECT is served")

// repOf maps what stopped a request to its reply code; nil is RepSucceeded. It goes by errno and by the reason that
// whoever failed has given, never by the text of an error. The reply of a SOCKS server that we have asked ourselves is
// handed on.
func repOf(err error) Rep {
	bad, desync, refusal := (*detect.MalformedError)(nil), (*bridge.Desync)(nil), (*Refusal)(nil)
	switch {
	case err == nil:
		return RepSucceeded
	case errors.As(err, &refusal):
		return refusal.rep()
	case errors.Is(err, errCommand):
		return RepCommandNotSupported
	case errors.As(err, &bad) && bad.Field == "ATYP":
		return RepAddrTypeNotSupported
	case errors.As(err, &desync): // a request that broke the protocol or did not come
		return RepGeneralFailure
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN):
		return RepNetworkUnreachable
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ETIMEDOUT):
		return RepHostUnreachable
	}
	switch reason, _ := bridge.ReasonOf(err); reason {
	case bridge.Refused:
		return RepConnectionRefused
	case bridge.DNS, bridge.Unreachable:
		return RepHostUnreachable
	case bridge.Denied, bridge.Loop, bridge.Block:
		return RepNotAllowed
	case bridge.Timeout:
		return RepTTLExpired
	}
	return RepGeneralFailure
}
