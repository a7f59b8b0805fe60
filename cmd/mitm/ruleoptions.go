package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm/policy"
)

// ruleOptions are the flags that say where the operator's rules come from.
type ruleOptions struct {
	sources policy.Sources
}

func (o *ruleOptions) define(f *pflag.FlagSet) {
	s := &o.sources
	f.StringVar(&s.Ruleset, "ruleset", "", "decide flows by the rules in `FILE|URL`, in PolarProxy's format; read again when it changes, and on SIGHUP")
	add(f, "bypass", "FILE", "pass names on undecrypted that match a regular expression of this file; without FILE, everything (repeatable)", func(v string) error {
		if v == "" {
			s.BypassAll = true
		} else {
			s.Bypass = append(s.Bypass, v)
		}
		return nil
	})
	add(f, "bypassexact", "FILE", "pass the names in this file on undecrypted (repeatable)", func(v string) error {
		if v == "" {
			return errors.New("want a file")
		}
		s.BypassExact = append(s.BypassExact, v)
		return nil
	})
	add(f, "redirect", "NAME,...:HOST[:PORT]", "connect to that server in the place of these names; *.NAME is for those below it (repeatable)", func(v string) error {
		r, err := policy.ParseRedirect(v)
		if err == nil {
			s.Redirects = append(s.Redirects, r)
		}
		return err
	})
}

// given reports whether there are rules.
func (o *ruleOptions) given() bool {
	s := &o.sources
	return s.Ruleset != "" || s.BypassAll || len(s.Bypass)+len(s.BypassExact)+len(s.Redirects) > 0
}

// open loads the rules; nil: there are none.
func (o *ruleOptions) open(ctx context.Context, log *slog.Logger) (*policy.Rules, error) {
	if !o.given() {
		return nil, nil
	}
	o.sources.Log = log
	rules, err := policy.LoadRules(ctx, o.sources)
	if err != nil {
		return nil, usage("%w", err)
	}
	return rules, nil
}

// bareBypass gives a --bypass that stands alone its empty value, which means everything. Flags that may stand alone can
// else only have a value after =.
func bareBypass(args []string) []string {
	full := make([]string, len(args))
	for i, arg := range args {
		if arg == "--" {
			copy(full[i:], args[i:])
			break
		}
		full[i] = arg
		if arg == "--bypass" && (i+1 == len(args) || strings.HasPrefix(args[i+1], "-")) {
			full[i] = "--bypass="
		}
	}
	return full
}
