package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	retryTries = 10
	retryBase  = 2 * time.Millisecond
	retryCap   = 250 * time.Millisecond
)

// ErrRetry is returned, wrapped or not, by a function given to Retry that found a
// conflict and should run again.
var ErrRetry = errors.New("lost a race, to be tried again")

// Retry runs transaction until it succeeds, fails for another reason, or has met
// 10 conflicts: a serialization failure, a deadlock, or ErrRetry. Between tries it
// waits a random time of at most 2 ms, doubling to 250 ms. The transaction
// must be one whole transaction, safe to run again after it was rolled back.
func Retry(ctx context.Context, transaction func() error) error {
	limit := retryBase
	for try := 1; ; try++ {
		err := transaction()
		if err == nil || !lostRace(err) {
			return err
		}
		if try == retryTries {
			return fmt.Errorf("gave up after %d tries: %w", retryTries, err)
		}
		wait := time.NewTimer(rand.N(limit))
		select {
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("%w, while waiting to try again after: %w", ctx.Err(), err)
		case <-wait.C:
		}
		limit = min(2*limit, retryCap)
	}
}

func lostRace(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code == serializationFailure || pgErr.Code == deadlockDetected
	}
	return errors.Is(err, ErrRetry)
}
