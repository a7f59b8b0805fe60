package mitm

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookInterval is how often, at most, the file of a ServerCertificate is looked at.
const lookInterval = time.Second

// ServerCertificate is a real certificate: clients that ask for one of its names are shown
// it, instead of one that the authority signs. When its file changes it is read again; a
// file that can't be read then, or is no certificate, leaves the old one in force. It is
// safe for concurrent use, and holds no resources.
type ServerCertificate struct {
	// Names are what it is for, as those of a ClientCertificate. They need not be in
	// the certificate.
	Names []string

	// Log is told when the certificate changes, and when that fails; nil means
	// slog.Default. It is not changed after first use.
	Log *slog.Logger

	file, pass string // pass as ReadSecret takes it: that may change, too
	current    atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // held by the one flow that looks at the file
	looked time.Time
	info   os.FileInfo // of what was read last, or was not worth it; nil: there was no file
}

// LoadServerCertificate reads the certificate with its key, and the intermediates that go
// with it, as LoadCertificate does; pass is a password as ReadSecret takes it.
func LoadServerCertificate(names []string, file, pass string) (*ServerCertificate, error) {
	c := &ServerCertificate{Names: names, file: file, pass: pass, looked: time.Now()}
	c.info, _ = os.Stat(file) // before it is read: a change in between is one that comes after
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// ParseServerCertificate loads what "NAMES:FILE" or "NAMES:FILE:PASS" says. NAMES are
// separated by commas; the rest is as SplitFile and ReadSecret take it. An error does not
// hold the password.
func ParseServerCertificate(v string) (*ServerCertificate, error) {
	names, file, pass, err := splitNamesFile(v)
	if err != nil {
		return nil, err
	}
	return LoadServerCertificate(names, file, pass)
}

func (c *ServerCertificate) read() error {
	pass, err := ReadSecret(c.pass)
	if err != nil {
		return err
	}
	certificate, err := LoadCertificate(c.file, pass)
	if err == nil {
		c.current.Store(&certificate)
	}
	return err
}

// Lookup returns the certificate if it is for the name, else nil. It looks at the file at
// most once a second; while one caller reads a new one the others get the old.
func (c *ServerCertificate) Lookup(name string) *tls.Certificate {
	if !matchesName(c.Names, name) {
		return nil
	}
	if c.mu.TryLock() {
		if now := time.Now(); now.Sub(c.looked) >= lookInterval {
			c.looked = now
			c.look()
		}
		c.mu.Unlock()
	}
	return c.current.Load()
}

// look reads the file again if it is another than before. Each state of the file that is
// no certificate is reported once, and then left alone until it changes.
func (c *ServerCertificate) look() {
	info, err := os.Stat(c.file)
	if sameState(c.info, info) {
		return
	}
	c.info = info
	if err == nil {
		err = c.read()
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	if err != nil {
		log.Error("the server certificate has changed and can't be read; the old one stays", "file", c.file, "error", err)
		return
	}
	log.Info("the server certificate was read again", "file", c.file, "not_after", c.current.Load().Leaf.NotAfter)
}

// sameState reports whether a file has not changed, as far as its metadata tell.
func sameState(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// serverCertificate returns the first one that is for the name, or nil.
func (c *Config) serverCertificate(name string) *tls.Certificate {
	for _, s := range c.ServerCertificates {
		if certificate := s.Lookup(name); certificate != nil {
			return certificate
		}
	}
	return nil
}
