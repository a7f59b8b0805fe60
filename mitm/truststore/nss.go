package truststore

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// certutil is the program of NSS for its databases.
const certutil = "certutil"

// database is the file that is in the folder of each database of today, "sql:".
const database = "cert9.db"

// trust is C for the first of TLS, mail and code: a certificate authority for servers.
const trust = "C,,"

// chromium is where Chromium and Chrome look, and others that have no profiles.
const chromium = ".pki/nssdb"

// profiles are where else databases are: patterns of folders, in the home.
func profiles() []string {
	return []string{
		".mozilla/firefox/*",
		".config/mozilla/firefox/*",
		"snap/firefox/common/.mozilla/firefox/*",
		".var/app/org.mozilla.firefox/.mozilla/firefox/*",
		"snap/chromium/current/.pki/nssdb",
		".var/app/org.chromium.Chromium/.pki/nssdb",
	}
}

// nss is what to do in the databases of the user. Chromium's is made if need be, since it would be empty otherwise when
// Chromium first looks; a profile of Firefox is Firefox's to make.
func (i Install) nss() ([]step, error) {
	home := i.Home
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return nil, fmt.Errorf("find the browsers' databases: %w", err)
		}
	}
	var steps []step
	first := filepath.Join(home, chromium)
	if !isThere(filepath.Join(first, database)) && !i.Remove {
		steps = append(steps, i.newDatabase(first)...)
	} else {
		steps = append(steps, i.inDatabase(first)...)
	}
	for _, pattern := range profiles() {
		found, err := filepath.Glob(filepath.Join(home, pattern, database))
		if err != nil {
			return nil, fmt.Errorf("find the browsers' databases: %w", err)
		}
		for _, file := range found {
			steps = append(steps, i.inDatabase(filepath.Dir(file))...)
		}
	}
	return steps, nil
}

// newDatabase makes a database. It must not be there: certutil would ask for its password, again and again.
func (i Install) newDatabase(folder string) []step {
	mkdir := step{
		line: command{name: "mkdir", args: []string{"-p", "-m", "700", folder}}.String(),
		do:   func(context.Context) error { return os.MkdirAll(folder, 0o700) },
	}
	return []step{mkdir, i.run(command{name: certutil, args: []string{"-d", "sql:" + folder, "-N", "--empty-password"}}), i.add(folder)}
}

func (i Install) add(folder string) step {
	return i.run(command{name: certutil, args: []string{"-d", "sql:" + folder, "-A", "-t", trust, "-n", i.nickname(), "-a"}, source: i.source()})
}

func (i Install) nickname() string { return "mitm-ca-" + i.id() }

// inDatabase adds the certificate to a database or removes it, unless nothing is to be done.
func (i Install) inDatabase(folder string) []step {
	if !isThere(filepath.Join(folder, database)) {
		return []step{note("%s has no database", folder)}
	}
	has, trusted, known := i.inspect(folder)
	switch {
	case i.Remove && known && !has:
		return []step{note("%s does not have it", folder)}
	case i.Remove:
		return []step{i.run(command{name: certutil, args: []string{"-d", "sql:" + folder, "-D", "-n", i.nickname()}})}
	case has && trusted:
		return []step{note("%s has it already", folder)}
	}
	return []step{i.add(folder)}
}

// inspect asks whether a database has the certificate, and trusts it. Nothing is known without certutil, whose absence
// is reported where it is to do something.
func (i Install) inspect(folder string) (has, trusted, known bool) {
	if _, err := exec.LookPath(certutil); err != nil {
		return false, false, false
	}
	ctx := context.Background()
	text, err := command{name: certutil, args: []string{"-d", "sql:" + folder, "-L", "-n", i.nickname(), "-a"}}.run(ctx, nil)
	block, _ := pem.Decode(text)
	if err != nil || block == nil || !bytes.Equal(block.Bytes, i.Certificate.Raw) {
		return false, false, true // where it could not look, adding the certificate will say what is wrong
	}
	list, err := command{name: certutil, args: []string{"-d", "sql:" + folder, "-L"}}.run(ctx, nil)
	return true, err == nil && isTrusted(list, i.nickname()), true
}

// isTrusted looks for the flags in a list of certutil, whose lines are a nickname and flags.
func isTrusted(list []byte, nickname string) bool {
	for line := range bytes.Lines(list) {
		if fields := bytes.Fields(line); len(fields) == 2 && string(fields[0]) == nickname {
			return string(fields[1]) == trust
		}
	}
	return false
}
