// Package policy decides what becomes of a flow: by the rules that the operator has written down, and by how the client
// behaves.
//
//	rules, err := policy.LoadRules(ctx, policy.Sources{Ruleset: "rules.json"})
//	go rules.Watch(ctx) // reads again what changes
//	…
//	decision := rules.Decide(policy.FactsOf(flow, hello))
//
//	memory := policy.NewBypass(1, 15*time.Minute, policy.DefaultSize)
//	…
//	key := policy.KeyOf(flow, hello)
//	if memory.Bypassed(key) { … } // the flow goes through as it is
//	memory.Refused(key, tlsbridge.UnknownCA, "ok")
//
// The observer of a Bypass notes by itself which clients accept what they are shown.
//
// # Rules
//
// A rule file has the format of PolarProxy's: an object of JSON with "rules", of which the first that is active and
// matches decides, and a "default", which is required.
//
//	{"name": "…", "version": "…", "description": "…",
//	 "rules": [{"active": true, "description": "…",
//	            "match": {"type": "domain", "expression": "example.com"},
//	            "action": {"type": "inspect", "target": "192.0.2.1:443", "throttle": "10k"}}],
//	 "default": {"action": {"type": "bypass"}}}
//
// A match has a type, and most have an expression:
//
//	nontls                  the client does not speak TLS
//	domain                  the SNI is the name or below it; null: there is none
//	domain_regex            the SNI matches a regular expression, of RE2, anywhere and in any case
//	domain_in_file          the SNI is in a list, a file or URL: "format" domainlist, rpz, easylist or crux; "gzip";
//	                        "reload" after so many seconds
//	alpn                    the client offers the protocol
//	ja3, ja4                the hello has the fingerprint
//	decrypt_fail            the client has failed so often, with the same hello and name, within "period" seconds (900)
//	decrypt_fail_errorcode  it has failed "count" times (1) with that alert: its number or name, or OpenSSL's code
//	client, destination     the address is one of those, or in one of the prefixes
//	path                    the layers around are those: * is any characters of a layer, ** any layers
//	ech                     the hello has encrypted_client_hello; false: it has not
//	server_cert             the server's certificate is valid, expired, selfsigned, untrusted or wronghost
//
// All but nontls, client, destination and path match flows with a hello only. A destination that is a name is in no
// prefix: it is not resolved for that.
//
// The actions are those of [Action]. Their throttle is in bytes a second, for each direction.
//
// A server_cert is not known before the server was asked: [Decision].Awaits says what to do until then.
//
// # What a list says
//
//	domainlist  a name a line. The names below it are listed too. An address or a rank may stand before it
//	rpz         a response policy zone. A name is listed without those below it, *.name without the name
//	easylist    filters for browsers, of which those for a whole domain count, like ||example.com^
//	crux        origins and their ranks. The names below an origin's are listed too
//
// An exception in a list (rpz-passthru, @@||example.com^) takes a name out of it. What is said of a name goes before what
// is said of those above it.
//
// # Bypass by evidence
//
// Some clients can't be inspected: they pin the server's key, or nobody has told them of our authority. They show it by
// how they leave, and a [Bypass] remembers that: a client that has refused our certificate for a name as often as COUNT
// says is let through to that name, undecrypted, for SECONDS. The first attempts fail, as they must; then it works.
//
// A client is its address and its JA4 fingerprint. A flow of another program on the same machine, or of the same program
// on another, is still inspected.
//
// # Evidence
//
// Not every way to leave says as much. A refusal counts as much as its weight; the default COUNT of 1 needs a weight of 1.
//
//	unknown_ca               1    OpenSSL, NSS: there is no way from the certificate to an authority that it trusts
//	certificate_unknown      1    Java, BoringSSL and Apple: the same, and what a verifier of the application's own says
//	bad_certificate          1    Go, GnuTLS: the same, and a pin that does not match
//	certificate_revoked      1    the leaf points to no revocation list: it is our authority that is on a list
//	unsupported_certificate  1    the key or its usage: the server's own might do
//	certificate_expired      1/3  the dates are the server's, and it was valid for us: the client's clock is wrong, which
//	                              no bypass helps, or our authority is not valid yet on it, which one does
//	closed                   1/3  the connection ended without a word after the certificate. Some clients refuse like
//	                              this; but users press stop, and networks fail
//	silent                   1/4  the handshake was finished, and nothing said. Clients that check their pins, or the whole
//	                              certificate, afterwards do so (OkHttp, wget); but browsers connect ahead of need, and
//	                              monitors to see whether anybody is there
//	ech_required             0    the client comes again without ECH, or with our key: it has not refused anything
//
// So one bad alert is enough by default, and of the silent endings three or four. When the client sends application data
// through an inspected flow, it has accepted our certificate, and what was silence does not count any more: browsers that
// connect ahead also use the name.
//
// A refusal counts only when the server's own certificate was valid. If it was not, so is the leaf that mirrors it, and the
// client was right to refuse; it must not be given the invalid original next time without anybody looking.
//
// Counting begins with a refusal, and begins again SECONDS later. Refusals while the client is let through, by flows that
// were under way, do not prolong the bypass: when it is over, the client is tried again.
//
// # What a client can do with it
//
//   - It can have itself let through, by refusing on purpose; so can malware. Where that is worse than an application that
//     does not work, the bypass has to be off. Weak evidence can also be made for others: a web page can have browsers
//     connect to a name and say nothing.
//   - It can not have others let through, although anybody can send the hello of another program: the key has the address.
//     Clients behind one address whose hellos have the same JA4 are one client here. A trusted PROXY header tells them apart.
//   - It can not grow the memory, which is bounded, with names and fingerprints that it makes up. It can push others out of
//     it. That errs on the right side: they are inspected, refuse again, and are back.
package policy
