package ticketlist

import (
	"context"
	"log/slog"
	"time"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	countsInterval = 5 * time.Second
	countsGap      = 50 * time.Millisecond // between two batches, so that requests are not delayed
	countsTimeout  = 30 * time.Second
	// countsFrom is from how many changes on they are summed up, and countsBatch how
	// many rows one statement sums up.
	countsFrom  = 500
	countsBatch = 10_000
)

// CountsLoop sums up the counted changes of tickets, on one replica at a time, so
// that totals read few rows.
func (s *Service) CountsLoop(log *slog.Logger, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "ticket counts", Interval: countsInterval, Jitter: countsInterval / 10, MinInterval: countsGap, Timeout: countsTimeout,
		RunOnce: s.foldCounts, Exclusive: pg.Exclusive(s.pool), Log: log, Metrics: metrics,
	})
}

// foldCounts sums up one batch if there are many changes, and reports whether more
// may remain.
func (s *Service) foldCounts(ctx context.Context) (again bool, err error) {
	q := crmdb.New(s.pool)
	changes, err := q.CountsChanges(ctx)
	if err != nil || changes < countsFrom {
		return false, wrap("count the changes of totals", err)
	}
	folded, err := q.CountsFold(ctx, countsBatch)
	return folded == countsBatch, wrap("sum up totals", err)
}
