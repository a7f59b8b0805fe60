package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// every is how long a file is written to by default.
	every = time.Hour

	// stamp is the time in a file's name, in UTC.
	stamp = "20060102T150405Z"

	// unfinished ends the name of a file that is still written.
	unfinished = ".part"

	// floorSize and floorShare are what stays free by default: 64 MiB, or a hundredth of
	// a file system that is smaller than 6.4 GiB.
	floorSize  = 64 << 20
	floorShare = 100
)

// Rotation says when a capture begins a new file, and how long the old ones are kept.
// The zero value begins one every hour and keeps all.
type Rotation struct {
	// Every is how long a file is written to. Files end when the clock, in UTC, shows a
	// multiple of it: with an hour, on the hour. Zero means an hour; negative means that
	// files do not end by time.
	Every time.Duration

	// Size is how many bytes a file has when it ends; it may have as many more as one
	// write of a flow takes. Zero means that files do not end by their size, but for
	// those that would have more than a quarter of Keep.
	Size int64

	// Keep is how many bytes the files of the directory may have together, including
	// the one that is written. The oldest finished ones are deleted; files with other
	// names than a capture gives are neither counted nor touched. Zero means that
	// nothing is deleted.
	Keep int64

	// Free is how many bytes are left free in the file system: writing that would take
	// them fails as on a full disk. Zero means 64 MiB, or a hundredth of a small file
	// system; negative means none. It has no effect on systems other than Linux.
	Free int64
}

// Validate says what is wrong with a Rotation, or nil.
func (r Rotation) Validate() error {
	switch {
	case r.Size < 0 || r.Keep < 0:
		return errors.New("a negative size")
	case r.Keep > 0 && r.Size > r.Keep:
		return fmt.Errorf("files of %d bytes are larger than the %d that are kept", r.Size, r.Keep)
	}
	return nil
}

// CreateIn makes a Writer that writes to a directory, in one file after another:
// mitm-20060102T150405Z.pcap, by the time of its beginning, or .pcapng. A file gets that name when it
// is finished, by a rename that never replaces another; until then its name ends in
// .part, and it can be read all the same. A file begins with the first packet that goes
// into it, so that there are no empty ones. A flow that lasts longer than a file goes on
// in the next.
//
// The directory is made if only its last element is missing. Unfinished files that
// nobody writes any more, as after a crash, are finished first: what is no whole packet
// is cut off.
func CreateIn(dir string, rotation Rotation, config Config) (*Writer, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("create capture: %w", err)
	}
	ext := ".pcap"
	if config.Format == PCAPNG {
		ext = ".pcapng"
	}
	d, err := openDirectory(dir, rotation, ext, config.Log)
	if err != nil {
		return nil, fmt.Errorf("create capture: %w", err)
	}
	w, err := NewWriter(d, config)
	if err != nil {
		return nil, err
	}
	w.closer = d
	return w, nil
}

// directory is a series of files.
type directory struct {
	path     string
	rotation Rotation
	log      *slog.Logger
	ext      string
	header   []byte
	wake     func() // is called when the file's time is over

	mu    sync.Mutex // is held by whoever writes
	file  *os.File   // nil: the next packet begins one
	size  int64      // of file
	old   int64      // bytes of the finished files
	begun time.Time
	timer *time.Timer
}

func openDirectory(path string, r Rotation, ext string, log *slog.Logger) (*directory, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if r.Every == 0 {
		r.Every = every
	}
	if r.Keep > 0 && r.Size == 0 {
		r.Size = max(1, r.Keep/4)
	}
	d := &directory{path: path, rotation: r, log: log, ext: ext}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := d.try(); err != nil {
		return nil, err
	}
	if err := d.recover(); err != nil {
		return nil, err
	}
	return d, d.prune(0)
}

// try makes a file and removes it, which shows whether that is allowed.
func (d *directory) try() error {
	f, err := os.CreateTemp(d.path, ".mitm-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (d *directory) begin(header []byte) { d.header = header }

// Write writes packets, to a new file if there is none.
func (d *directory) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.guard(len(d.header) + len(p)); err != nil {
		return 0, err
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return 0, err
		}
	}
	if keep := d.rotation.Keep; keep > 0 && d.old+d.size+int64(len(p)) > keep {
		if err := d.prune(d.size + int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := d.file.Write(p)
	d.size += int64(n)
	return n, err
}

// guard fails when n bytes more would leave too little free.
func (d *directory) guard(n int) error {
	floor := d.rotation.Free
	if floor < 0 {
		return nil
	}
	free, size, err := space(d.path)
	if err != nil {
		return nil // then the write says whether there is any
	}
	if floor == 0 {
		floor = min(floorSize, size/floorShare)
	}
	if free-int64(n) < floor {
		return fmt.Errorf("%s: %d bytes are free, and %d are to stay free: %w", d.path, free, floor, syscall.ENOSPC)
	}
	return nil
}

// open begins a file. One whose header can't be written is removed again.
func (d *directory) open() error {
	d.begun = time.Now().UTC()
	f, err := d.create()
	if err != nil {
		return err
	}
	if _, err := f.Write(d.header); err != nil {
		return errors.Join(err, os.Remove(f.Name()), f.Close())
	}
	d.file, d.size = f, int64(len(d.header))
	return nil
}

// create makes a file that is ours, by a name that is free.
func (d *directory) create() (*os.File, error) {
	for n := 1; ; n++ {
		name := fileName(d.begun, n, d.ext)
		if _, err := os.Lstat(filepath.Join(d.path, name)); err == nil {
			continue
		}
		f, err := os.OpenFile(filepath.Join(d.path, name+unfinished), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Before it was locked, another process may have taken it for one that
		// nobody writes any more.
		if lock(f) && inPlace(f) {
			return f, nil
		}
		f.Close()
	}
}

// left returns how many bytes the file may still get.
func (d *directory) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rotation.Size == 0 {
		return flushSize
	}
	return int(max(0, min(d.rotation.Size-d.size, flushSize)))
}

// turn finishes the file if it is time to, and reports whether it did.
func (d *directory) turn() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil || !d.due() {
		return false
	}
	if err := d.finish(); err != nil {
		d.log.Error("capture: finish file", "err", err)
	}
	if err := d.prune(0); err != nil {
		d.log.Error("capture: delete old files", "err", err)
	}
	return true
}

// due reports whether the file's time or size is reached, and else sees to it that we
// are asked again in time.
func (d *directory) due() bool {
	if d.rotation.Size > 0 && d.size >= d.rotation.Size {
		return true
	}
	if d.rotation.Every < 0 {
		return false
	}
	// The clock that people read decides, whatever was done to it in between.
	left := d.begun.Truncate(d.rotation.Every).Add(d.rotation.Every).Sub(time.Now().Round(0))
	if left <= 0 {
		return true
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(left, d.wake)
	} else {
		d.timer.Reset(left)
	}
	return false
}

// finish closes the file and gives it its name. It is renamed first: as long as it is
// open it is locked, and no other process takes it for an orphan.
func (d *directory) finish() error {
	f := d.file
	d.file = nil
	if d.timer != nil {
		d.timer.Stop()
	}
	err := d.publish(f.Name(), d.begun)
	d.old += d.size
	d.size = 0
	return errors.Join(err, f.Close())
}

// publish gives a file its finished name, the first that is free.
func (d *directory) publish(part string, begun time.Time) error {
	for n := 1; ; n++ {
		err := rename(part, filepath.Join(d.path, fileName(begun, n, extension(part))))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// Close finishes the file that is written.
func (d *directory) Close() error {
	if !d.mu.TryLock() {
		return fmt.Errorf("%s: the file is left unfinished", d.path) // its write hangs
	}
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	return errors.Join(d.finish(), d.prune(0))
}

// Seek and Truncate take back a packet that was not written whole.
func (d *directory) Seek(offset int64, whence int) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return 0, fs.ErrClosed
	}
	return d.file.Seek(offset, whence)
}

// Truncate is described at Seek.
func (d *directory) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return fs.ErrClosed
	}
	err := d.file.Truncate(size)
	if err == nil {
		d.size = size
	}
	return err
}
