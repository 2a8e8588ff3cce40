package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// keysFile holds the keys that sign tokens: CRM_KEYS_FILE, or a file of the
// state folder that its owner alone may read.
func (s *settings) keysFile() string { return givenOr("CRM_KEYS_FILE", s.path("keys.json")) }

// lockState makes the folder if it is absent and locks it until this program ends;
// the kernel unlocks it however the program ends.
func lockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another stack is running with the state folder %s; stop it, or set FIXDESK_STATE to another folder", dir)
		}
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	return file, nil
}

// ensureKeys runs "crm keys rotate" at the first start.
func ensureKeys(ctx context.Context, s *settings) error {
	file := s.keysFile()
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "crm"), "keys", "rotate", "--file", file)
	cmd.Env = environment("CRM_", map[string]string{"CRM_KEYS_FILE": file})
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the signing keys: %w\n%s", err, output)
	}
	return nil
}
