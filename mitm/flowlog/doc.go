// Package flowlog writes what became of each flow: a JSON object a line for programs,
// and a line of text for people.
//
//	l, err := flowlog.Create("flows.jsonl")
//	if err != nil { … }
//	defer l.Close()
//	proxy := &bridge.Proxy{Handler: chain, Observer: l.Observer()}
//
// A [Log] is an observer. It writes one line when a flow ends, in one Write, so that
// lines of several processes do not mix in a file that all append to. [Schema] describes
// the object (JSON Schema, draft 2020-12); its "v" is [Version]. Fields that do not apply
// are absent. Fields may be added without a new version, so readers are to ignore those
// that they do not know.
//
// # Action
//
// What was done with a flow is told from its innermost TLS layer and its outcome:
//
//	block      one of our own rules ended it: its reason is block, denied or loop
//	inspect    TLS was bridged, or would have been, had the handshakes not failed
//	terminate  TLS was taken off, and the server got what was in it
//	encrypt    the client spoke plain, and the server TLS
//	bypass     TLS was passed on as it is: by a rule, or because it broke the protocol
//	rescue     TLS was passed on as it is, because the server's side could not be bridged
//	allow      there was no TLS
//
// Where the server was reached through a proxy, "originated" says what was spoken with that
// one, and where it was sent a PROXY header, what that has said. It is no part of the path and of the action, which are about what the client speaks.
//
// The rule is "default", or names the option that made an exception: "bypassonfail" when
// a flow was passed on because its client had refused our certificates before. How it
// refused, tls.refused says of the flow in which it did.
//
// # Limits
//
// Observers must not block flows: lines wait in a queue of 4 MiB while the destination
// is slow. What finds it full, and what can't be written, is lost; that is reported
// through slog when it begins and, with the number of lines, when it is over.
package flowlog
