package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

const (
	// keepDone is how long a posted entry is kept, and a dead one with a secret;
	// keepDead is how long other dead entries are kept.
	keepDone = 7 * 24 * time.Hour
	keepDead = 90 * 24 * time.Hour

	purgeInterval = 10 * time.Minute
	purgeBatch    = 1000
)

// purgeLoop is the job that deletes entries after their retention, on one
// replica at a time.
func purgeLoop(d *Dispatcher, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "outbox purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: purgeInterval,
		RunOnce: background.All(d.purge), Exclusive: pg.Exclusive(d.pool), Log: d.log, Metrics: metrics,
	})
}

func (d *Dispatcher) purge(ctx context.Context) error {
	done := pg.Purge{Max: purgeBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		return d.queries.OutboxPurgeDone(ctx, crmdb.OutboxPurgeDoneParams{KeepSeconds: keepDone.Seconds(), Batch: limit})
	}}
	dead := pg.Purge{Max: purgeBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		return d.queries.OutboxPurgeDead(ctx, crmdb.OutboxPurgeDeadParams{
			KeepSeconds: keepDead.Seconds(), KeepSensitiveSeconds: keepDone.Seconds(),
			SensitiveKinds: notice.SensitiveKinds, Batch: limit,
		})
	}}
	doneCount, doneErr := done.Run(ctx)
	deadCount, deadErr := dead.Run(ctx)
	if n := doneCount + deadCount; n > 0 {
		d.log.InfoContext(ctx, "outbox purged", "entries", n)
	}
	if err := errors.Join(doneErr, deadErr); err != nil {
		return fmt.Errorf("purge the outbox: %w", err)
	}
	return nil
}
