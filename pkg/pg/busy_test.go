package pg_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fixdesk/pkg/pg"
)

func TestWhatStartsIsRepeatedWhileTheDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	tries := 0
	err := pg.RetryUnavailable(t.Context(), time.Minute, func(context.Context) error {
		if tries++; tries < 3 {
			return context.DeadlineExceeded
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
	other := errors.New("a defect")
	tries = 0
	if err := pg.RetryUnavailable(t.Context(), time.Minute, func(context.Context) error { tries++; return other }); !errors.Is(err, other) || tries != 1 {
		t.Errorf("another error: %d tries, %v", tries, err)
	}
	if err := pg.RetryUnavailable(t.Context(), time.Millisecond, func(context.Context) error { return context.DeadlineExceeded }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the limit: %v", err)
	}
}
