package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

const (
	startTLS     = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
	startedTLS   = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
	refusedTLS   = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"
	searchRoot   = "\x30\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"
	searchEntry  = "\x30\x0b\x02\x01\x02\x64\x06\x04\x00\x30\x02\x30\x00"
	searchDone   = "\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
	bindRequest  = "\x30\x0c\x02\x01\x03\x60\x07\x02\x01\x03\x04\x00\x80\x00"
	bindResponse = "\x30\x0c\x02\x01\x03\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
	notice       = "\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036"
)

func TestLDAP(t *testing.T) {
	play(t, starttls.LDAP(), []dialogue{
		{"TLS is granted", Script{C(startTLS), S(startedTLS), Tunnel()}, "ldap>inner", starttls.Plain{}, bridge.Frame{}},
		{
			"after a search",
			Script{C(searchRoot), S(searchEntry + searchDone), C(startTLS), S(startedTLS), Tunnel()},
			"ldap>inner",
			starttls.Plain{},
			bridge.Frame{},
		},
		{
			"TLS is refused, and the client binds",
			Script{C(startTLS), S(refusedTLS), C(bindRequest), S(bindResponse), Tunnel()},
			"ldap",
			starttls.Plain{Refusal: "resultCode 52"},
			bridge.Frame{},
		},
		{"TLS is not asked for", Script{C(bindRequest), S(bindResponse), Tunnel()}, "ldap", starttls.Plain{}, bridge.Frame{}},
		{
			"the server goes",
			Script{C(startTLS), S(notice), S(refusedTLS)},
			"ldap",
			starttls.Plain{Refusal: "resultCode 52"},
			bridge.Frame{},
		},
		{"another response", Script{C(searchRoot), S(bindResponse), Tunnel()}, "ldap>raw", starttls.Plain{}, bridge.Frame{}},
		{"no LDAP", Script{C("\x30\x84\xff\xff\xff\xff"), Tunnel()}, "ldap>raw", starttls.Plain{}, bridge.Frame{}},
	})
}

const (
	clientStream = "<?xml version='1.0'?><stream:stream from='me@a.test' to='a.test' version='1.0'>"
	serverStream = "<?xml version='1.0'?><stream:stream id='>/' version='1.0'>"
	features     = "<stream:features>\n<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><x><![CDATA[</x>]]></x></stream:features>"
	askTLS       = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	proceedTLS   = `<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>`
)

func TestXMPP(t *testing.T) {
	known := starttls.Plain{Client: "me@a.test", Host: "a.test"}
	refused := known
	refused.Refusal = "failure"
	play(t, starttls.XMPP(), []dialogue{
		{"TLS is granted", Script{C(clientStream), S(serverStream + features), C(askTLS), S(proceedTLS), Tunnel()}, "xmpp>inner", known, bridge.Frame{}},
		{
			"in pieces, and with whitespace between them",
			Script{C("\n" + clientStream), S(serverStream), S("\n"), S(features), C(" \r\n"), C(askTLS), S(proceedTLS), Tunnel()},
			"xmpp>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is refused",
			Script{C(clientStream), S(serverStream + features), C(askTLS), S("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")},
			"xmpp", refused,
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{C(clientStream), S(serverStream + "<stream:features/>"), C("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), Tunnel()},
			"xmpp", known,
			bridge.Frame{},
		},
		{
			"a client of before version 1.0, which expects no features",
			Script{C("<stream:stream to='a.test'>"), S("<stream:stream id='1'>"), C("<iq/>"), Tunnel()},
			"xmpp",
			starttls.Plain{},
			bridge.Frame{},
		},
		{
			"a server of before version 1.0",
			Script{C(clientStream), S("<stream:stream id='1'>"), C("<iq/>"), Tunnel()},
			"xmpp", known,
			bridge.Frame{},
		},
		{
			"an error of the stream",
			Script{C(clientStream), S(serverStream + "<stream:error><host-unknown/></stream:error></stream:stream>")},
			"xmpp", known,
			bridge.Frame{},
		},
		{"no XMPP", Script{C(clientStream), S("<!-- no -->"), Tunnel()}, "xmpp>raw", known, bridge.Frame{}},
	})
}
