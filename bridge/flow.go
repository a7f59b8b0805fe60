package bridge

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Verb says how a layer treats its protocol.
type Verb string

const (
	VerbRelay     Verb = "relay"     // both sides speak it: passed on, or for TLS bridged
	VerbTerminate Verb = "terminate" // the client speaks it with us
	VerbOriginate Verb = "originate" // we speak it with the server
	VerbPass      Verb = "pass"      // seen, and let through as it is
)

// Frame is what one layer learnt. Its strings come from the wire: print them quoted.
type Frame struct {
	Proto  string `json:"proto"`           // the name in a path: "socks5", "connect", "tls"
	Verb   Verb   `json:"verb,omitempty"`  //
	Src    Addr   `json:"src,omitzero"`    // the source that the layer names, when it is to be believed
	Dst    Addr   `json:"dst,omitzero"`    // the destination that the layer names
	User   string `json:"user,omitempty"`  // a user name, never a password
	SNI    string `json:"sni,omitempty"`   // TLS server_name
	ALPN   string `json:"alpn,omitempty"`  // TLS: the protocol that was negotiated
	Note   string `json:"note,omitempty"`  // a word of the layer's own: a refusal, a relayed UDP address
	Opaque bool   `json:"opaque,omitzero"` // parsing stopped in this layer; the flow went on raw

	// Decrypted says that the bytes inside this layer were encrypted on the wire
	// and are not where they are observed.
	Decrypted bool `json:"-"`

	// Continues says that the protocol of this layer goes on inside the next one, as it does after STARTTLS: inside that
	// there is nothing to detect.
	Continues bool `json:"-"`

	// Detail is a value of the layer's own, for observers that know its type. It is
	// not changed once the frame was pushed.
	Detail any `json:"-"`
}

// label is the frame's part of a path.
func (f Frame) label() string {
	switch {
	case f.Verb == VerbPass:
		return f.Proto + "(pass)"
	case f.ALPN != "":
		return f.Proto + "(" + f.ALPN + ")"
	}
	return f.Proto
}

// Flow is the record of one conversation: a stack of frames, outermost first. It is
// safe for concurrent use.
type Flow struct {
	id    string
	start time.Time
	moved [2]atomic.Int64 // application bytes, by the side that sent them
	kept  atomic.Int64    // of the client's, what a tap is shown that was kept for it

	mu     sync.Mutex
	client Addr
	local  Addr
	server Addr
	hop    Addr
	frames []Frame

	originated []Frame
}

func newFlow(client net.Conn, now time.Time) *Flow {
	f := &Flow{id: newID(now), start: now}
	if client != nil {
		f.client, f.local = AddrOf(client.RemoteAddr()), AddrOf(client.LocalAddr())
	}
	return f
}

// newID returns a ULID: 48 bits of milliseconds and 80 random bits in Crockford's
// base 32, which sorts by time.
func newID(now time.Time) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var raw [16]byte
	rand.Read(raw[6:])
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(raw[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(raw[2:], uint32(ms))
	hi, lo := binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = alphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(id[:])
}

// ID returns the flow's identifier, a ULID: unique, and sorted by the time of its start.
func (f *Flow) ID() string { return f.id }

// Start returns when the flow began.
func (f *Flow) Start() time.Time { return f.start }

// Push adds the frame of a layer inside those that are there.
func (f *Flow) Push(frame Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames = append(f.frames, frame)
}

// Frames returns a copy of the frames, outermost first.
func (f *Flow) Frames() []Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.frames)
}

// Originated returns a copy of the frames of what we have spoken with the server
// ourselves when it was dialled last, outermost first. They are no part of the path: the
// client knows nothing of them.
func (f *Flow) Originated() []Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.originated)
}

func (f *Flow) originate(frame Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.originated = append(f.originated, frame)
}

// dials begins a dial, in which everything is originated anew.
func (f *Flow) dials() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.originated = nil
}

// depth returns the number of frames.
func (f *Flow) depth() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.frames)
}

// markOpaque marks the innermost frame, or pushes one with the given name when the
// layer that began at depth base has pushed none.
func (f *Flow) markOpaque(base int, name string) Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.frames) == base {
		f.frames = append(f.frames, Frame{Proto: name, Verb: VerbRelay})
	}
	last := &f.frames[len(f.frames)-1]
	last.Opaque = true
	return *last
}

// Client returns the source of the flow: the outermost one that a layer vouches
// for, else the address of the client's socket.
func (f *Flow) Client() Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, frame := range f.frames {
		if !frame.Src.IsZero() {
			return frame.Src
		}
	}
	return f.client
}

// Peer returns the address of the client's socket, whatever a layer says.
func (f *Flow) Peer() Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.client
}

// Local returns our own address on the client's socket.
func (f *Flow) Local() Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.local
}

// Server returns the address of the server's socket, or the zero Addr before it
// is connected.
func (f *Flow) Server() Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.server
}

// Target returns the innermost destination that a layer learnt, else the hop.
func (f *Flow) Target() Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, frame := range slices.Backward(f.frames) {
		if !frame.Dst.IsZero() {
			return frame.Dst
		}
	}
	return f.hop
}

// Path joins the frames outermost first: "proxy2>socks5>connect>tls(h2)". It is
// "raw" without any.
func (f *Flow) Path() string {
	frames := f.Frames()
	if len(frames) == 0 {
		return "raw"
	}
	labels := make([]string, 0, len(frames)+1)
	for _, frame := range frames {
		labels = append(labels, frame.label())
	}
	if frames[len(frames)-1].Opaque {
		labels = append(labels, "raw")
	}
	return strings.Join(labels, ">")
}

// Decrypted reports whether a layer took encryption off.
func (f *Flow) Decrypted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.frames, func(frame Frame) bool { return frame.Decrypted })
}

// Bytes returns how many application bytes the side has sent, as far as they were
// passed on.
func (f *Flow) Bytes(from Side) int64 { return f.moved[from].Load() }

// Kept returns how many of the first bytes of the client's that a tap is shown were said
// before it was asked ([Bridge.Keep]).
func (f *Flow) Kept() int64 { return f.kept.Load() }

func (f *Flow) setHop(hop Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hop = hop
}

func (f *Flow) setServer(server Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = server
}

// next returns the flow that follows f on the same client stream, with the
// outermost keep frames.
func (f *Flow) next(keep int, now time.Time) *Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &Flow{id: newID(now), start: now, client: f.client, local: f.local, frames: slices.Clone(f.frames[:keep])}
}

// MarshalJSON writes what identifies the flow and what its layers learnt.
func (f *Flow) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID     string    `json:"id"`
		Start  time.Time `json:"start"`
		Client Addr      `json:"client"`
		Server Addr      `json:"server,omitzero"`
		Target Addr      `json:"target,omitzero"`
		Path   string    `json:"path"`
		Frames []Frame   `json:"frames,omitempty"`

		Originated []Frame `json:"originated,omitempty"`
	}{f.id, f.start, f.Client(), f.Server(), f.Target(), f.Path(), f.Frames(), f.Originated()})
}
