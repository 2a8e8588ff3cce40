package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	purgeBatch    = 100 // notifications of up to 1,000 recipients each
	purgeInterval = 10 * time.Minute
	attemptBatch  = 1000 // recipients
	eraseBatch    = 1000
	// retentionTimeout limits one pass of a job.
	retentionTimeout = 10 * time.Minute
)

// RetentionConfig has the dependencies and settings of the retention jobs; all
// fields are required.
type RetentionConfig struct {
	DB *pgxpool.Pool
	// Retention is how long a notification is kept after its last recipient
	// ended; 0 keeps it without limit.
	Retention time.Duration
	// EraseInterval is how often the content of finished sensitive notifications
	// is erased.
	EraseInterval time.Duration
	Now           func() time.Time
	Logger        *slog.Logger
	Registry      prometheus.Registerer
	Metrics       *background.Metrics
}

// retention deletes old notifications and the content of sensitive ones.
type retention struct {
	RetentionConfig
	purged prometheus.Counter
	erased prometheus.Counter
}

// RetentionLoops returns the jobs that delete notifications after the retention
// and erase the content of finished sensitive ones. Each runs on one replica at a
// time.
func RetentionLoops(c RetentionConfig) []*background.Loop {
	r := newRetention(c)
	loop := func(name string, interval time.Duration, run func(context.Context) error) *background.Loop {
		return background.New(background.Config{
			Name: name, Interval: interval, Jitter: interval / 10, Timeout: retentionTimeout,
			RunOnce: background.All(run), Exclusive: pg.Exclusive(c.DB), Log: c.Logger, Metrics: c.Metrics,
		})
	}
	loops := []*background.Loop{loop("notification content erasure", c.EraseInterval, r.erase)}
	if c.Retention > 0 {
		loops = append(loops, loop("notification purge", purgeInterval, r.purge))
	}
	return loops
}

func newRetention(c RetentionConfig) *retention {
	r := &retention{
		RetentionConfig: c,
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_purged_total", Help: "Notifications deleted after the retention.",
		}),
		erased: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_content_erased_total", Help: "Sensitive notifications whose content was erased.",
		}),
	}
	c.Registry.MustRegister(r.purged, r.erased)
	return r
}

// AttemptPartitions are the months of the attempts.
func AttemptPartitions(db *pgxpool.Pool, now func() time.Time) pg.Partitions {
	return pg.Partitions{Table: "attempts", Make: notificationdb.New(db).AttemptPartitionsMake, Now: now}
}

// purge deletes what is older than the retention.
func (r *retention) purge(ctx context.Context) error {
	if err := r.purgeNotifications(ctx); err != nil {
		return err
	}
	return r.purgeAttempts(ctx)
}

// purgeNotifications deletes the notifications whose last recipient ended before the
// retention. They were all created before that, so that one pass over the old
// notifications finds them.
func (r *retention) purgeNotifications(ctx context.Context) error {
	endedBefore := r.Now().Add(-r.Retention)
	_, err := pg.PurgeInOrder(ctx, purgeBatch, uuid.Nil, func(ctx context.Context, after uuid.UUID, limit int32) (uuid.UUID, int64, error) {
		row, err := byIndex(r.DB).RetentionPurge(ctx, notificationdb.RetentionPurgeParams{
			AfterID: after, BeforeID: FirstID(endedBefore), Max: limit, EndedBefore: endedBefore,
		})
		r.purged.Add(float64(row.Deleted))
		return row.LastID, row.Examined, err
	})
	if err != nil {
		return fmt.Errorf("purge notifications: %w", err)
	}
	return nil
}

// purgeAttempts drops the months of attempts of whose recipients none is left. Where one
// is left long after, the attempts of those that are gone are deleted one by one.
func (r *retention) purgeAttempts(ctx context.Context) error {
	ended := r.Now().Add(-r.Retention)
	keptBefore, err := notificationdb.New(r.DB).AttemptPartitionsDrop(ctx, notificationdb.AttemptPartitionsDropParams{
		Before: ended, LongBefore: ended.Add(-pg.PartitionGrace),
	})
	if err != nil {
		return fmt.Errorf("drop old partitions of attempts: %w", err)
	}
	_, err = pg.PurgeInOrder(ctx, attemptBatch, uuid.Nil, func(ctx context.Context, after uuid.UUID, limit int32) (uuid.UUID, int64, error) {
		row, err := byIndex(r.DB).AttemptPurge(ctx, notificationdb.AttemptPurgeParams{AfterID: after, BeforeID: keptBefore, Max: limit})
		return row.LastID, row.Examined, err
	})
	if err != nil {
		return fmt.Errorf("purge attempts: %w", err)
	}
	return nil
}

// erase removes the content of sensitive notifications that no recipient waits
// for.
func (r *retention) erase(ctx context.Context) error {
	_, err := pg.PurgeInOrder(ctx, eraseBatch, uuid.Nil, func(ctx context.Context, after uuid.UUID, limit int32) (uuid.UUID, int64, error) {
		row, err := byIndex(r.DB).RetentionErase(ctx, notificationdb.RetentionEraseParams{AfterID: after, Max: limit})
		r.erased.Add(float64(row.Erased))
		return row.LastID, row.Examined, err
	})
	if err != nil {
		return fmt.Errorf("erase the content of sensitive notifications: %w", err)
	}
	return nil
}
