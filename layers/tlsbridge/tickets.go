package tlsbridge

// Tickets are the keys of the session tickets that clients get. It is safe for
// concurrent use.
type Tickets struct{}
