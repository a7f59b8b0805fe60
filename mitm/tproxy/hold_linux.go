package tproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"sync"
)

// Hold is a proxy's hold on the rules of its network namespace. There is one at a time; it ends
// with the process at the latest, but the rules do not. It is safe for concurrent use.
type Hold struct {
	rules Rules
	owner string // as the table has it
	log   *slog.Logger

	mu    sync.Mutex
	claim *os.File // open while nobody else may put up rules; nil once released
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
		return nil, errors.Join(err, hold.claim.Close())
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
	case ownerOf(list) != hold.owner || !hasComment(list, hold.rules.Script()):
		hold.warn()
		return nil
	case hold.rules.FailClosed:
		return nil
	}
	err = h.run(ctx, command{name: "nft", args: []string{"-f", "-"}, stdin: owned(hold.rules.released(), hold.owner)})
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
	isTheirs, theirsErr := hold.isTheirs(ctx)
	err = inOneLine(err, theirsErr)
	if !isTheirs {
		err = inOneLine(err, h.down(ctx))
	}
	return inOneLine(err, hold.giveUp())
}

// isTheirs reports whether rules that are up, or about to be, are another proxy's or an operator's. Where there is no
// table any more, the rest may be ours still.
func (hold *Hold) isTheirs(ctx context.Context) (bool, error) {
	if hold.claim == nil {
		if held, err := isHeld(); err != nil || held {
			return held, err
		}
	}
	list, err := listTable(ctx)
	if err != nil || ownerOf(list) == hold.owner {
		return false, err
	}
	if hold.claim != nil {
		hold.warn()
	}
	return list != "" && !isForeign(list), nil
}

// giveUp lets others put up rules.
func (hold *Hold) giveUp() error {
	f := hold.claim
	hold.claim = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

func (hold *Hold) warn() {
	if !hold.lost {
		hold.log.Warn("the kernel's rules are not those of this process any more: somebody else has taken them away, or changed them")
	}
	hold.lost = true
}
