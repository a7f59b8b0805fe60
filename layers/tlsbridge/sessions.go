package tlsbridge

// Sessions keeps the tickets that servers gave, by client, server and fingerprint. It is
// safe for concurrent use.
type Sessions struct{}
