package crm

import (
	"context"
	"iter"
	"time"
)

// StreamWithTimes is Stream with other times.
func StreamWithTimes(ctx context.Context, c ClientInterface, after string, silence, retry, most time.Duration) iter.Seq2[StreamEvent, error] {
	s := &streamReader{client: c, after: after, silence: silence, retry: retry, most: most}
	return func(yield func(StreamEvent, error) bool) { s.run(ctx, yield) }
}
