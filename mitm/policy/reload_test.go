package policy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/mitm/policy"
)

// blocking is a rule file that blocks a name.
func blocking(name string) string {
	return one(fmt.Sprintf(`{"type": "domain", "expression": %q}`, name))
}

// blocks reports whether rules block a name.
func blocks(r *policy.Rules, name string) bool {
	return r.Decide(policy.Facts{SNI: name}).Action == policy.Block
}

// logged is a log and what was written to it.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func (l *logged) log() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestReload(t *testing.T) {
	folder := t.TempDir()
	rules := write(t, folder, "rules.json", blocking("a.test"))
	names := write(t, folder, "names", "b.test\n")
	r := loadFrom(t, policy.Sources{Ruleset: rules, BypassExact: []string{names}})
	before := r.Decide(policy.Facts{SNI: "a.test"})

	write(t, folder, "rules.json", blocking("c.test"))
	write(t, folder, "names", "d.test\n")
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]policy.Action{"a.test": policy.Inspect, "b.test": policy.Inspect, "c.test": policy.Block, "d.test": policy.PassOn} {
		if d := r.Decide(policy.Facts{SNI: name}); d.Action != want {
			t.Errorf("%s: %s, want %s", name, d.Action, want)
		}
	}
	if before.Action != policy.Block {
		t.Error("what was decided before has changed")
	}

	for _, bad := range []struct{ file, text, want string }{
		{"rules.json", "{", "rules.json:1: not JSON: the file ends in the middle"},
		{"names", "a b\n", `names:1: "a b": want a name, or --bypass with a regular expression`},
		{"rules.json", one(`{"type": "domain_in_file", "expression": "missing"}`), "rules.json:1: open"},
	} {
		file := filepath.Join(folder, bad.file)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, folder, bad.file, bad.text)
		if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("error %v, want %s", err, bad.want)
		}
		if !blocks(r, "c.test") || blocks(r, "a.test") {
			t.Errorf("%s: the old rules are not in force any more", bad.want)
		}
		write(t, folder, bad.file, string(good))
	}
}

// watched runs a test in which rules are watched, and time is not the real one.
func watched(t *testing.T, s func(folder string) policy.Sources, test func(folder string, r *policy.Rules, log *logged)) {
	folder, log := t.TempDir(), &logged{}
	synctest.Test(t, func(t *testing.T) {
		sources := s(folder)
		sources.Log = log.log()
		r := loadFrom(t, sources)
		ctx, stop := context.WithCancel(t.Context())
		go r.Watch(ctx)
		time.Sleep(time.Second / 2) // what the test writes is not looked at while it writes
		test(folder, r, log)
		stop()
	})
}

func TestFilesThatChangeAreReadAgain(t *testing.T) {
	watched(t, func(folder string) policy.Sources {
		write(t, folder, "list", "list.test\n")
		text := `{"rules": [
			{"match": {"type": "domain", "expression": "a.test"}, "action": {"type": "block"}},
			{"match": {"type": "domain_in_file", "expression": "list"}, "action": {"type": "block"}}
		], "default": {"action": {"type": "inspect"}}}`
		return policy.Sources{
			Ruleset: write(t, folder, "rules.json", text),
			Bypass:  []string{write(t, folder, "bypass", "^x\n")},
		}
	}, func(folder string, r *policy.Rules, log *logged) {
		time.Sleep(10 * time.Second)
		if text := log.take(); text != "" {
			t.Errorf("nothing has changed: %s", text)
		}
		write(t, folder, "bypass", "^list\n")
		time.Sleep(2 * time.Second)
		if d := r.Decide(policy.Facts{SNI: "list.test"}); d.Action != policy.PassOn {
			t.Errorf("a new bypass file: %+v", d)
		}
		if text := log.take(); !strings.Contains(text, "loaded again") {
			t.Errorf("the log says %q", text)
		}
		write(t, folder, "bypass", "# nothing\n")
		write(t, folder, "list", "other.test\n")
		time.Sleep(2 * time.Second)
		if !blocks(r, "other.test") || blocks(r, "list.test") {
			t.Error("a list is not read again together with the rules")
		}
		log.take()

		write(t, folder, "rules.json", "{\n}")
		time.Sleep(10 * time.Second)
		if text := log.take(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "rules.json:1: no default") {
			t.Errorf("the log says %q, want that once", text)
		}
		if !blocks(r, "a.test") {
			t.Error("the old rules are not in force any more")
		}
		os.Remove(filepath.Join(folder, "rules.json"))
		time.Sleep(10 * time.Second)
		if text := log.take(); text != "" || !blocks(r, "a.test") {
			t.Errorf("a file that is gone: %s", text)
		}
		write(t, folder, "rules.json", blocking("b.test"))
		time.Sleep(2 * time.Second)
		if !blocks(r, "b.test") || blocks(r, "a.test") {
			t.Error("the new rules are not in force")
		}
	})
}

func TestAListIsReadAgainWhenItsTimeHasCome(t *testing.T) {
	watched(t, func(folder string) policy.Sources {
		write(t, folder, "list", "a.test\n")
		return policy.Sources{Ruleset: write(t, folder, "rules.json", one(`{"type": "domain_in_file", "expression": "list", "reload": 60}`))}
	}, func(folder string, r *policy.Rules, log *logged) {
		write(t, folder, "list", "b.test\nc.test\n")
		time.Sleep(50 * time.Second)
		if !blocks(r, "a.test") || blocks(r, "b.test") {
			t.Error("the list was read again before its time")
		}
		time.Sleep(15 * time.Second)
		if blocks(r, "a.test") || !blocks(r, "b.test") {
			t.Error("the list was not read again")
		}
		write(t, folder, "list", "/\n")
		time.Sleep(time.Hour)
		if text := log.take(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "list:1:") || !blocks(r, "b.test") {
			t.Errorf("a wrong list: %s", text)
		}
		os.Remove(filepath.Join(folder, "list"))
		time.Sleep(time.Hour)
		if text := log.take(); text != "" || !blocks(r, "b.test") {
			t.Errorf("a list that is gone: %s", text)
		}
	})
}

// When it is the list that was wrong, correcting it puts the rules in force.
func TestAListThatWasWrongIsWaitedFor(t *testing.T) {
	watched(t, func(folder string) policy.Sources {
		return policy.Sources{Ruleset: write(t, folder, "rules.json", blocking("a.test"))}
	}, func(folder string, r *policy.Rules, log *logged) {
		write(t, folder, "rules.json", one(`{"type": "domain_in_file", "expression": "list"}`))
		time.Sleep(5 * time.Second)
		if text := log.take(); strings.Count(text, "\n") != 1 || !blocks(r, "a.test") {
			t.Errorf("without the list: %s", text)
		}
		write(t, folder, "list", "a b\n")
		time.Sleep(5 * time.Second)
		if text := log.take(); strings.Count(text, "\n") != 1 || !blocks(r, "a.test") {
			t.Errorf("with a wrong list: %s", text)
		}
		write(t, folder, "list", "b.test\n")
		time.Sleep(5 * time.Second)
		if !blocks(r, "b.test") || blocks(r, "a.test") {
			t.Errorf("with the list: %s", log.take())
		}
	})
}

func TestRulesAndListsFromURLs(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("origin,rank\nhttps://a.test,1000\n"))
	z.Close()
	var down atomic.Bool
	mux := http.NewServeMux()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	defer server.Close()
	mux.HandleFunc("/list.csv.gz", func(w http.ResponseWriter, _ *http.Request) { w.Write(packed.Bytes()) })
	mux.Handle("/moved", http.RedirectHandler("/rules.json", http.StatusFound))
	mux.HandleFunc("/rules.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, one(fmt.Sprintf(`{"type": "domain_in_file", "expression": "%s/list.csv.gz", "format": "crux", "gzip": true, "reload": 60}`, server.URL)))
	})
	mux.HandleFunc("/wrong.json", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\n[]") })
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))

	var log logged
	r := loadFrom(t, policy.Sources{Ruleset: server.URL + "/moved", Log: log.log()})
	if !blocks(r, "a.test") || blocks(r, "b.test") {
		t.Error("not decided by the list")
	}
	for path, want := range map[string]string{
		"/wrong.json": server.URL + "/wrong.json:2: the file is an array: want an object",
		"/missing":    "fetch " + server.URL + "/missing: 404 Not Found",
		"/round":      `fetch: Get "/round": more than 10 redirects`,
	} {
		if _, err := policy.LoadRules(t.Context(), policy.Sources{Ruleset: server.URL + path}); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
	}
	down.Store(true)
	if err := r.Reload(t.Context()); err == nil || !blocks(r, "a.test") {
		t.Errorf("while the server is down: error %v", err)
	}

	// A list that can't be fetched does not keep new rules from coming into force.
	folder := t.TempDir()
	listed := fmt.Sprintf(`{"type": "domain_in_file", "expression": "%s/list.csv.gz", "format": "crux"}`, server.URL)
	down.Store(false)
	r = loadFrom(t, policy.Sources{Ruleset: write(t, folder, "rules.json", one(listed)), Log: log.log()})
	down.Store(true)
	write(t, folder, "rules.json", strings.Replace(one(listed), "inspect", "bypass", 1))
	if err := r.Reload(t.Context()); err != nil || !blocks(r, "a.test") || r.Decide(policy.Facts{}).Action != policy.PassOn {
		t.Errorf("while the list can't be fetched: error %v", err)
	}
	if text := log.take(); !strings.Contains(text, "503") {
		t.Errorf("the log says %q", text)
	}
	if _, err := policy.LoadRules(t.Context(), policy.Sources{Ruleset: write(t, folder, "rules.json", one(listed))}); err == nil || !strings.Contains(err.Error(), "rules.json:1: fetch "+server.URL) {
		t.Errorf("at the start: error %v", err)
	}
}

func TestFromHTTPSIsNotFollowedToHTTP(t *testing.T) {
	if err := policy.FollowRedirect("https://a.test/x", "http://a.test/x"); err == nil {
		t.Error("followed from https to http")
	}
	if err := policy.FollowRedirect("https://a.test/x", "https://b.test/x"); err != nil {
		t.Error(err)
	}
	if err := policy.FollowRedirect("http://a.test/x", "http://b.test/x"); err != nil {
		t.Error(err)
	}
}

// Decisions go on while rules are loaded, and each is by all of the old rules or all of the new ones.
func TestDecidingWhileRulesAreLoaded(t *testing.T) {
	folder := t.TempDir()
	text := func(action string) string {
		return `{"rules": [{"match": {"type": "domain", "expression": "a.test"}, "action": {"type": "` + action + `"}, "description": "` + action + `"},
			{"match": {"type": "decrypt_fail", "expression": 100}, "action": {"type": "block"}},
			{"match": {"type": "domain_in_file", "expression": "list"}, "action": {"type": "block"}}],
			"default": {"action": {"type": "inspect"}}}`
	}
	whole := func(name, text string) { // for whoever reads it at this moment
		if err := os.Rename(write(t, folder, "new", text), filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
	write(t, folder, "list", "b.test\n")
	var log logged
	r := loadFrom(t, policy.Sources{Ruleset: write(t, folder, "rules.json", text("bypass")), Log: log.log()})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { r.Watch(ctx) })
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if d := r.Decide(policy.Facts{SNI: "a.test"}); string(d.Action) != d.Rule {
					t.Errorf("%+v", d)
				}
				if !blocks(r, "b.test") {
					t.Error("not by the list")
				}
				r.Failed(policy.Facts{SNI: "c.test"}, "unknown_ca")
			}
		})
	}
	for i := range 100 {
		whole("list", "b.test\n"+strings.Repeat("x\n", i))
		whole("rules.json", text([]string{"terminate", "bypass"}[i%2]))
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	all.Wait()
	if text := log.take(); strings.Contains(text, "level=ERROR") {
		t.Error(text)
	}
}

func TestSocketsForURLsArePrepared(t *testing.T) {
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/list" {
			fmt.Fprintln(w, "a.test")
			return
		}
		fmt.Fprint(w, one(fmt.Sprintf(`{"type": "domain_in_file", "expression": "%s/list"}`, server.URL)))
	}))
	defer server.Close()
	var prepared atomic.Int32
	sources := policy.Sources{Ruleset: server.URL + "/rules", Control: func(_, address string, _ syscall.RawConn) error {
		if address == server.Listener.Addr().String() {
			prepared.Add(1)
		}
		return nil
	}}
	if r := loadFrom(t, sources); !blocks(r, "a.test") || prepared.Load() != 2 {
		t.Errorf("%d sockets were prepared, want one for the rules and one for their list", prepared.Load())
	}
	no := errors.New("not permitted")
	sources.Control = func(string, string, syscall.RawConn) error { return no }
	if _, err := policy.LoadRules(t.Context(), sources); !errors.Is(err, no) {
		t.Errorf("%v, want %v", err, no)
	}
}
