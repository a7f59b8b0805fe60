//go:build !unix

package capture

import "net"

// awaitReset does not wait: where a reset can't be awaited, a peer that sends no more is
// taken to be gone.
func awaitReset(net.Conn) {}
