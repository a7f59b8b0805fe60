package capture

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ours matches the names that captures have: a time, a number from the second file of
// that time on, and what the file is.
var ours = regexp.MustCompile(`^mitm-(\d{8}T\d{6}Z)(?:_(\d{3,}))?\.(?:pcap|pcapng)(\.part)?$`)

// fileName returns the name of the nth file that began at a time. Names sort by time.
func fileName(begun time.Time, n int, ext string) string {
	name := "mitm-" + begun.Format(stamp)
	if n > 1 {
		name += fmt.Sprintf("_%03d", n)
	}
	return name + ext
}

// extension returns the ".pcap" or ".pcapng" of a file, finished or not.
func extension(file string) string { return filepath.Ext(strings.TrimSuffix(file, unfinished)) }

// entry is a file of ours.
type entry struct {
	path  string
	begun time.Time
	n     int
	part  bool
	size  int64
}

// entries lists the files of ours, oldest first.
func (d *directory) entries() ([]entry, error) {
	list, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, e := range list {
		m := ours.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		begun, err := time.Parse(stamp, m[1])
		info, gone := e.Info()
		if err != nil || gone != nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		all = append(all, entry{filepath.Join(d.path, e.Name()), begun, n, m[3] != "", info.Size()})
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(a.begun.Compare(b.begun), cmp.Compare(a.n, b.n))
	})
	return all, nil
}

// prune deletes the oldest finished files, as long as they are with those extra bytes
// more than is kept.
func (d *directory) prune(extra int64) error {
	if d.rotation.Keep == 0 {
		return nil
	}
	all, err := d.entries()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(e entry) bool { return e.part })
	d.old = 0
	for _, e := range all {
		d.old += e.size
	}
	for _, e := range all {
		if d.old+extra <= d.rotation.Keep {
			break
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.old -= e.size
	}
	return nil
}

// recover finishes the files that a process has left behind, and removes those without a
// packet. Ours is the first that locks one.
func (d *directory) recover() error {
	all, err := d.entries()
	if err != nil {
		return err
	}
	for _, e := range all {
		if !e.part {
			continue
		}
		f, err := openOrphan(e.path)
		if err != nil {
			d.log.Warn("capture: finish what was left behind", "err", err)
			continue
		}
		if f == nil {
			continue // it is being written
		}
		err = d.adopt(f, e)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// adopt finishes one file.
func (d *directory) adopt(f *os.File, e entry) error {
	size, packets := intact(f)
	if packets == 0 {
		return os.Remove(e.path)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	d.log.Info("capture: finish what was left behind", "file", e.path, "packets", packets)
	return d.publish(e.path, e.begun)
}

// inPlace reports whether a file still is what its name says.
func inPlace(f *os.File) bool {
	here, err := f.Stat()
	there, gone := os.Lstat(f.Name())
	return err == nil && gone == nil && os.SameFile(here, there)
}

// renameUnlessTaken renames a file unless the new name is taken: as far as a look can
// tell, so that two that rename at once could miss each other.
func renameUnlessTaken(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}
