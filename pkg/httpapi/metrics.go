package httpapi

import (
	"net"
	"net/http"

	"fixdesk/pkg/obs"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have the route's pattern as a label, so that their number is bounded
// whatever paths clients request.
type metrics struct {
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	connections prometheus.Gauge
}

func newMetrics(registry *prometheus.Registry) *metrics {
	labels := []string{"route", "method", "status"}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests answered.",
		}, labels),
		duration: prometheus.NewHistogramVec(obs.Histogram(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from the request's header to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}), labels),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_connections_open",
			Help: "Connections of clients to this replica that are open, idle ones included.",
		}),
	}
	registry.MustRegister(m.requests, m.duration, m.connections)
	return m
}

// connection is http.Server.ConnState.
func (m *metrics) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		m.connections.Inc()
	case http.StateClosed, http.StateHijacked:
		m.connections.Dec()
	case http.StateActive, http.StateIdle:
	}
}
