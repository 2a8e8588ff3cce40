package jwtauth

import (
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Source returns the public keys that verify tokens. An unknown kid is an error
// with ErrInvalid in its chain; any other error means that the keys are not
// available at the moment.
type Source interface {
	PublicKey(kid string) (ed25519.PublicKey, error)
}

// PublicKey implements Source.
func (s *KeySet) PublicKey(kid string) (ed25519.PublicKey, error) {
	for _, k := range s.all() {
		if k.id == kid {
			return k.public(), nil
		}
	}
	return nil, errUnknownKey
}

var errUnknownKey = fmt.Errorf("%w: unknown kid", ErrInvalid)

// checkInterval is the least time between two checks whether the file has changed.
const checkInterval = time.Second

// KeyFile is a key set that follows its file, so that keys rotate without a
// restart, on every replica that shares the file.
type KeyFile struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	keys    *KeySet
	seen    fs.FileInfo
	checked time.Time
}

// OpenKeyFile loads the file.
func OpenKeyFile(path string, now func() time.Time, log *slog.Logger) (*KeyFile, error) {
	f := &KeyFile{path: path, now: now, log: log, checked: now()}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

// load reads the file; the caller holds mu or has the only reference.
func (f *KeyFile) load() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("read the signing keys: %w", err)
	}
	if f.seen != nil && os.SameFile(info, f.seen) && info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return nil
	}
	keys, err := LoadKeySet(f.path)
	if err != nil {
		return err
	}
	f.keys, f.seen = keys, info
	return nil
}

// Keys returns the set in the file, at most a second old. A file that can't be
// read is logged, and the last valid set stays in use.
func (f *KeyFile) Keys() *KeySet {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.checked) < checkInterval && !now.Before(f.checked) {
		return f.keys
	}
	f.checked = now
	if err := f.load(); err != nil {
		f.log.Error("signing keys not reloaded", "error", err)
	}
	return f.keys
}

// PublicKey implements Source.
func (f *KeyFile) PublicKey(kid string) (ed25519.PublicKey, error) { return f.Keys().PublicKey(kid) }
