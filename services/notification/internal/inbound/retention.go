package inbound

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	purgeBatch    = 100
	purgeInterval = 10 * time.Minute
	purgeTimeout  = 10 * time.Minute
	// abandonedAfter is when the bytes of a mail that was never stored are deleted. It
	// is longer than any transfer.
	abandonedAfter = 24 * time.Hour
)

// Loops are the jobs of the service: reading, gauges, and the purge of mails that are
// acknowledged or handled and older than the retention; 0 keeps them without limit.
func (s *Service) Loops(retention time.Duration) []*background.Loop {
	purge := background.New(background.Config{
		Name: "inbound purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: purgeTimeout,
		RunOnce:   func(ctx context.Context) (bool, error) { return false, s.purge(ctx, retention) },
		Exclusive: pg.Exclusive(s.DB, "inbound purge"), Log: s.Log, Metrics: s.Metrics,
	})
	return []*background.Loop{s.reading, s.gaugeLoop(), purge}
}

func (s *Service) purge(ctx context.Context, retention time.Duration) error {
	q, now := notificationdb.New(s.DB), s.Now()
	after := uuid.Nil
	pieces := pg.Purge{Max: purgeBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		row, err := q.InboundPurgePieces(ctx, notificationdb.InboundPurgePiecesParams{
			AfterID: after, BeforeID: delivery.FirstID(now.Add(-abandonedAfter)), Max: limit,
		})
		if err == nil {
			after = row.LastID
		}
		return row.Examined, err
	}}
	if _, err := pieces.Run(ctx); err != nil {
		return fmt.Errorf("purge the bytes of mails that were never stored: %w", err)
	}
	if retention <= 0 {
		return nil
	}
	after = uuid.Nil
	mails := pg.Purge{Max: purgeBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		row, err := q.InboundPurge(ctx, notificationdb.InboundPurgeParams{
			AfterID: after, BeforeID: delivery.FirstID(now.Add(-retention)), Max: limit,
		})
		if err == nil {
			after = row.LastID
			s.metrics.purged.Add(float64(row.Deleted))
		}
		return row.Examined, err
	}}
	if _, err := mails.Run(ctx); err != nil {
		return fmt.Errorf("purge mails: %w", err)
	}
	return nil
}
