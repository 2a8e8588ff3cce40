package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNoRepository means that no folder of the repository is the current one.
var ErrNoRepository = errors.New("there is no go.work in this folder or above it")

// Repository returns the folder of go.work, at or above the current one, or
// ErrNoRepository.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", ErrNoRepository
		}
	}
}

// Build builds the launcher and both services into the folder dir, as make run does:
// by deploy/local/build.sh. It must be called inside the repository. environment is
// added to the caller's, as NAME=value.
func Build(ctx context.Context, dir string, environment ...string) error {
	root, err := Repository()
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "deploy", "local", "build.sh"))
	build.Env = append(append(os.Environ(), "FIXDESK_BIN="+dir), environment...)
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, output)
	}
	return nil
}
