package tproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// follows returns patterns of what changes by itself when a file is written.
func follows(file string) []string {
	switch file {
	case forward4:
		return []string{"net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"}
	case forward6:
		return []string{"net/ipv6/conf/*/forwarding"}
	}
	return nil
}

const procSys = "/proc/sys/"

func readSys(file string) (string, error) {
	content, err := os.ReadFile(procSys + file)
	return strings.TrimSpace(string(content)), err
}

func writeSys(file, value string) error {
	f, err := os.OpenFile(procSys+file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}

// matching reads the files that a pattern means. An interface may go at any time.
func matching(pattern string) (map[string]string, error) {
	names, err := filepath.Glob(procSys + pattern)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, name := range names {
		file := strings.TrimPrefix(name, procSys)
		value, err := readSys(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		values[file] = value
	}
	return values, nil
}

// unmet returns the files of a setting that are not as they must be, in order.
func (s setting) unmet() ([]string, error) {
	if s.unless != "" {
		if value, err := readSys(s.unless); err != nil || value == "1" {
			return nil, err
		}
	}
	values, err := matching(s.pattern)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s%s is not there", procSys, s.pattern)
	}
	var files []string
	for file, value := range values {
		if !s.isMet(value) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files, nil
}

// set writes what is not as it must be. What was there is saved first, so that it can be
// put back whatever happens then.
func (h *host) set(settings []setting) error {
	for _, s := range settings {
		files, err := s.unmet()
		if err != nil {
			return err
		}
		for _, file := range files {
			h.show(fmt.Sprintf("sysctl -w %s=%s", dotted(file), s.to))
			if err := h.write(file, s.to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *host) write(file, value string) error {
	touched, err := matching(file)
	if err != nil {
		return err
	}
	for _, pattern := range follows(file) {
		values, err := matching(pattern)
		if err != nil {
			return err
		}
		for file, value := range values {
			touched[file] = value
		}
	}
	known := slices.Clone(h.state.Changes)
	for file, before := range touched {
		h.state.note(change{File: file, Before: before})
	}
	if err := h.save(); err != nil {
		return err
	}
	if err := writeSys(file, value); err != nil {
		h.state.Changes = known
		return errors.Join(err, h.save())
	}
	h.state.Changes = known
	for file, before := range touched {
		// One that has not changed now may do when this is put back.
		if after, err := readSys(file); err == nil {
			h.state.note(change{file, before, after})
		}
	}
	return h.save()
}

// note adds a change. Of several to the same file what was before the first counts, and what was after the last.
func (s *state) note(c change) {
	for i := range s.Changes {
		if s.Changes[i].File == c.File {
			s.Changes[i].After = c.After
			return
		}
	}
	s.Changes = append(s.Changes, c)
	slices.SortFunc(s.Changes, func(a, b change) int { return strings.Compare(a.File, b.File) })
}

// restore puts everything back that is as we have left it; what somebody has changed since then
// stays as it is.
func (h *host) restore() error {
	want := map[string]string{}
	for _, c := range h.state.Changes {
		if !isOurs(c.File) {
			return fmt.Errorf("state: %q is no file that would be changed here", c.File)
		}
		now, err := readSys(c.File)
		switch {
		case errors.Is(err, fs.ErrNotExist): // the interface has gone
		case err != nil:
			return err
		case c.After != "" && now != c.After:
			want[c.File] = now
		default:
			want[c.File] = c.Before
		}
	}
	for _, file := range sortedFiles(want) {
		now, err := readSys(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && now == want[file] {
			continue
		}
		h.show(fmt.Sprintf("sysctl -w %s=%s", dotted(file), want[file]))
		if err := writeSys(file, want[file]); err != nil {
			return err
		}
	}
	return nil
}

// sortedFiles has those first that others follow.
func sortedFiles(values map[string]string) []string {
	var first, rest []string
	for file := range values {
		if follows(file) != nil {
			first = append(first, file)
		} else {
			rest = append(rest, file)
		}
	}
	slices.Sort(first)
	slices.Sort(rest)
	return append(first, rest...)
}

// isOurs reports whether a file is one of those that are changed here: a state that somebody else
// has written must not lead us elsewhere.
func isOurs(file string) bool {
	patterns := []string{forward4, forward6, "net/ipv4/conf/*/src_valid_mark", "net/ipv6/conf/*/accept_ra"}
	patterns = append(append(patterns, follows(forward4)...), follows(forward6)...)
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		match, err := path.Match(pattern, file)
		return match && err == nil && path.Clean(file) == file
	})
}
