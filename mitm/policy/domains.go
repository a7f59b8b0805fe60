package policy

import (
	"hash/maphash"
	"strings"
)

// domains maps names to numbers, for look-ups of a name together with the names above it. It is built once and then only
// read, by any number of goroutines.
//
// It is a hash table with open addressing over one array that holds all names: of a million names it is three allocations
// that the garbage collector has nothing to look for in, of about 45 MB together. Its hash has a random seed, since
// lists are fetched from elsewhere. The tags are apart from what they are for, so that most look-ups of what is not
// there, which are most of all, end in memory that the processor has at hand.
type domains struct {
	seed    maphash.Seed
	names   []byte // each after its length
	tags    []byte // a power of two, of which at least a quarter are 0: empty; else a part of the name's hash
	slots   []slot // what belongs to each tag
	count   int
	deepest int // labels of the name that has most
}

type slot struct {
	at    uint32 // in names
	value uint32
}

const (
	maxName = 253
	// maxNames keeps offsets within 32 bits with room to spare.
	maxNames = 16 << 20
)

func newDomains() *domains {
	return &domains{seed: maphash.MakeSeed(), tags: make([]byte, 16), slots: make([]slot, 16)}
}

// add has merge make the value of a name, of the one that it has so far, which is 0 without any. The name is in lower
// case, without a final dot, and has 1 to 253 bytes.
func (d *domains) add(name string, merge func(old uint32) uint32) {
	if 4*(d.count+1) > 3*len(d.tags) {
		d.grow()
	}
	i, tag := d.place(name)
	if d.tags[i] == 0 {
		d.tags[i] = tag
		d.slots[i] = slot{at: uint32(len(d.names))}
		d.names = append(append(d.names, byte(len(name))), name...)
		d.count++
		d.deepest = max(d.deepest, 1+strings.Count(name, "."))
	}
	d.slots[i].value = merge(d.slots[i].value)
}

func (d *domains) grow() {
	tags, slots := d.tags, d.slots
	d.tags, d.slots = make([]byte, 2*len(tags)), make([]slot, 2*len(tags))
	for old, tag := range tags {
		if tag != 0 {
			i, _ := d.place(string(d.name(slots[old])))
			d.tags[i], d.slots[i] = tag, slots[old]
		}
	}
}

func (d *domains) name(s slot) []byte {
	n := uint32(d.names[s.at])
	return d.names[s.at+1 : s.at+1+n]
}

// place returns where a name is, or the empty place where it would be, and its tag.
func (d *domains) place(name string) (i uint64, tag byte) {
	hash, mask := maphash.String(d.seed, name), uint64(len(d.tags)-1)
	tag = byte(hash>>56) | 1
	for i = hash & mask; d.tags[i] != 0; i = (i + 1) & mask {
		if d.tags[i] == tag && string(d.name(d.slots[i])) == name {
			break
		}
	}
	return i, tag
}

// find returns the value of the first name that is there, of name and the names above it from the place from on, and
// where in name it begins; ok is false when none is.
func (d *domains) find(name string, from int) (value uint32, at int, ok bool) {
	for at = from; at < len(name); {
		if i, _ := d.place(name[at:]); d.tags[i] != 0 {
			return d.slots[i].value, at, true
		}
		if at = next(name, at); at < 0 {
			break
		}
	}
	return 0, 0, false
}

// next returns where the name above the one that begins at at begins; -1: there is none.
func next(name string, at int) int {
	dot := strings.IndexByte(name[at:], '.')
	if dot < 0 {
		return -1
	}
	return at + dot + 1
}

// start returns where look-ups in name begin: names of more labels than any that is there are passed over, so that a
// client can't have us look for a hundred.
func (d *domains) start(name string) int {
	at := len(name)
	for range d.deepest {
		if at = strings.LastIndexByte(name[:at], '.'); at < 0 {
			return 0
		}
	}
	return at + 1
}

// lowest returns the lowest value of name and the names above it.
func (d *domains) lowest(name string) (lowest uint32, ok bool) {
	for at := d.start(name); at >= 0; {
		value, found, has := d.find(name, at)
		if !has {
			break
		}
		if !ok || value < lowest {
			lowest, ok = value, true
		}
		at = next(name, found)
	}
	return lowest, ok
}

// What a list says of a name. An exception beats what is listed, and what is said of a name beats what is said of those
// above it.
const (
	itself      uint32 = 1 << iota // the name is listed
	below                          // all names below it are
	exceptSelf                     // the name is not
	exceptBelow                    // none below it is
)

// say adds what a list says of a name.
func (d *domains) say(name string, what uint32) {
	d.add(name, func(old uint32) uint32 { return old | what })
}

// listed reports whether a name is listed, and by which name.
func (d *domains) listed(name string) (by string, ok bool) {
	for at := d.start(name); at >= 0; {
		said, found, has := d.find(name, at)
		if !has {
			break
		}
		yes, no := below, exceptBelow
		if found == 0 {
			yes, no = itself, exceptSelf
		}
		switch {
		case said&no != 0:
			return "", false
		case said&yes != 0:
			return name[found:], true
		}
		at = next(name, found)
	}
	return "", false
}
