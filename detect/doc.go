// Package detect tells from the first bytes of a conversation which protocol is spoken.
//
// A [Detector] is a pure function from the bytes seen so far to a [Verdict]: no match, need more, or match with an
// [Info]. [Identify] asks several in order of priority:
//
//	v := detect.Identify(detect.Input{Client: buf}, detect.Clients()...)
//	switch v.Kind {
//	case detect.NoMatch:  // none of them, whatever follows: relay it raw
//	case detect.NeedMore: // v.Need bytes are the least that can decide it
//	case detect.Match:    // v.Info says what was recognised
//	}
//
// # Laws
//
// Every detector keeps them; package detecttest holds any detector, yours too, to them:
//
//   - Stability: NoMatch or Match on some bytes stays so on every extension of them. An Info may say more when more
//     is there; what it said once it does not take back.
//   - Progress: NeedMore asks for more than is there, for no more than a match needs, and never for more than the
//     detector's Limit.
//   - Chunk independence: the verdict depends on the bytes, not on how they arrived.
//   - Bounded work: linear in the input, no panic, and no allocation unless the verdict is Match (or that
//     of a part, for [Any], [All] and [Not]).
//   - A datagram is whole: of a detector of these, Progress is never NeedMore, and Stability says nothing.
//   - Exclusivity: two detectors match the same bytes only where [Collisions] says so.
//
// # Parsers
//
// The first message of each protocol has one parser, and it is here: [ParseClientHello], [ParseRequestHead],
// [ParseSOCKS4Request], [ParseSOCKS5Greeting], [ParseProxyHeader], [ParseSSHIdentification], and of those that change to
// TLS on the way [ParsePostgresRequest], [ParseMySQLGreeting], [ParseMySQLResponse], [ParseTDSPrelogin] and
// [ParseLDAPMessage]. Detectors are built from them; layers add the later messages. A parser takes a buffer that may
// hold too little or too much, and returns the message, its length in bytes, and an error: [ErrShort] when the buffer
// holds only a beginning, a [*MalformedError] when no continuation can make it valid. With an error the message is the
// zero value and the length 0. Parsers keep no slice of the buffer, do not change it, do no I/O, and allocate by what
// arrived, never by what a length field claims.
//
// # Fingerprints
//
// [ClientHello.JA3] and [ClientHello.JA4] name the program that sends a hello, for logs and policies. Anybody can send
// the hello of another program, so they are no credentials.
//
// # What it does not do
//
// There is no clock here: silence, timeouts and reading are the caller's. There is no guessing: where a protocol has a
// quick sign and a sound one, the detector waits for the sound one. TLS is a match when the whole ClientHello is there
// and parses, HTTP/1 at the end of the request line. The PROXY protocol is the exception, at its signature, because a
// header that breaks after the signature must be refused and not be taken for payload.
//
// Specifications: RFC 8446 and RFC 5246 (TLS), RFC 9110, RFC 9112 and RFC 9113 (HTTP), RFC 1928 (SOCKS5), the SOCKS4
// and SOCKS4A memos, the PROXY protocol specification of HAProxy, RFC 4253 (SSH).
package detect
