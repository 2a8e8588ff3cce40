package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// ErrUnreachable means that the account which runs the server, because root may
// not, can't enter the folder.
var ErrUnreachable = errors.New("the folder is closed to the account that runs PostgreSQL")

// account is the user that runs the server's programs.
type account struct {
	name     string
	uid, gid int
	other    bool // not the user who runs this program
}

// serverAccount returns the current user. Since PostgreSQL refuses root, that is
// replaced by the user postgres, or else nobody.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, other: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// command runs program as the account, in dir, with none of this program's
// environment.
func (a account) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
	if a.other {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)},
		}
	}
	return cmd
}

// folder makes dir if it is absent, for the account alone.
func (a account) folder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if a.other {
		if err := os.Chown(dir, a.uid, a.gid); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o700)
}

// reach checks that the account may enter every folder above dir.
func (a account) reach(dir string) error {
	if !a.other {
		return nil
	}
	for above := filepath.Dir(dir); ; above = filepath.Dir(above) {
		info, err := os.Stat(above)
		if err != nil {
			return err
		}
		pass := info.Mode().Perm() & 0o001
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			switch {
			case int(stat.Uid) == a.uid:
				pass = info.Mode().Perm() & 0o100
			case int(stat.Gid) == a.gid:
				pass = info.Mode().Perm() & 0o010
			}
		}
		if pass == 0 {
			return fmt.Errorf("%w: user %s can't enter %s", ErrUnreachable, a.name, above)
		}
		if above == filepath.Dir(above) {
			return nil
		}
	}
}

// owns reports whether path is a folder (no symbolic link) that belongs to the
// account and that no other may enter.
func (a account) owns(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == a.uid
}
