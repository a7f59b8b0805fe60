// Package starttls relays protocols that begin in the clear and change to TLS on the way, up to where they do, as
// layers of a bridge. What is behind such a layer bridges TLS:
//
//	handler := bridge.Chain(
//		starttls.SMTP(),
//		tlsbridge.Relay(tlsbridge.Config{Minter: minter}),
//	)
//
// Each message is passed on as it came, as soon as it is complete; the two real peers agree on TLS, or do not. The next
// layer gets the conversation when the server has granted what the client has asked for. When the server refuses, the
// conversation goes on, and the client may ask again. A server, or somebody on the way, that does not offer TLS is not
// made to. As soon as the client says what is not for before TLS (it logs in, it sends a mail), the conversation goes
// to the last handler of the chain, [bridge.Last], as it is.
//
//	layer        protocols        the verb, and the answer that grants it      specification
//	SMTP         SMTP, LMTP       STARTTLS: 220                                RFC 3207, 2033
//	FTP          FTP              AUTH TLS, TLS-C, TLS-P or SSL: 234           RFC 4217
//	Reply220     SMTP, LMTP, FTP  by the client's first verb                   the same
//	IMAP         IMAP             STARTTLS: OK                                 RFC 9051 §6.2.1, 2595
//	POP3         POP3             STLS: +OK                                    RFC 2595 §4
//	NNTP         NNTP             STARTTLS: 382                                RFC 4642
//	ManageSieve  ManageSieve      STARTTLS: OK                                 RFC 5804 §2.2
//	XMPP         XMPP             <starttls/>: <proceed/>                      RFC 6120 §5
//	LDAP         LDAP             StartTLS: resultCode 0                       RFC 4511 §4.14
//	PostgreSQL   PostgreSQL       SSLRequest: S                                Frontend/Backend Protocol
//	MySQL        MySQL, MariaDB   SSLRequest, which is not answered            MySQL Internals
//	IRC          IRC              STARTTLS: 670                                IRCv3, "tls"
//	RDP          RDP              Connection Request: PROTOCOL_SSL             [MS-RDPBCGR] §2.2.1
//	TDS          TDS 7.x          PRELOGIN: ENCRYPT_ON or ENCRYPT_REQ          [MS-TDS] §2.2.6.5
//	Generic      any              none; it looks for the ClientHello
//
// # What stands behind the verb
//
// Nothing may. A client that asks for TLS waits for the answer, and the server says nothing behind an answer that grants
// it. What stands there nonetheless was put there in plain text, for a peer that takes it for the first of what it is told
// in TLS (CVE-2011-0411, CVE-2021-23214, CVE-2021-23222): the flow ends with [bridge.Desynced].
//
// # What is learnt
//
// The one frame is named as the protocol ("smtp", "lmtp", "ftp"; "220" when the client did not say which). It is pushed
// when it is known how the plain part ends, and says by Continues that the protocol goes on in TLS. Its Detail is a
// [*Plain]. From the first message on what is said is shown to an observer's tap: the plain part and what is in TLS are
// one stream there.
//
// # Waiting
//
// People type slowly, and servers greet late; so both are waited for as long as a relay may be idle. A message that has
// begun must be complete within the limit of a turn, or the rest goes on raw; a line that a client types has all the
// time of an idle flow.
//
// # What it does not do
//
// Data connections of FTP are not looked for: they come through a proxy by themselves. A server that wants a session of
// the control connection to be resumed on them refuses those of a client that resumes the one that it has with us.
// CredSSP (RDP), encryption of the login alone (TDS), and encryption by GSSAPI (FTP, PostgreSQL) go on as they are. The
// verb is not looked for behind a login, nor in SASL security layers. VeNCrypt (VNC) and the TLS header of AMQP 1.0 are not here.
//
// A conversation can be had again by Redial when it held no more than the greeting, the client's greeting and questions
// for capabilities, NOOP and the verb, and never in IRC and in the generic form.
package starttls
