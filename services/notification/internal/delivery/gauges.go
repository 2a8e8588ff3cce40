package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	gaugeInterval = 15 * time.Second
	gaugeTimeout  = 10 * time.Second
	// foldAbove is how many counted changes may exist before they are summed up,
	// foldBatch how many one statement sums up.
	foldAbove = 1000
	foldBatch = 10_000
)

// GaugeConfig has the dependencies of the job that reads the queue's gauges; all
// fields are required.
type GaugeConfig struct {
	DB       *pgxpool.Pool
	Now      func() time.Time
	Logger   *slog.Logger
	Registry prometheus.Registerer
	Metrics  *background.Metrics
}

// gauges show the whole database's queue. Every replica reads the same values.
type gauges struct {
	db         *pgxpool.Pool
	now        func() time.Time
	recipients *prometheus.GaugeVec
	oldest     prometheus.Gauge
	paused     prometheus.Gauge
	held       prometheus.Gauge
}

// GaugeLoop returns the job that reads the gauges of the queue every 15 s, at a
// cost that doesn't depend on how many recipients are stored. A gauge whose value
// can't be read is NaN.
func GaugeLoop(c GaugeConfig) *background.Loop {
	g := newGauges(c)
	return background.New(background.Config{
		Name: "queue gauges", Interval: gaugeInterval, Timeout: gaugeTimeout, RunOnce: g.read,
		Log: c.Logger, Metrics: c.Metrics,
	})
}

func newGauges(c GaugeConfig) *gauges {
	const same = " Every replica shows the same value, NaN while it is unknown: aggregate with max."
	g := &gauges{
		db: c.DB, now: c.Now,
		recipients: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "notification_recipients", Help: "Recipients in the database, by status." + same,
		}, []string{"status"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_oldest_due_age_seconds",
			Help: "How long the oldest recipient that could be mailed has waited; 0 when none waits." + same,
		}),
		paused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_sending_paused", Help: "1 while sending is paused (POST /v1/sending/pause)." + same,
		}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_held_recipients", Help: "Recipients that are held back after a restore (POST /v1/sending/release)." + same,
		}),
	}
	g.unknown()
	c.Registry.MustRegister(g.recipients, g.oldest, g.paused, g.held)
	return g
}

func (g *gauges) unknown() {
	for _, s := range notifyapi.RecipientStatuses {
		g.recipients.WithLabelValues(string(s)).Set(math.NaN())
	}
	for _, gauge := range []prometheus.Gauge{g.oldest, g.paused, g.held} {
		gauge.Set(math.NaN())
	}
}

// read sets the gauges and sums up the counted changes when there are many.
func (g *gauges) read(ctx context.Context) (again bool, err error) {
	now := g.now()
	q := notificationdb.New(g.db)
	counts, changes, countErr := Counts(ctx, q)
	due, dueErr := OldestDue(ctx, g.db, now)
	sending, sendingErr := q.SendingGet(ctx, heldUntil)
	if err := errors.Join(countErr, dueErr, sendingErr); err != nil {
		g.unknown()
		return false, err
	}
	g.paused.Set(0)
	if sending.PausedAt != nil {
		g.paused.Set(1)
	}
	g.held.Set(float64(sending.Held))
	for _, s := range notifyapi.RecipientStatuses {
		g.recipients.WithLabelValues(string(s)).Set(float64(counts[s]))
	}
	g.oldest.Set(max(0, now.Sub(due).Seconds()))
	for changes > foldAbove {
		folded, err := q.StatsFold(ctx, foldBatch)
		if err != nil {
			return false, fmt.Errorf("fold the counts of recipients: %w", err)
		}
		changes -= folded
		if folded < foldBatch {
			break
		}
	}
	return false, nil
}

// Counts reads how many recipients have each status, and the number of counted
// changes of which that is the sum. A status without an entry has no recipients.
func Counts(ctx context.Context, q *notificationdb.Queries) (counts map[notifyapi.RecipientStatus]int64, changes int64, err error) {
	rows, err := q.StatsCounts(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("count recipients: %w", err)
	}
	counts = map[notifyapi.RecipientStatus]int64{}
	for _, row := range rows {
		counts[row.Status] = row.Recipients
		changes += row.Changes
	}
	return counts, changes, nil
}

// OldestDue reads the earliest time at which a waiting recipient was or will be
// due; now if none waits.
func OldestDue(ctx context.Context, db *pgxpool.Pool, now time.Time) (due time.Time, err error) {
	due, err = byIndex(db).StatsOldestDue(ctx, notificationdb.StatsOldestDueParams{
		NormalFrom: normalFrom(now), BulkFrom: bulkFrom(now), Now: now,
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("find the oldest due recipient: %w", err)
	}
	return due, nil
}
