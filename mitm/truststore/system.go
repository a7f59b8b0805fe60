package truststore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// updateProgram makes Debian's store of the files of packages and of the administrator.
const updateProgram = "update-ca-certificates"

// The folders of update-ca-certificates(8).
const (
	localFolder = "usr/local/share/ca-certificates"
	storeFolder = "etc/ssl/certs"
)

// system is what to do in Debian's store: the file of the administrator, and the program that makes links and a bundle
// of all such files.
func (i Install) system() []step {
	root := i.Root
	if root == "" {
		root = "/"
	}
	name := "mitm-ca-" + i.id()
	file := filepath.Join(root, localFolder, name+".crt")
	link := filepath.Join(root, storeFolder, name+".pem")
	content, err := os.ReadFile(file)
	hasFile, hasLink := !errors.Is(err, fs.ErrNotExist), isThere(link)
	switch {
	case i.Remove && !hasFile && !hasLink:
		return []step{note("the system's store does not have it")}
	case i.Remove:
		return []step{removeFile(file), i.update("--fresh")}
	case hasLink && bytes.Equal(content, i.pem()):
		return []step{note("the system's store has it already")}
	}
	return []step{i.writeFile(file), i.update()}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (i Install) writeFile(file string) step {
	return step{
		line: command{name: "install", args: []string{"-D", "-m", "644", "/dev/stdin", file}, source: i.source()}.String(),
		root: true,
		do: func(context.Context) error {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, i.pem(), 0o644); err != nil {
				return err
			}
			return os.Chmod(file, 0o644) // whatever the umask is: all programs read it
		},
	}
}

func removeFile(file string) step {
	return step{
		line: command{name: "rm", args: []string{"-f", file}}.String(),
		root: true,
		do: func(context.Context) error {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
}

// update runs the program. What was removed goes only when all is made anew.
func (i Install) update(args ...string) step {
	if i.Root != "" {
		args = append(args, "--sysroot", i.Root)
	}
	s := i.run(command{name: updateProgram, args: args})
	s.root = true
	return s
}
