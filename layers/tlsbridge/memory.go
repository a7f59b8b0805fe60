package tlsbridge

// Memory keeps what handshakes with servers taught, so that the next flow of the same
// client with the same server begins where the last one arrived. It is safe for
// concurrent use.
type Memory struct{}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{} }
