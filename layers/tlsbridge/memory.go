package tlsbridge

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"time"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/expiring"
)

// Memory keeps what handshakes with servers taught, so that the next flow of the same
// client with the same server begins where the last one arrived: with the hello that
// worked, or with the rescue that it came to. Clients do not learn from each other: one
// that has itself rescued on purpose must not take others with it. It forgets after ten
// minutes, and holds 10,000 entries at most. It is safe for concurrent use, and shared by
// all layers that are to learn from each other.
type Memory struct {
	lessons *expiring.Cache[lessonKey, lesson]
}

const (
	lessonsKept  = 10_000
	lessonsWhile = 10 * time.Minute
)

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{expiring.New[lessonKey, lesson](lessonsKept)} }

// lessonKey is a server as it shows itself to one client: of the client the host, the target,
// server_name, JA4, and the groups, which JA4 leaves out, and a lesson may be about them.
type lessonKey [sha256.Size]byte

// hashed is a key of parts that a client may make as long as it likes.
func hashed[K ~[sha256.Size]byte](parts ...string) K {
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		io.WriteString(h, part)
	}
	return K(h.Sum(nil))
}

// groupsOf writes the groups of a hello without GREASE, which differs each time.
func groupsOf(h *detect.ClientHello) string {
	var b []byte
	for _, g := range h.SupportedGroups {
		if !detect.IsGREASE(g) {
			b = binary.BigEndian.AppendUint16(b, g)
		}
	}
	return string(b)
}

// lesson is what is known of a server before it is asked.
type lesson struct {
	changes Changes // to the hello
	rescue  string  // why the flow goes through raw; "": it does not
}

func (m *Memory) recall(k lessonKey) lesson {
	l, _ := m.lessons.Get(k)
	return l
}

func (m *Memory) learn(k lessonKey, l lesson) { m.lessons.Put(k, l, lessonsWhile) }
