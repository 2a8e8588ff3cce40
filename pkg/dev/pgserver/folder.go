package pgserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrInUse means that another running program has a server on the folder.
var ErrInUse = errors.New("another program runs PostgreSQL on this folder")

// socketBase is short, since a socket's address has at most 103 bytes (107 on
// Linux), and every account can enter it, unlike the folder that TMPDIR may name.
const socketBase = "/tmp"

// lockFolder locks dir until this program ends; the kernel releases the lock
// however it ends.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	return file, nil
}

// Remove deletes a folder that Start made, after stopping a server that a killed
// program left running on it. It fails with ErrInUse if a running program uses it.
func Remove(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	lock, err := lockFolder(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := clearPidFile(ctx, dataDir(dir)); err != nil {
		return err
	}
	if account, err := serverAccount(); err == nil {
		if socket := usualSocketFolder(dir); account.owns(socket) {
			_ = os.RemoveAll(socket)
		}
	}
	return os.RemoveAll(dir)
}

// socketFolder returns the same short folder for dir each time, so that a printed
// address stays valid, or a new one if another user has made a folder of that name.
func socketFolder(a account, dir string) (string, error) {
	folder := usualSocketFolder(dir)
	if a.owns(folder) { // with the lock file of a killed server
		_ = os.RemoveAll(folder)
	}
	err := os.Mkdir(folder, 0o700)
	if err == nil && a.other {
		err = os.Chown(folder, a.uid, a.gid)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if !a.owns(folder) {
		if folder, err = os.MkdirTemp(socketBase, "fx-"); err != nil {
			return "", err
		}
		if err := a.folder(folder); err != nil {
			return "", err
		}
	}
	return folder, nil
}

func usualSocketFolder(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(socketBase, "fx-"+hex.EncodeToString(sum[:5]))
}

// pidFile is what PostgreSQL writes into postmaster.pid.
type pidFile struct {
	pid    int
	shmID  string // of the System V segment that its processes are attached to
	status string // "starting", "ready", "stopping" …
}

func readPidFile(dataDir string) (pidFile, error) {
	text, err := os.ReadFile(pidPath(dataDir))
	if err != nil {
		return pidFile{}, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return pidFile{}, fmt.Errorf("%s does not start with a process id", pidPath(dataDir))
	}
	file := pidFile{pid: pid}
	if len(lines) > 6 {
		if fields := strings.Fields(lines[6]); len(fields) == 2 {
			file.shmID = fields[1]
		}
	}
	if len(lines) > 7 {
		file.status = strings.TrimSpace(lines[7])
	}
	return file, nil
}

func pidPath(dataDir string) string { return filepath.Join(dataDir, "postmaster.pid") }

// clearPidFile makes sure that no server runs on dataDir. The caller holds the
// folder's lock, so a server found there belongs to no running program and is
// stopped. PostgreSQL itself handles a pid file whose process has ended; but it
// takes a zombie, or another process that got the id since, for a server. The file
// is removed only if that process is no server and no process is attached to the
// ended server's memory.
func clearPidFile(ctx context.Context, dataDir string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for tries := 0; ; tries++ {
		file, err := readPidFile(dataDir)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		command, exists := commandLine(file.pid)
		switch {
		case err != nil:
			// It is being written, or incomplete after a crash.
			if tries == 100 {
				return os.Remove(pidPath(dataDir))
			}
		case serves(command, dataDir):
			if tries%100 == 0 {
				_ = syscall.Kill(file.pid, syscall.SIGINT)
			}
		case attached(file.shmID):
		case exists:
			return os.Remove(pidPath(dataDir))
		default:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a PostgreSQL server (process %d) is still running on %s and does not stop", file.pid, dataDir)
		case <-tick.C:
		}
	}
}

// serves reports whether the command line is a server's on dataDir. A zombie's is
// empty.
func serves(commandLine, dataDir string) bool {
	return strings.Contains(commandLine+" ", " -D "+dataDir+" ")
}
