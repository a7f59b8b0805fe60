package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// Sources are where the operator's rules come from. The zero value has none.
type Sources struct {
	Ruleset     string   // a rule file, or its URL
	BypassAll   bool     // everything is passed on
	Bypass      []string // files of regular expressions: names that are passed on
	BypassExact []string // files of names that are passed on
	Redirects   []Redirect

	// Control prepares the sockets that URLs are fetched by, as that of a net.Dialer; nil: nothing is to be prepared.
	Control func(network, address string, c syscall.RawConn) error

	Log *slog.Logger // gets what goes wrong with files that are read again; nil means slog.Default
}

// Rules are what the operator has written down. They are asked from many goroutines, and can be read again at any time:
// each flow is decided on by what was in force then. The nil *Rules inspects everything.
type Rules struct {
	sources  Sources
	failures *failures
	current  atomic.Pointer[rulebook]

	mu    sync.Mutex // one reads files at a time
	files map[string]stamp
	lists map[listSpec]*loaded
}

// loaded is a list of the rules in force.
type loaded struct {
	*list
	stamp stamp
	due   time.Time // when it is to be looked at again; zero: never
}

// rulebook is all rules at one time.
type rulebook struct {
	passed  *passedNames
	ruleset *ruleset // nil: there is none
}

// LoadRules reads the rules. An error is one line, with file and line where it has them.
func LoadRules(ctx context.Context, s Sources) (*Rules, error) {
	if s.Log == nil {
		s.Log = slog.Default()
	}
	r := &Rules{sources: s, failures: newFailures()}
	if err := r.reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads everything again. After an error everything stays as it was; but a list that can't be fetched from its URL
// is only kept as it was. Flows that were decided on before are not touched.
func (r *Rules) Reload(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(ctx)
}

func (r *Rules) reload(ctx context.Context) (err error) {
	// The files are as they were looked at, also when what is in them is wrong: to be told once of that is enough.
	r.files = make(map[string]stamp)
	book := &rulebook{}
	if book.passed, err = r.readPassed(ctx); err != nil {
		return err
	}
	lists := make(map[listSpec]*loaded)
	if r.sources.Ruleset != "" {
		if book.ruleset, err = r.readRuleset(ctx, lists); err != nil {
			return err
		}
	}
	r.lists = lists
	r.current.Store(book)
	return nil
}

func (r *Rules) readPassed(ctx context.Context) (*passedNames, error) {
	passed := &passedNames{all: r.sources.BypassAll, exact: newDomains()}
	for _, file := range r.sources.Bypass {
		text, err := r.read(ctx, file)
		if err != nil {
			return nil, err
		}
		if err := passed.addExpressions(text); err != nil {
			return nil, in(file, err)
		}
	}
	for _, file := range r.sources.BypassExact {
		text, err := r.read(ctx, file)
		if err != nil {
			return nil, err
		}
		if err := passed.addNames(text); err != nil {
			return nil, in(file, err)
		}
	}
	return passed, nil
}

func (r *Rules) read(ctx context.Context, file string) ([]byte, error) {
	text, s, err := r.sources.read(ctx, file)
	r.files[file] = s
	if err != nil {
		return nil, err
	}
	return text, nil
}

// readRuleset reads the rule file and its lists, which it puts into lists.
func (r *Rules) readRuleset(ctx context.Context, lists map[listSpec]*loaded) (*ruleset, error) {
	source := r.sources.Ruleset
	text, err := r.read(ctx, source)
	if err != nil {
		return nil, err
	}
	s, err := readRules(text, folderOf(source))
	if err != nil {
		return nil, in(source, err)
	}
	s.failures = r.failures
	for _, l := range s.lists {
		lists[l.listSpec] = &loaded{list: l.list}
		if err := r.loadList(ctx, lists[l.listSpec]); err != nil {
			if e := (*lineError)(nil); errors.As(err, &e) {
				return nil, err
			}
			return nil, in(source, at(l.line, "%w", err))
		}
	}
	return s, nil
}

// loadList reads a list that rules mention, unless it is the one that they had before.
func (r *Rules) loadList(ctx context.Context, l *loaded) error {
	before := r.lists[l.listSpec]
	if before != nil && !isURL(l.source) && !changed(l.source, before.stamp) {
		l.keep(before)
		return nil
	}
	err := l.read(ctx, r.sources)
	switch {
	case err == nil:
	case isURL(l.source) && before != nil:
		r.sources.Log.Warn("a list was not fetched: the old one stays in force", "err", err)
		l.keep(before)
	default:
		r.files[l.source] = l.stamp // when it changes, the rules may be right
		return err
	}
	return nil
}

// keep takes the contents of a list as it was.
func (l *loaded) keep(before *loaded) {
	l.names.Store(before.names.Load())
	l.stamp = before.stamp
	l.postpone()
}

func (l *loaded) read(ctx context.Context, from Sources) error {
	names, s, err := l.load(ctx, from)
	l.stamp = s
	l.postpone()
	if err == nil {
		l.names.Store(names)
	}
	return err
}

// postpone says when the list is looked at again.
func (l *loaded) postpone() {
	if l.reload > 0 {
		l.due = time.Now().Add(l.reload)
	}
}

// Watch reads what has changed, until ctx ends: each second it looks at the files, and at lists when their time to be
// loaded again has come.
func (r *Rules) Watch(ctx context.Context) {
	if r == nil {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.look(ctx)
		}
	}
}

func (r *Rules) look(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for file, before := range r.files {
		if changed(file, before) {
			r.lookedAt(r.reload(ctx), file)
			return
		}
	}
	for _, l := range r.lists {
		if !l.due.IsZero() && !time.Now().Before(l.due) {
			r.lookAt(ctx, l)
		}
	}
}

func (r *Rules) lookedAt(err error, file string) {
	if err != nil {
		r.sources.Log.Error("the rules were not loaded again: the old ones stay in force", "err", err)
		return
	}
	r.sources.Log.Info("the rules were loaded again", "file", file)
}

// lookAt reads a list again if it has changed, or may have.
func (r *Rules) lookAt(ctx context.Context, l *loaded) {
	l.postpone()
	if !isURL(l.source) && !changed(l.source, l.stamp) {
		return
	}
	if err := l.read(ctx, r.sources); err != nil {
		r.sources.Log.Error("a list was not loaded again: the old one stays in force", "err", err)
	}
}

// Decide says what is to be done with a flow.
func (r *Rules) Decide(f Facts) Decision {
	if r == nil {
		return Decision{Action: Inspect}
	}
	book := r.current.Load()
	d := Decision{Action: Inspect}
	if by, ok := book.passed.passes(&f); ok {
		d = Decision{Action: PassOn, Rule: by}
	} else if book.ruleset != nil {
		d = book.ruleset.decide(&query{Facts: f, failures: r.failures})
	}
	if target, ok := r.redirect(&f); ok && d.Action != Block && d.Target.IsZero() {
		d.Target = target
	}
	return d
}

// redirect returns where a flow is sent that is for a name which is redirected: by its SNI, or when it has none by the
// name that was asked for otherwise.
func (r *Rules) redirect(f *Facts) (bridge.Addr, bool) {
	name := f.name()
	if name == "" {
		name = lowerName(f.Destination.Host)
	}
	for _, redirect := range r.sources.Redirects {
		if redirect.matches(name) {
			return redirect.Target, true
		}
	}
	return bridge.Addr{}, false
}

// Redirected returns where a host is redirected to, by the redirects alone; port 0: its port is kept.
func (r *Rules) Redirected(host string) (bridge.Addr, bool) {
	if r == nil {
		return bridge.Addr{}, false
	}
	return r.redirect(&Facts{Destination: bridge.Addr{Host: host}})
}

// Failed notes that a client has not accepted what it was shown in a flow that was inspected, for the rules that ask how
// often that was. It is what tlsbridge.Config.Refused is told; whether the server's own certificate was valid does not
// matter here: the rules say what they want.
func (r *Rules) Failed(f Facts, how tlsbridge.Refusal) {
	if r == nil {
		return
	}
	if s := r.current.Load().ruleset; s != nil && s.count > 0 {
		r.failures.note(f.key(), how, s.count, s.period)
	}
}

// String says which rules are in force, for people.
func (r *Rules) String() string {
	if r == nil || r.current.Load().ruleset == nil {
		return "no rules"
	}
	s := r.current.Load().ruleset
	return fmt.Sprintf("%q %s, %d rules", s.name, s.version, len(s.rules))
}
