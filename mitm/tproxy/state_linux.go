package tproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// state is what must be remembered until the rules are taken back.
type state struct {
	Changes []change `json:"changes"`
}

// change is what became of a file below /proc/sys.
type change struct {
	File   string `json:"file"`
	Before string `json:"before"`
	After  string `json:"after,omitempty"` // empty: it was about to be written
}

// stateDirs are the folders in which the state may be, the first choice first. That of a
// session is the second, because it goes with the session.
func stateDirs() []string {
	dirs := []string{"/run/mitm"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		dirs = append(dirs, filepath.Join(dir, "mitm"))
	}
	return dirs
}

// stateName names the network namespace by its cookie, which the kernel gives to no other
// one until it is started again (Linux 5.14); before that, by its inode.
func stateName() (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err == nil {
		return fmt.Sprintf("tproxy-%d", cookie), nil
	}
	var file unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &file); err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	return fmt.Sprintf("tproxy-inode-%d", file.Ino), nil
}

// findState reads the state of this network namespace. There need not be one: then file is empty.
func findState() (s state, file string, err error) {
	files, err := stateFiles()
	if err != nil {
		return state{}, "", err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return state{}, "", fmt.Errorf("state: %w", err)
		}
		var s state
		if err := json.Unmarshal(content, &s); err != nil {
			return state{}, file, fmt.Errorf("state %s: %w", file, err)
		}
		return s, file, nil
	}
	return state{}, "", nil
}

// save writes the state into the file, or where there is none yet into the first folder that lets us.
// The file is there in whole or not at all.
func (s state) save(file string) (string, error) {
	content, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return "", fmt.Errorf("state: %w", err)
	}
	if file != "" {
		return file, writeWhole(file, content)
	}
	files, err := stateFiles()
	if err != nil {
		return "", err
	}
	var refused error
	for _, file := range files {
		if refused = writeWhole(file, content); refused == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("state: %w", refused)
}

func writeWhole(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".tproxy-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(append(content, '\n'))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// lock has others of this kind wait until unlock is called. Where there is no folder for a
// state there is nothing that two of them could spoil.
func lock() (unlock func(), err error) {
	for _, dir := range stateDirs() {
		if os.MkdirAll(dir, 0o700) != nil {
			continue
		}
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if err := flock(f, unix.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		return func() { f.Close() }, nil
	}
	return func() {}, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// stateFiles are where this network namespace's state may be, the first choice first.
func stateFiles() ([]string, error) {
	name, err := stateName()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, dir := range stateDirs() {
		files = append(files, filepath.Join(dir, name+".json"))
	}
	return files, nil
}
