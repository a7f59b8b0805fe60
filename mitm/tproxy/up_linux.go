package tproxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// Apply makes the host as the rules want it: switches, routes and, last and at once, the
// nftables rules, which take the place of those that are there. Each command is shown, as a
// shell reads it, before it runs; show may be nil. What is as it must be already is left alone.
// When something fails and nothing was up before, what was done is taken back. Where this
// host has no IPv6, there are no rules for it. While a proxy that lives holds the rules ([Rules.Up]) nothing is done, and
// neither is it where a table inet mitm is somebody else's.
//
// It needs CAP_NET_ADMIN. Errors are one line.
func (r Rules) Apply(ctx context.Context, show func(line string)) error {
	if err := r.Check(); err != nil {
		return err
	}
	h, unlock, err := open(show)
	if h != nil {
		defer unlock()
	}
	if err != nil {
		return err
	}
	if r, err = h.here(r); err != nil {
		return err
	}
	if held, err := isHeld(); err != nil || held {
		return cmp.Or(err, errHeld)
	}
	return h.replace(ctx, r, "")
}

// replace puts up the rules of an owner, of whom there need not be one, or leaves things as they were.
func (h *host) replace(ctx context.Context, r Rules, owner string) error {
	list, err := listTable(ctx)
	if err != nil {
		return err
	}
	if isForeign(list) {
		return errForeign
	}
	wasUp := list != "" || h.file != ""
	if err := h.apply(ctx, r, owner); err != nil {
		if wasUp {
			return err
		}
		if downErr := h.down(context.WithoutCancel(ctx)); downErr != nil {
			// Not %w twice: that the context has ended explains the first alone.
			return fmt.Errorf("%v; and it could not be taken back: %w", err, downErr)
		}
		return err
	}
	return nil
}

var errForeign = errors.New("there is a table inet " + tableName + " in nftables that is somebody else's: it stays, and ours needs the name")

// Down takes away what Apply has added: the table inet mitm, the routes and rules with our numbers,
// whoever has put them there, and with the state's help what the switches were before. It
// shows its commands as Apply does. Nothing is no error.
//
// What a proxy that lives has put up goes, too; then held is true, and it gets nothing more.
//
// It needs CAP_NET_ADMIN. What fails does not keep it from the rest. Errors are one line.
func Down(ctx context.Context, show func(line string)) (held bool, err error) {
	h, unlock, err := open(show)
	if h == nil {
		return false, err
	}
	defer unlock()
	held, heldErr := isHeld()
	err = inOneLine(err, heldErr)
	return held, inOneLine(err, h.down(ctx))
}

// host is this host while its rules are changed.
type host struct {
	show  func(line string)
	state state
	file  string // that holds the state; empty: there is none
}

// open returns the host also when its state can't be read, with that error.
func open(show func(string)) (h *host, unlock func(), err error) {
	if show == nil {
		show = func(string) {}
	}
	if err := needAdmin(); err != nil {
		return nil, nil, err
	}
	unlock, err = lock()
	if err != nil {
		return nil, nil, err
	}
	h = &host{show: show}
	h.state, h.file, err = findState()
	return h, unlock, err
}

func needAdmin() error {
	caps, err := capabilities()
	if err == nil && !caps.has(capNetAdmin) {
		err = errors.New("the capability CAP_NET_ADMIN is missing: run it as root")
	}
	return err
}

func (h *host) save() (err error) {
	h.file, err = h.state.save(h.file)
	return err
}

func (h *host) run(ctx context.Context, c command) error {
	h.show(c.String())
	_, err := c.run(ctx)
	return err
}

// here is the rules without IPv6 where there is none.
func (h *host) here(r Rules) (Rules, error) {
	if !r.Family.has(IPv6) || hasIPv6() {
		return r, nil
	}
	if r.Family == IPv6 {
		return Rules{}, errors.New("this host has no IPv6")
	}
	h.show("# IPv6 is turned off here")
	r.Family = IPv4
	return r, nil
}

func hasIPv6() bool {
	off, err := readSys("net/ipv6/conf/lo/disable_ipv6")
	return err == nil && off == "0"
}

// apply changes nothing unless the kernel takes the rules: what was up before stays whole.
func (h *host) apply(ctx context.Context, r Rules, owner string) error {
	if _, err := (command{name: "nft", args: []string{"-c", "-f", "-"}, stdin: r.Script()}).run(ctx); err != nil {
		return err
	}
	if err := h.set(r.settings()); err != nil {
		return err
	}
	if err := h.routes(ctx, func(f Family) bool { return r.diverts() && r.Family.has(f) }); err != nil {
		return err
	}
	return h.run(ctx, command{name: "nft", args: []string{"-f", "-"}, stdin: owned(r.Script(), owner)})
}

// routes has the rules and routes of those families alone that are wanted. What fails does not keep it
// from the rest.
func (h *host) routes(ctx context.Context, wanted func(Family) bool) (err error) {
	isLess := false
	for _, f := range []Family{IPv4, IPv6} {
		isGone, routeErr := h.route(ctx, f, wanted(f))
		isLess, err = isLess || isGone, inOneLine(err, routeErr)
	}
	if isLess {
		err = inOneLine(err, h.forget(ctx))
	}
	return err
}

// route adds the rule and the route of a family where they are missing, or takes them away.
func (h *host) route(ctx context.Context, f Family, wanted bool) (isGone bool, err error) {
	if _, err := os.Stat(procSys + "net/ipv6"); f == IPv6 && errors.Is(err, fs.ErrNotExist) {
		return false, nil // the kernel knows nothing of it
	}
	priorities, err := listRules(ctx, f)
	if err != nil {
		return false, err
	}
	hasRoute, err := listRoute(ctx, f)
	if err != nil {
		return false, err
	}
	var all []command
	switch {
	case wanted && len(priorities) == 0:
		all = append(all, addRule(f))
	case !wanted:
		for _, priority := range priorities {
			all = append(all, delRule(f, priority))
		}
	}
	switch {
	case wanted && !hasRoute:
		all = append(all, addRoute(f))
	case !wanted && hasRoute:
		all = append(all, delRoute(f))
	}
	for _, c := range all {
		if err := h.run(ctx, c); err != nil {
			return false, err
		}
	}
	return !wanted && len(all) > 0, nil
}

func (h *host) down(ctx context.Context) error {
	list, err := listTable(ctx)
	switch {
	case isForeign(list):
		err = errForeign
	case list != "":
		err = h.run(ctx, command{name: "nft", args: []string{"delete", "table", "inet", tableName}})
	}
	err = inOneLine(err, h.routes(ctx, func(Family) bool { return false }))
	if restoreErr := h.restore(); restoreErr != nil {
		return inOneLine(err, restoreErr)
	}
	if h.file != "" {
		if removeErr := os.Remove(h.file); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = inOneLine(err, removeErr)
		}
		h.file, h.state = "", state{}
	}
	return err
}

func inOneLine(a, b error) error {
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	return fmt.Errorf("%w; %w", a, b)
}

// listTable returns our table as nft lists it, with handles; empty: there is none.
func listTable(ctx context.Context) (string, error) {
	out, err := command{name: "nft", args: []string{"-a", "list", "table", "inet", tableName}}.run(ctx)
	if says(err, "No such file or directory") {
		return "", nil
	}
	return string(out), err
}

// listRules returns the priorities of the rules that have our mark and table.
func listRules(ctx context.Context, f Family) ([]int, error) {
	c := ip(f, "-N -j rule show")
	out, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	var all []struct {
		Priority int
		FwMark   string
		FwMask   string
		Table    string
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	var priorities []int
	for _, rule := range all {
		if rule.FwMark == bit && rule.FwMask == bit && rule.Table == strconv.Itoa(routeTable) {
			priorities = append(priorities, rule.Priority)
		}
	}
	return priorities, nil
}

// listRoute reports whether our routing table has our route.
func listRoute(ctx context.Context, f Family) (bool, error) {
	c := ip(f, fmt.Sprintf("-j route show table %d", routeTable))
	out, err := c.run(ctx)
	if says(err, "FIB table does not exist") {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var all []struct{ Type, Dst, Dev string }
	if err := json.Unmarshal(out, &all); err != nil {
		return false, fmt.Errorf("%s: %w", c, err)
	}
	for _, route := range all {
		if route.Type == "local" && route.Dst == "default" && route.Dev == "lo" {
			return true, nil
		}
	}
	return false, nil
}
