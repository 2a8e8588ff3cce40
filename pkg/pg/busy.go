package pg

import (
	"context"
	"time"
)

// retryPause is the time between two tries.
const retryPause = 200 * time.Millisecond

// RetryUnavailable repeats what a process needs before it starts, while the database is
// unavailable (see Unavailable), for example because the machine is busy. It returns
// the last error when limit is over or ctx has ended.
func RetryUnavailable(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil || !Unavailable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}
