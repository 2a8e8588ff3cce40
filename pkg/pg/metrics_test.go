package pg_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestMetricsShowThePoolsConnections(t *testing.T) {
	t.Parallel()
	pool, err := pg.Open(t.Context(), pgtest.NewURL(t, none, "m"), pg.Config{MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	registry := prometheus.NewPedanticRegistry()
	pg.RegisterMetrics(registry, pool)
	if before := figures(t, registry); before["pgxpool_acquired_connections"] != 0 || before["pgxpool_max_connections"] != 3 {
		t.Errorf("before the first use: %v", before)
	}
	conns := []*pgxpool.Conn{}
	for range 2 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if in := figures(t, registry); in["pgxpool_acquired_connections"] != 2 || in["pgxpool_acquires_total"] != 2 || in["pgxpool_connections"] < 2 {
		t.Errorf("with two connections in use: %v", in)
	}
	for _, conn := range conns {
		conn.Release()
	}
	if after := figures(t, registry); after["pgxpool_acquired_connections"] != 0 || after["pgxpool_connections_made_total"] < 2 {
		t.Errorf("after their use: %v", after)
	}
}

func figures(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}
