package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// SharedVariable names the environment variable with the folder in which the test
// binaries of one run share programs and a cluster. Only runs of tests set it.
const SharedVariable = "FIXDESK_TEST_SHARED"

// TestVersion is the version of the programs that tests build.
const TestVersion = "1.2.3-test"

// Shared holds what test binaries start: each of its parts is made once for a run of
// tests, by the first that needs it. Nobody may change the files.
type Shared struct {
	dir       string
	temporary bool
}

// OpenShared uses the folder that SharedVariable names, or else a temporary one. Call
// Close.
func OpenShared() (*Shared, error) {
	if dir := os.Getenv(SharedVariable); dir != "" {
		return &Shared{dir: dir}, nil
	}
	dir, err := os.MkdirTemp("", "fixdesk-shared-")
	if err != nil {
		return nil, err
	}
	// PostgreSQL's account must enter it.
	return &Shared{dir: dir, temporary: true}, os.Chmod(dir, 0o755)
}

// Close removes a temporary folder.
func (s *Shared) Close() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// Programs returns the folder of the launcher and both services (see Build). It must be
// called inside the repository.
func (s *Shared) Programs(ctx context.Context) (string, error) {
	return s.once("bin", func(dir string) error { return Build(ctx, dir, "FIXDESK_VERSION="+TestVersion) })
}

// Cluster returns a cluster for pgserver.Options.Template (see NewTemplate). It must be
// called inside the repository.
func (s *Shared) Cluster(ctx context.Context) (string, error) {
	bin, err := s.Programs(ctx)
	if err != nil {
		return "", err
	}
	return s.once("cluster", func(dir string) error { return NewTemplate(ctx, dir, bin) })
}

// once makes a part under another name and renames it when it is complete. Other
// programs wait meanwhile.
func (s *Shared) once(name string, make func(dir string) error) (string, error) {
	path := filepath.Join(s.dir, name)
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", path, err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unfinished := path + ".unfinished"
	if err := errors.Join(os.RemoveAll(unfinished), make(unfinished)); err != nil {
		return "", err
	}
	return path, os.Rename(unfinished, path)
}
