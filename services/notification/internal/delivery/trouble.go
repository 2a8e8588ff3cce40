package delivery

import (
	"context"
	"log/slog"
	"sync"
)

// trouble logs the first failure in a row of something that is repeated, and the
// success after it. The zero value is ready; it is safe for concurrent use.
type trouble struct {
	mu       sync.Mutex
	failures int
}

// report notes how one try ended.
func (t *trouble) report(ctx context.Context, log *slog.Logger, what string, err error, attributes ...any) {
	t.mu.Lock()
	before := t.failures
	t.failures++
	if err == nil {
		t.failures = 0
	}
	t.mu.Unlock()
	switch {
	case err == nil && before > 0:
		log.InfoContext(ctx, what+" works again", append(attributes, "failures", before)...)
	case err != nil && before == 0:
		log.ErrorContext(ctx, what+" fails", append(attributes, "error", err)...)
	}
}
