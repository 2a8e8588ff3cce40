package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Files of the state folder that hold secrets; only their owner may read them.
const (
	keysFile  = "keys.json"
	adminFile = "admin.env"
)

// lockState makes the folder if need be and holds it for this program's life;
// the kernel lets go of it however the program ends.
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

// ensureKeys has the CRM make the keys that sign tokens, the first time.
func ensureKeys(ctx context.Context, s *settings) error {
	file := s.path(keysFile)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, s.path("bin", "crm"), "keys", "rotate", "--file", file)
	cmd.Env = environment("CRM_", map[string]string{"CRM_KEYS_FILE": file})
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the signing keys: %w\n%s", err, output)
	}
	return nil
}

// admin is who signs in first.
type admin struct{ email, password string }

// firstAdmin takes the address and the password from the environment, else
// from the file of an earlier start, else makes them up. The file keeps what
// is in effect, as lines that a shell can read.
func firstAdmin(s *settings) (admin, error) {
	path := s.path(adminFile)
	kept, err := readAdmin(path)
	if err != nil {
		return admin{}, err
	}
	a := admin{email: s.AdminEmail, password: s.AdminPassword.Reveal()}
	if a.email == "" {
		a.email = kept.email
	}
	if a.email == "" {
		a.email = "admin@fixdesk.example"
	}
	if a.password == "" && a.email == kept.email {
		a.password = kept.password
	}
	if a.password == "" {
		a.password = rand.Text()
	}
	if a == kept {
		return a, nil
	}
	text := "CRM_ADMIN_EMAIL=" + shellWord(a.email) + "\nCRM_ADMIN_PASSWORD=" + shellWord(a.password) + "\n"
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		return admin{}, fmt.Errorf("keep the first admin: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return admin{}, fmt.Errorf("keep the first admin: %w", err)
	}
	return a, nil
}

func readAdmin(path string) (admin, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return admin{}, fmt.Errorf("read the first admin: %w", err)
	}
	var a admin
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "CRM_ADMIN_EMAIL":
			a.email = unshellWord(value)
		case "CRM_ADMIN_PASSWORD":
			a.password = unshellWord(value)
		}
	}
	return a, nil
}

// shellWord quotes text so that a POSIX shell reads it as one word.
func shellWord(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// unshellWord undoes shellWord.
func unshellWord(word string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(word, "'"), "'"), `'\''`, "'")
}
