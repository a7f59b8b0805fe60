package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The names without .pem and .key of the two authorities in a directory.
const (
	trustedName   = "ca"
	untrustedName = "untrusted-ca"
)

// maxFile bounds what is read of a file that an option names: it may be anything.
const maxFile = 1 << 20

// DefaultDir is the directory of the authority that is made on first use: bridgeio in the user's configuration
// directory. It fails where there is none, as for a service without a home.
func DefaultDir() (string, error) {
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no directory to keep the CA in (name a CA file with --cacert): %w", err)
	}
	if !filepath.IsAbs(config) {
		return "", fmt.Errorf("no directory to keep the CA in (name a CA file with --cacert): %s is relative", config)
	}
	return filepath.Join(config, "bridgeio"), nil
}

// Open loads the authority of a directory; what is missing is made. The files are
//
//	ca.pem            the certificate for clients to trust (the chain may follow it)
//	ca.key            its key: whoever has it can read the traffic of these clients
//	untrusted-ca.pem  the authority for servers that do not verify
//	untrusted-ca.key  its key, derived from ca.key when it is made
//	leaf-rsa.key      the key of RSA leaves; -3072 and -4096 before .key are the larger ones
//
// Files appear whole or not at all, and never over another: of processes that start at the same time one makes the
// authority and all use it. A key that others may read, and a directory that they may write, are refused.
func Open(dir string) (*Authority, error) {
	d := directory(dir)
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("open CA directory: %w", err)
	}
	trusted, err := d.issuer(trustedName, newRootKey, func(key crypto.Signer) ([]byte, error) {
		return newRoot(key, time.Now())
	})
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	untrusted, err := d.issuer(untrustedName, func() (crypto.Signer, error) {
		return untrustedKey(trusted.key)
	}, func(key crypto.Signer) ([]byte, error) {
		return newUntrustedRoot(key, trusted.cert)
	})
	if err != nil {
		return nil, fmt.Errorf("open untrusted CA: %w", err)
	}
	if sameKey(trusted.key, untrusted.key) {
		return nil, fmt.Errorf("open untrusted CA: %s holds the key of the trusted CA: remove %[1]s and its certificate",
			d.path(untrustedName+".key"))
	}
	return newAuthority(trusted, untrusted, d, true)
}

// directory is where an authority is kept; the empty one holds nothing.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

// prepare makes the directory, or sees to it that nobody else can replace files in the one there is.
func (d directory) prepare() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(string(d))
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: others may write to it (mode %04o): run chmod 700", string(d), info.Mode().Perm())
	}
	return nil
}

// issuer loads name.key and name.pem and makes the one or both that are missing.
func (d directory) issuer(name string, newKey func() (crypto.Signer, error), newCert func(crypto.Signer) ([]byte, error)) (*issuer, error) {
	// The key is written first and read last: a certificate that was seen always has its key, even when
	// another process is making both this very moment.
	certs, err := d.read(name + ".pem")
	lacksCert := errors.Is(err, fs.ErrNotExist)
	if err != nil && !lacksCert {
		return nil, err
	}
	secret, err := d.readSecret(name + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		if !lacksCert {
			return nil, fmt.Errorf("%s has lost its key %s.key: restore it, or remove %[1]s to start anew", d.path(name+".pem"), name)
		}
		secret, err = d.publishKey(name+".key", newKey)
	}
	if err != nil {
		return nil, err
	}
	if lacksCert {
		certs, err = d.publishCert(name+".pem", secret, newCert)
		if err != nil {
			return nil, err
		}
	}
	i, err := parseIssuer(bytes.Join([][]byte{certs, secret}, []byte("\n")), time.Now())
	if err != nil {
		return nil, fmt.Errorf("%s and %s.key: %w", d.path(name+".pem"), name, err)
	}
	return i, nil
}

func (d directory) publishKey(name string, newKey func() (crypto.Signer, error)) ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	if err := d.publish(name, 0o600, text); err != nil {
		return nil, err
	}
	return d.readSecret(name)
}

func (d directory) publishCert(name string, secret []byte, newCert func(crypto.Signer) ([]byte, error)) ([]byte, error) {
	key, err := parseKey(secret)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", d.path(name), err)
	}
	der, err := newCert(key)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", d.path(name), err)
	}
	if err := d.publish(name, 0o644, certificatePEM(der)); err != nil {
		return nil, err
	}
	return d.read(name)
}

// publish gives a new file its name, in one step and only when it is complete. It leaves a file that already has
// the name alone, so the caller reads back what is there. A hard link does what a rename does, except that
// it does not replace; a lock file would survive a crash.
func (d directory) publish(name string, perm fs.FileMode, content []byte) (err error) {
	f, err := os.CreateTemp(string(d), "."+name+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if err := writeAndClose(f, perm, content); err != nil {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	if err := os.Link(f.Name(), d.path(name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func writeAndClose(f *os.File, perm fs.FileMode, content []byte) error {
	_, err := f.Write(content)
	return errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
}

func (d directory) read(name string) ([]byte, error) {
	return readFile(d.path(name), false)
}

func (d directory) readSecret(name string) ([]byte, error) {
	return readFile(d.path(name), true)
}

// readFile reads a file, and refuses one with a key that others may read.
func readFile(path string, secret bool) ([]byte, error) {
	text, open, err := readAny(path)
	if secret && err == nil {
		err = open
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// readAny reads a file; open says that others may read it, too. The mode is that of the open file: a path could be
// swapped between two looks.
func readAny(path string) (content []byte, open, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		open = fmt.Errorf("%s: others may use this key (mode %04o): run chmod 600", path, perm)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return text, open, nil
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
