package pgserver_test

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"fixdesk/pkg/dev/pgserver"
)

func postgresAccount(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// fakeRelease makes a folder whose postgres prints a version and does nothing else.
func fakeRelease(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"initdb", "postgres"} {
		text := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPGBinDirAloneIsSearchedWhenSet(t *testing.T) {
	want := fakeRelease(t, "17.2")
	t.Setenv("PG_BIN_DIR", want)
	if got, err := pgserver.Find(t.Context()); err != nil || got != want {
		t.Errorf("found %q, %v", got, err)
	}
	t.Setenv("PG_BIN_DIR", t.TempDir())
	if got, err := pgserver.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "PG_BIN_DIR") {
		t.Errorf("an empty PG_BIN_DIR gave %q, %v", got, err)
	}
}

func TestSymbolicLinksInPATHAreFollowed(t *testing.T) {
	want := fakeRelease(t, "17.2")
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(want, "initdb"), filepath.Join(links, "initdb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PG_BIN_DIR", "")
	t.Setenv("PATH", links+":/usr/bin:/bin")
	if got, err := pgserver.Find(t.Context()); err != nil || got != want {
		t.Errorf("found %q, %v, want %q", got, err, want)
	}
}

func TestOldReleaseIsSkipped(t *testing.T) {
	old := fakeRelease(t, "9.6.24")
	t.Setenv("PG_BIN_DIR", "")
	t.Setenv("PATH", old+":/usr/bin:/bin")
	got, err := pgserver.Find(t.Context())
	switch {
	case got == old:
		t.Error("the old release was taken")
	case err != nil && !(errors.Is(err, pgserver.ErrNotFound) && strings.Contains(err.Error(), "too old")):
		t.Errorf("not found, but with the wrong reason: %v", err)
	}
}

func TestMissingPostgreSQLIsReportedWithThePackageToInstall(t *testing.T) {
	for _, command := range []string{"apt-get install", "brew install", "docker run", "PG_BIN_DIR"} {
		if !strings.Contains(pgserver.ErrNotFound.Error(), command) {
			t.Errorf("the error does not name %q", command)
		}
	}
}
