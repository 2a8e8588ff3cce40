package attachment

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// backend keeps objects, each written once and never changed.
type backend interface {
	// write stores what r has as an object.
	write(ctx context.Context, object uuid.UUID, r io.Reader) error
	// open reads an object of the given size. The context lasts until it is closed.
	open(ctx context.Context, object uuid.UUID, size int64) (io.ReadSeekCloser, error)
	// remove removes an object; one that isn't there is no error.
	remove(ctx context.Context, object uuid.UUID) error
}

// Postgres names the store that keeps files in the service's own database.
const Postgres = "postgres"

// stores opens the backends of all stores that contents are kept in.
type stores struct {
	keys S3Keys
	// current is the store of new contents.
	current string

	mu   sync.Mutex
	open map[string]backend
}

func newStores(pool *pgxpool.Pool, current string, keys S3Keys) *stores {
	return &stores{keys: keys, current: current, open: map[string]backend{Postgres: newPostgres(pool)}}
}

// of returns the backend of a store.
func (s *stores) of(store string) (backend, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.open[store]; ok {
		return b, nil
	}
	u, err := parseStore(store)
	if err != nil {
		return nil, fmt.Errorf("the store %q %w", store, err)
	}
	var b backend
	switch u.scheme {
	case "file":
		b = folder{u.path}
	default:
		if b, err = newBucket(u, s.keys); err != nil {
			return nil, err
		}
	}
	s.open[store] = b
	return b, nil
}
