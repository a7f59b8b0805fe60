package capture

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// namesLimit bounds the names that are remembered as written to a file. Beyond it they
// are forgotten, and written again.
const namesLimit = 4096

// pcapngFormat is a pcapng file of one section, with an interface for each view. What has
// to be known of a conversation stands before its first packet in each file: the secrets
// of its flow, the name of its server, and in a comment whatever else is known.
type pcapngFormat struct {
	application string
	views       []View
	file        int // counts the files, from 1
	names       map[addressName]struct{}
}

type addressName struct {
	addr netip.Addr
	name string
}

// format returns the format that is asked for.
func (c Config) format() format {
	if c.Format == PCAPNG {
		return &pcapngFormat{cmp.Or(c.Application, "mitm"), c.views(), 1, map[addressName]struct{}{}}
	}
	return pcapFormat{}
}

func (f *pcapngFormat) header() []byte {
	b := appendSection(nil, f.application)
	for _, v := range f.views {
		b = appendInterface(b, string(v))
	}
	return b
}

func (f *pcapngFormat) restart() {
	f.file++
	clear(f.names)
}

func (f *pcapngFormat) packet(b []byte, c *conversation, at time.Time, size int) (all, frame []byte) {
	if lines := c.story.untold(f.file); len(lines) > 0 {
		b = appendSecrets(b, lines)
	}
	comment := ""
	if c.inFile != f.file {
		c.inFile = f.file
		b = f.name(b, c)
		comment = c.comment()
	}
	return appendPacket(b, f.interfaceOf(c.view), at, size, comment)
}

// name appends the name of the server, unless it is in the file.
func (f *pcapngFormat) name(b []byte, c *conversation) []byte {
	addr, name := c.name()
	key := addressName{addr, name}
	if _, ok := f.names[key]; ok || name == "" {
		return b
	}
	if len(f.names) == namesLimit {
		clear(f.names)
	}
	f.names[key] = struct{}{}
	return appendName(b, addr, name)
}

func (f *pcapngFormat) interfaceOf(v View) uint32 { return uint32(slices.Index(f.views, v)) }

func (f *pcapngFormat) whole(b []byte) int { return wholeBlocks(b) }
