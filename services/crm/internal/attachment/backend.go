package attachment

import (
	"context"
	"fmt"
	"io"

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
	pool *pgxpool.Pool
	// current is the store of new contents.
	current string
	known   map[string]backend
}

func newStores(pool *pgxpool.Pool, current string) *stores {
	return &stores{pool: pool, current: current, known: map[string]backend{Postgres: newPostgres(pool)}}
}

// of returns the backend of a store.
func (s *stores) of(store string) (backend, error) {
	if b, ok := s.known[store]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("there is no store %q", store)
}
