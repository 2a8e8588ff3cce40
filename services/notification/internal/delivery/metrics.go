package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/services/notification/internal/email"
)

type metrics struct {
	mails     *prometheus.CounterVec
	duration  prometheus.Histogram
	lost      prometheus.Counter
	reclaimed prometheus.Counter
}

func newMetrics(r prometheus.Registerer, mailer *email.Pool) *metrics {
	m := &metrics{
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_mails_total", Help: "Tries to send a mail, by how they ended.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notification_mail_duration_seconds", Help: "How long the mail server took for a mail.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_leases_lost_total", Help: "Mails whose lease had ended before they were settled.",
		}),
		reclaimed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_leases_expired_total", Help: "Recipients taken back from a worker that is gone.",
		}),
	}
	r.MustRegister(m.mails, m.duration, m.lost, m.reclaimed, circuits{mailer})
	return m
}

func (m *metrics) observe(r email.Result, took time.Duration) {
	m.mails.WithLabelValues(string(r.Outcome)).Inc()
	if r.Outcome != email.NotTried {
		m.duration.Observe(took.Seconds())
	}
}

// circuits shows the mail servers' state at the moment it is asked for.
type circuits struct{ mailer *email.Pool }

var circuitOpen = prometheus.NewDesc("notification_smtp_circuit_open",
	"1 while a mail server is left alone because of trouble.", []string{"server"}, nil)

func (c circuits) Describe(ch chan<- *prometheus.Desc) { ch <- circuitOpen }

func (c circuits) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.mailer.Status() {
		value := 0.0
		if s.Open {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(circuitOpen, prometheus.GaugeValue, value, s.Server)
	}
}
