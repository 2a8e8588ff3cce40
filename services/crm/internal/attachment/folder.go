package attachment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// folder keeps objects as files below a folder, which all replicas share.
type folder struct{ root string }

// path is where an object is: in one of 256 folders, by its random part.
func (f folder) path(object uuid.UUID) string {
	name := object.String()
	return filepath.Join(f.root, name[len(name)-2:], name)
}

// write writes to another name first, so that an object is whole or not there.
func (f folder) write(_ context.Context, object uuid.UUID, r io.Reader) (err error) {
	path := f.path(object)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	part, err := os.OpenFile(path+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create a file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path + ".part")
		}
	}()
	_, err = io.Copy(part, r)
	if err == nil {
		err = part.Sync()
	}
	if err := errors.Join(err, part.Close()); err != nil {
		return fmt.Errorf("write a file: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("rename a file: %w", err)
	}
	return syncFolders(filepath.Dir(path), f.root)
}

// syncFolders makes new names in folders survive a crash.
func syncFolders(paths ...string) error {
	for _, path := range paths {
		dir, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("sync a folder: %w", err)
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return fmt.Errorf("sync a folder: %w", err)
		}
	}
	return nil
}

func (f folder) open(_ context.Context, object uuid.UUID, size int64) (io.ReadSeekCloser, error) {
	file, err := os.Open(f.path(object))
	if err != nil {
		return nil, fmt.Errorf("open a file: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("it has %d bytes instead of %d", info.Size(), size)
	}
	if err != nil {
		return nil, fmt.Errorf("open a file: %w", errors.Join(err, file.Close()))
	}
	return file, nil
}

func (f folder) remove(_ context.Context, object uuid.UUID) error {
	for _, path := range []string{f.path(object), f.path(object) + ".part"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a file: %w", err)
		}
	}
	return nil
}
