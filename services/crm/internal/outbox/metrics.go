package outbox

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	gaugeInterval = 15 * time.Second
	gaugeTimeout  = 10 * time.Second
	// gaugeMax is the largest number of entries that is counted.
	gaugeMax = 100_000
)

type metrics struct {
	pending prometheus.Gauge
	dead    prometheus.Gauge
	oldest  prometheus.Gauge
	posts   *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	const same = " Every replica shows the same value, NaN while it is unknown: aggregate with max."
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help + same})
		g.Set(math.NaN())
		return g
	}
	m := metrics{
		pending: gauge("outbox_pending", "Entries still to be posted to the notification service, counted up to 100,000."),
		dead:    gauge("outbox_dead", "Entries that the notification service refused permanently, counted up to 100,000."),
		oldest:  gauge("outbox_oldest_pending_age_seconds", "Age of the oldest pending entry; 0 when there is none."),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outbox_posts_total",
			Help: "Attempts of this replica to post an entry to the notification service, by outcome.",
		}, []string{"outcome"}),
	}
	for _, o := range []outcome{outcomePosted, outcomeRepeated, outcomeRefused, outcomeFailed, outcomeNotReached} {
		m.posts.WithLabelValues(string(o))
	}
	registry.MustRegister(m.pending, m.dead, m.oldest, m.posts)
	return m
}

// gaugeLoop is the job that reads the gauges. Its cost depends neither on how many
// entries were posted nor on how many wait.
func gaugeLoop(d *Dispatcher, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "outbox gauges", Interval: gaugeInterval, Timeout: gaugeTimeout,
		RunOnce: background.All(d.readGauges),
		Log:     d.log, Metrics: metrics,
	})
}

func (d *Dispatcher) readGauges(ctx context.Context) error {
	s, err := d.statistics(ctx)
	if err != nil {
		for _, g := range []prometheus.Gauge{d.metrics.pending, d.metrics.dead, d.metrics.oldest} {
			g.Set(math.NaN())
		}
		return fmt.Errorf("read the outbox gauges: %w", err)
	}
	d.metrics.pending.Set(float64(s.Pending))
	d.metrics.dead.Set(float64(s.Dead))
	d.metrics.oldest.Set(s.OldestSeconds)
	return nil
}

// statistics are read by index, even when outdated table statistics underestimate
// the cost of a scan of the table.
func (d *Dispatcher) statistics(ctx context.Context) (s crmdb.OutboxStatisticsRow, err error) {
	err = pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local enable_seqscan = off"); err != nil {
			return err
		}
		s, err = crmdb.New(tx).OutboxStatistics(ctx, gaugeMax)
		return err
	})
	return s, err
}
