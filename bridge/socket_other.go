//go:build !linux

package bridge

// socket is a socket that can be waited for without a buffer. Only Linux has it.
type socket struct{}

func (s *Stream) socket() *socket { return nil }

func (*socket) readBorrowed() ([]byte, int, error) { panic("unreachable") }
func (*socket) tryRead([]byte) (int, error)        { panic("unreachable") }
func (*socket) awaitRead() error                   { panic("unreachable") }

func (r *relay) moveUntapped(from Side, src, dst *Stream) error {
	return r.copy(from, src, dst, forever64)
}
