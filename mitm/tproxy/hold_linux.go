package tproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Hold is a proxy's hold on the rules of its network namespace. There is one at a time; it ends
// with the process at the latest, but the rules do not. It is safe for concurrent use.
type Hold struct {
	rules Rules
	owner string // as the state has it
	log   *slog.Logger

	mu    sync.Mutex
	claim *os.File // locked while nobody else may put up rules; nil once released
	lost  bool     // somebody else has taken the rules away, which was said
}

// Up does what [Rules.Apply] does, for a proxy that lives, and as long as it does nobody else may.
// Commands go to the log, which may be nil, as records of debugging.
func (r Rules) Up(ctx context.Context, log *slog.Logger) (*Hold, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	hold := &Hold{rules: r, owner: rand.Text(), log: log}
	if err := r.Check(); err != nil {
		return nil, err
	}
	h, unlock, err := open(hold.show)
	if h != nil {
		defer unlock()
	}
	if err != nil {
		return nil, err
	}
	if hold.rules, err = h.here(r); err != nil {
		return nil, err
	}
	if hold.claim, err = claim(); err != nil {
		return nil, err
	}
	if err := h.replace(ctx, hold.rules, hold.owner); err != nil {
		return nil, errors.Join(err, giveUp(hold.claim))
	}
	return hold, nil
}

func (hold *Hold) show(line string) {
	hold.log.Debug("a command for the kernel's rules", "command", line)
}

// Release is for the beginning of the proxy's end, before its listeners close. Connections that
// begin are not brought any more, unless the rules are FailClosed; those that were brought are
// still. Somebody else's rules may take the place of these from now on; those of another Mode cut what
// was brought.
func (hold *Hold) Release(ctx context.Context) error {
	hold.mu.Lock()
	defer hold.mu.Unlock()
	h, unlock, err := open(hold.show)
	if h != nil {
		defer unlock()
	}
	if err != nil {
		return err
	}
	if hold.claim == nil {
		return nil
	}
	return inOneLine(hold.release(ctx, h), hold.giveUp())
}

func (hold *Hold) release(ctx context.Context, h *host) error {
	list, err := listTable(ctx)
	switch {
	case err != nil:
		return err
	case !hold.isOurs(h) || !hasComment(list, hold.rules.Script()):
		hold.warn()
		return nil
	case hold.rules.FailClosed:
		return nil
	}
	err = h.run(ctx, command{name: "nft", args: []string{"-f", "-"}, stdin: hold.rules.released()})
	if err == nil && hold.rules.diverts() {
		err = h.forget(ctx)
	}
	return err
}

// Down takes the rules away as [Down] does, when nothing is brought to the proxy any more. Rules
// that somebody else has put up in the meantime stay, with all that they need.
func (hold *Hold) Down(ctx context.Context) error {
	hold.mu.Lock()
	defer hold.mu.Unlock()
	h, unlock, err := open(hold.show)
	if h == nil {
		return err
	}
	defer unlock()
	if err == nil && !hold.isOurs(h) {
		if hold.claim != nil {
			hold.warn()
		}
		return hold.giveUp()
	}
	return inOneLine(inOneLine(err, h.down(ctx)), hold.giveUp())
}

// giveUp lets others put up rules.
func (hold *Hold) giveUp() error {
	f := hold.claim
	hold.claim = nil
	if f == nil {
		return nil
	}
	return giveUp(f)
}

func (hold *Hold) isOurs(h *host) bool { return h.state.Owner == hold.owner }

func (hold *Hold) warn() {
	if !hold.lost {
		hold.log.Warn("the kernel's rules are not those of this process any more: somebody else has taken them away, or changed them")
	}
	hold.lost = true
}

var errHeld = errors.New("the kernel's rules here are held by a mitm that runs: end it first")

// claim locks a file for as long as this process lives and keeps it open, whatever becomes of the process.
// That the file is there says nothing. All that is done with it is done under lock.
func claim() (*os.File, error) {
	files, err := stateFiles(".lock")
	if err != nil {
		return nil, err
	}
	var refused error
	for _, file := range files {
		f, err := openOrMake(file)
		if err != nil {
			refused = err
			continue
		}
		if err = flock(f, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return f, nil
		}
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errHeld
		}
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return nil, fmt.Errorf("state: %w", refused)
}

func openOrMake(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
}

// giveUp removes a file that was claimed.
func giveUp(f *os.File) error {
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// looksHeld is isHeld for who makes nothing: without a file nothing is held.
func looksHeld() (bool, error) {
	files, err := stateFiles(".lock")
	if err != nil {
		return false, err
	}
	isThere := func(file string) bool { _, err := os.Stat(file); return err == nil }
	if !slices.ContainsFunc(files, isThere) {
		return false, nil
	}
	unlock, err := lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	return isHeld()
}

// isHeld reports whether somebody who lives has claimed the rules. A file that a dead one has left
// goes.
func isHeld() (bool, error) {
	files, err := stateFiles(".lock")
	if err != nil {
		return false, err
	}
	for _, file := range files {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
			continue
		}
		if err != nil {
			return false, err
		}
		err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return true, nil
		}
		if err = errors.Join(err, giveUp(f)); err != nil {
			return false, err
		}
	}
	return false, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// stateFiles are the files of this network namespace with an ending, the first choice first.
func stateFiles(ending string) ([]string, error) {
	name, err := stateName()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, dir := range stateDirs() {
		files = append(files, filepath.Join(dir, name+ending))
	}
	return files, nil
}
