package launch

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

func TestSharedPartIsMadeOnceByConcurrentRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := (&Shared{dir: dir}).once("part", func(part string) error {
		return errors.Join(os.Mkdir(part, 0o700), errors.New("interrupted"))
	}); err == nil {
		t.Fatal("the error is lost")
	}
	var made atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			path, err := (&Shared{dir: dir}).once("part", func(part string) error {
				made.Add(1)
				return os.Mkdir(part, 0o700)
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}
}
