package pg

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// RegisterMetrics exports the statistics of a replica's pool as pgxpool_*.
func RegisterMetrics(r prometheus.Registerer, pool *pgxpool.Pool) { r.MustRegister(poolMetrics{pool}) }

type poolMetrics struct{ pool *pgxpool.Pool }

// poolMetric is one figure of pgxpool.Stat.
type poolMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*pgxpool.Stat) float64
}

var poolFigures = []poolMetric{
	poolGauge("max_connections", "Connections to PostgreSQL that this replica may have.", (*pgxpool.Stat).MaxConns),
	poolGauge("connections", "Connections to PostgreSQL that this replica has: in use, idle, or being made.", (*pgxpool.Stat).TotalConns),
	poolGauge("acquired_connections", "Connections that are in use.", (*pgxpool.Stat).AcquiredConns),
	poolGauge("idle_connections", "Connections that are idle.", (*pgxpool.Stat).IdleConns),
	poolGauge("constructing_connections", "Connections that are being made.", (*pgxpool.Stat).ConstructingConns),
	poolCounter("acquires_total", "Times that a connection was taken from the pool.", (*pgxpool.Stat).AcquireCount),
	poolCounter("acquires_canceled_total", "Times that the wait for a connection ended without one.", (*pgxpool.Stat).CanceledAcquireCount),
	poolCounter("acquires_waited_total", "Times that no connection was idle, so that its taker waited.", (*pgxpool.Stat).EmptyAcquireCount),
	poolCounter("connections_made_total", "Connections that were made.", (*pgxpool.Stat).NewConnsCount),
	poolCounter("connections_expired_total", "Connections that were closed after their longest lifetime.", (*pgxpool.Stat).MaxLifetimeDestroyCount),
	poolCounter("connections_idle_closed_total", "Connections that were closed since they were idle for too long.", (*pgxpool.Stat).MaxIdleDestroyCount),
	{
		poolDesc("acquire_wait_seconds_total", "Time for which takers of connections waited because none was idle."), prometheus.CounterValue,
		func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() },
	},
}

func poolDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("pgxpool_"+name, help, nil, nil)
}

func poolGauge(name, help string, read func(*pgxpool.Stat) int32) poolMetric {
	return poolMetric{poolDesc(name, help), prometheus.GaugeValue, func(s *pgxpool.Stat) float64 { return float64(read(s)) }}
}

func poolCounter(name, help string, read func(*pgxpool.Stat) int64) poolMetric {
	return poolMetric{poolDesc(name, help), prometheus.CounterValue, func(s *pgxpool.Stat) float64 { return float64(read(s)) }}
}

// Describe is for the registry.
func (poolMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, m := range poolFigures {
		descriptions <- m.desc
	}
}

// Collect reads the pool.
func (m poolMetrics) Collect(metrics chan<- prometheus.Metric) {
	stat := m.pool.Stat()
	for _, figure := range poolFigures {
		metrics <- prometheus.MustNewConstMetric(figure.desc, figure.kind, figure.read(stat))
	}
}
