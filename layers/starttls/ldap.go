package starttls

import (
	"context"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// LDAP returns the layer for LDAP (RFC 4511) with StartTLS (RFC 4511 §4.14, RFC 4513 §3.1).
//
// Searches before it are relayed: clients look into the root DSE for what the server can do.
func LDAP() bridge.Layer { return layer("ldap", ldap) }

func ldap(ctx context.Context, s *session) error {
	for {
		request, _, err := expect(ctx, s, bridge.Client, detect.ParseLDAPMessage)
		if err != nil {
			return err
		}
		switch {
		case request.Op == detect.LDAPExtendedRequest && request.Name == detect.LDAPStartTLS:
			if granted, err := startTLS(ctx, s, request.ID); err != nil || granted {
				return err
			}
		case request.Op == detect.LDAPSearchRequest:
			if err := search(ctx, s, request.ID); err != nil {
				return err
			}
		default:
			return errPlain
		}
	}
}

// startTLS relays a StartTLS request and its response.
func startTLS(ctx context.Context, s *session, id int) (granted bool, err error) {
	if _, err := ask(ctx, s, detect.ParseLDAPMessage); err != nil {
		return false, err
	}
	for {
		m, err := answer(ctx, s, ldapResponse(id), isStarted, bridge.Class(itself[detect.LDAPMessage]))
		switch {
		case err != nil:
			return false, err
		case m.ID == 0:
			s.noRedial()
			continue
		case isStarted(m):
			s.plain.Refusal = ""
			return true, nil
		}
		s.plain.Refusal = fmt.Sprintf("resultCode %d", m.ResultCode)
		return false, nil
	}
}

func isStarted(m detect.LDAPMessage) bool {
	return m.Op == detect.LDAPExtendedResponse && m.ID != 0 && m.ResultCode == 0
}

// search relays a search and its results.
func search(ctx context.Context, s *session, id int) error {
	s.noRedial()
	if _, err := turn(ctx, s, bridge.Client, detect.ParseLDAPMessage); err != nil {
		return err
	}
	for {
		m, err := turn(ctx, s, bridge.Server, ldapResponse(id))
		if err != nil || m.ID == id && m.Op == detect.LDAPSearchDone {
			return err
		}
	}
}

// ldapResponse reads a message of the server's: a response to the one request that is under way, or an unsolicited
// notification, whose messageID is 0 (RFC 4511 §4.4).
func ldapResponse(id int) bridge.Parser[detect.LDAPMessage] {
	return func(buf []byte) (detect.LDAPMessage, int, error) {
		m, n, err := detect.ParseLDAPMessage(buf)
		if err == nil && m.ID != id && m.ID != 0 {
			return detect.LDAPMessage{}, 0, malformed("ldap", "messageID", 0)
		}
		return m, n, err
	}
}
