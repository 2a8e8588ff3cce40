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
			RunOnce:   func(ctx context.Context) (bool, error) { return false, run(ctx) },
			Exclusive: pg.Exclusive(c.DB, name), Log: c.Logger, Metrics: c.Metrics,
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

// purge deletes the notifications whose last recipient ended before the
// retention. They were all created before that, so that one pass over the old
// notifications finds them.
func (r *retention) purge(ctx context.Context) error {
	endedBefore := r.Now().Add(-r.Retention)
	after := uuid.Nil
	batches := pg.Purge{Max: purgeBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		row, err := byIndex(r.DB).RetentionPurge(ctx, notificationdb.RetentionPurgeParams{
			AfterID: after, BeforeID: FirstID(endedBefore), Max: limit, EndedBefore: endedBefore,
		})
		if err != nil {
			return 0, err
		}
		after = row.LastID
		r.purged.Add(float64(row.Deleted))
		return row.Examined, nil
	}}
	if _, err := batches.Run(ctx); err != nil {
		return fmt.Errorf("purge notifications: %w", err)
	}
	return nil
}

// erase removes the content of sensitive notifications that no recipient waits
// for.
func (r *retention) erase(ctx context.Context) error {
	after := uuid.Nil
	batches := pg.Purge{Max: eraseBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		row, err := byIndex(r.DB).RetentionErase(ctx, notificationdb.RetentionEraseParams{AfterID: after, Max: limit})
		if err != nil {
			return 0, err
		}
		after = row.LastID
		r.erased.Add(float64(row.Erased))
		return row.Examined, nil
	}}
	if _, err := batches.Run(ctx); err != nil {
		return fmt.Errorf("erase the content of sensitive notifications: %w", err)
	}
	return nil
}
