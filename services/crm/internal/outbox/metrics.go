package outbox

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	pending prometheus.Gauge
	dead    prometheus.Gauge
	oldest  prometheus.Gauge
	posts   *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_pending",
			Help: "Entries that are still to be posted to the notification service.",
		}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_dead",
			Help: "Entries that the notification service refused for good and that wait for a person.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_oldest_pending_age_seconds",
			Help: "Age of the oldest pending entry; 0 when there is none.",
		}),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outbox_posts_total",
			Help: "Tries to post an entry to the notification service, by outcome.",
		}, []string{"outcome"}),
	}
	for _, v := range []verdict{posted, repeated, refused, failed, notReached} {
		m.posts.WithLabelValues(string(v))
	}
	registry.MustRegister(m.pending, m.dead, m.oldest, m.posts)
	return m
}
