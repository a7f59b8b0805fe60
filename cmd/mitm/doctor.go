package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/tproxy"
)

const doctorHelp = `Checks what transparent mode needs on this host, for the same flags as mitm tproxy up:
rights, programs, the kernel's features, rules, routes, switches, somebody who listens,
firewalls, bridges, and the CA. It changes nothing. Each check is a line; what is wrong is
followed by one with the command that helps, and what only you can tell begins with
"look". The exit code is 0 if nothing is wrong.

Whether clients trust the CA only they can tell; for connections of this host
(--uid, --cgroup) it is checked. That clients' packets come here is up to their routes.`

func newDoctor(s streams) *cobra.Command {
	var rules tproxy.Rules
	var cacert string
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "check what transparent mode needs, and say what to do (Linux)",
		Long:    doctorHelp,
		Example: "  mitm doctor --transparent redirect --to 8080 --ports 80,443 --interface eth1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkRules(rules); err != nil {
				return err
			}
			findings := rules.Diagnose(cmd.Context(), "mitm tproxy up "+arguments(rules))
			isLocal := len(rules.Users)+len(rules.Cgroups) > 0
			return report(s, append(findings, checkCA(cacert, isLocal)...))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	tproxyOptions(f, &rules)
	f.StringVar(&cacert, "cacert", "", "the CA as load:FILE[:PASS] (default: the user's own)")
	return cmd
}

// report prints the findings; what is wrong is an error without a further word.
func report(s streams, findings []tproxy.Finding) error {
	isWell := true
	for _, f := range findings {
		fmt.Fprintf(s.out, "%-7s  %s\n", f.Verdict, f.What)
		switch f.Verdict {
		case tproxy.Problem:
			isWell = false
			fmt.Fprintf(s.out, "         do: %s\n", f.Fix)
		case tproxy.Look:
			fmt.Fprintf(s.out, "         if need be: %s\n", f.Fix)
		}
	}
	if !isWell {
		return &exit{exitFailed, nil}
	}
	return nil
}

// checkCA looks for the authority, and whether the programs of this host trust it, if that matters.
func checkCA(cacert string, isLocal bool) []tproxy.Finding {
	const how = "mitm ca init"
	if cacert == "" {
		dir, err := ca.DefaultDir()
		if err != nil {
			return []tproxy.Finding{{What: err.Error(), Fix: "set HOME"}}
		}
		if _, err := os.Stat(filepath.Join(dir, "ca.pem")); errors.Is(err, fs.ErrNotExist) {
			return []tproxy.Finding{{What: "there is no CA in " + dir, Fix: how}}
		}
	}
	var findings []tproxy.Finding
	err := withCertificate(cacert, func(c *x509.Certificate) error {
		findings = append(findings, tproxy.Finding{Verdict: tproxy.OK, What: fmt.Sprintf("the CA is there: %s", c.Subject)})
		if !isLocal {
			return nil
		}
		if _, err := c.Verify(x509.VerifyOptions{}); err != nil {
			findings = append(findings, tproxy.Finding{What: "the programs of this host do not trust the CA", Fix: "mitm ca install"})
		} else {
			findings = append(findings, tproxy.Finding{Verdict: tproxy.OK, What: "the programs of this host trust the CA"})
		}
		return nil
	})
	if err != nil {
		return []tproxy.Finding{{What: err.Error(), Fix: "mitm ca show says what is wrong with it"}}
	}
	return findings
}
