package ca

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// minRSABits is the smallest RSA key that we use: clients refuse less, whatever the server has.
const minRSABits = 2048

// errClosed is the answer to a flow that waits for a key that nobody generates any more.
var errClosed = errors.New("authority is closed")

// rsaKeys holds RSA leaf keys of three sizes. Generating one takes from 30 milliseconds to seconds, so it is done
// once per authority, ahead of the first flow, and stored.
type rsaKeys struct {
	dir      directory
	writable bool
	slots    []*rsaSlot

	stopOnce sync.Once
	stop     chan struct{}
	done     chan struct{} // closed when the generation has ended
}

// rsaSlot is the place of one key. The other fields are set before ready is closed, and then stay.
type rsaSlot struct {
	bits  int
	file  string
	ready chan struct{}
	key   *leafKey
	err   error // no key
	lost  error // a key that could not be stored
}

// newRSAKeys loads the keys that dir has and starts the generation of the others. They are stored if dir is
// writable. The empty directory has none.
func newRSAKeys(dir directory, writable bool) (*rsaKeys, error) {
	k := &rsaKeys{dir: dir, writable: writable, stop: make(chan struct{}), done: make(chan struct{})}
	// Smallest first: nearly all RSA servers have 2048 bits.
	for bits, file := range rsaFiles {
		slot := &rsaSlot{bits: bits, file: file, ready: make(chan struct{})}
		k.slots = append(k.slots, slot)
		if dir == "" {
			continue
		}
		key, err := k.load(slot)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load RSA leaf key: %w", err)
		}
		slot.key = key
		close(slot.ready)
	}
	go k.fill()
	return k, nil
}

// rsaFiles yields the sizes, in rising order, and the names of their files.
func rsaFiles(yield func(bits int, file string) bool) {
	_ = yield(2048, "leaf-rsa.key") && yield(3072, "leaf-rsa-3072.key") && yield(4096, "leaf-rsa-4096.key")
}

// get returns the key for a server key of that many bits: the same size, rounded up to the next that we have, at
// most 4096.
func (k *rsaKeys) get(ctx context.Context, bits int) (*leafKey, error) {
	slot := k.slots[len(k.slots)-1]
	for _, s := range k.slots {
		if bits <= s.bits {
			slot = s
			break
		}
	}
	select {
	case <-slot.ready:
		return slot.key, slot.err
	default:
	}
	select {
	case <-slot.ready:
		return slot.key, slot.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the RSA leaf key of %d bits: %w", slot.bits, context.Cause(ctx))
	case <-k.stop:
		return nil, fmt.Errorf("wait for the RSA leaf key of %d bits: %w", slot.bits, errClosed)
	}
}

// fill generates what is missing. It ends when all is there, or after the key in work once stop is closed:
// rsa.GenerateKey cannot be interrupted.
func (k *rsaKeys) fill() {
	defer close(k.done)
	for _, slot := range k.slots {
		select {
		case <-slot.ready:
			continue
		case <-k.stop:
			return
		default:
		}
		slot.key, slot.lost, slot.err = k.generate(slot)
		close(slot.ready)
	}
}

// generate makes a key and stores it. If another process stored one meanwhile, that one is used: leaves of both
// processes stay the same. A key that cannot be stored still serves.
func (k *rsaKeys) generate(slot *rsaSlot) (key *leafKey, lost, err error) {
	fresh, err := rsa.GenerateKey(rand.Reader, slot.bits)
	if err != nil {
		return nil, nil, fmt.Errorf("generate RSA leaf key: %w", err)
	}
	if k.writable {
		lost = k.store(slot, fresh)
		if lost == nil {
			key, lost = k.load(slot)
		}
		if lost == nil {
			return key, nil, nil
		}
		lost = fmt.Errorf("store RSA leaf key: %w", lost)
	}
	key, err = newLeafKey(fresh)
	return key, lost, err
}

func (k *rsaKeys) store(slot *rsaSlot, key *rsa.PrivateKey) error {
	text, err := keyPEM(key)
	if err != nil {
		return err
	}
	return k.dir.publish(slot.file, 0o600, text)
}

func (k *rsaKeys) load(slot *rsaSlot) (*leafKey, error) {
	text, err := k.dir.readSecret(slot.file)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.dir.path(slot.file), err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() != slot.bits {
		return nil, fmt.Errorf("%s: not an RSA key of %d bits", k.dir.path(slot.file), slot.bits)
	}
	return newLeafKey(private)
}

// close ends the generation and waits for it.
func (k *rsaKeys) close() error {
	k.stopOnce.Do(func() { close(k.stop) })
	<-k.done
	var lost []error
	for _, slot := range k.slots {
		lost = append(lost, slot.lost)
	}
	return errors.Join(lost...)
}
