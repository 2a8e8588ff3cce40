package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/services/notification/internal/email"
)

type metrics struct {
	mails      *prometheus.CounterVec
	duration   prometheus.Histogram
	lost       prometheus.Counter
	reclaimed  prometheus.Counter
	expired    prometheus.Counter
	suppressed prometheus.Counter
}

func newMetrics(r prometheus.Registerer, mailer *email.Pool) *metrics {
	m := &metrics{
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_mails_total", Help: "Tries to send a mail, by outcome.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notification_mail_duration_seconds", Help: "How long the mail server took for a mail.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_leases_lost_total", Help: "Mails whose lease had ended before they were settled.",
		}),
		reclaimed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_leases_expired_total", Help: "Recipients whose lease expired, and that were queued again.",
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_recipients_expired_total", Help: "Recipients that ended while they waited, since their mail may not be sent any more.",
		}),
		suppressed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_recipients_suppressed_total", Help: "Recipients that were not mailed, since their address is on the suppression list.",
		}),
	}
	r.MustRegister(m.mails, m.duration, m.lost, m.reclaimed, m.expired, m.suppressed, servers{mailer})
	return m
}

func (m *metrics) observe(r email.Result, took time.Duration) {
	m.mails.WithLabelValues(string(r.Outcome)).Inc()
	if r.Outcome != email.NotTried {
		m.duration.Observe(took.Seconds())
	}
}

// servers collects the state of the mail servers.
type servers struct{ mailer *email.Pool }

var (
	circuitOpen = prometheus.NewDesc("notification_smtp_circuit_open",
		"1 while a mail server is not used because of trouble.", []string{"server"}, nil)
	throttledReplies = prometheus.NewDesc("notification_smtp_throttled_total",
		"Replies of a mail server that throttled.", []string{"server"}, nil)
	rateLimit = prometheus.NewDesc("notification_smtp_rate_limit",
		"Limit of mails per second to a mail server that throttled; absent without a limit.", []string{"server"}, nil)
)

func (servers) Describe(ch chan<- *prometheus.Desc) {
	ch <- circuitOpen
	ch <- throttledReplies
	ch <- rateLimit
}

func (c servers) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.mailer.Status() {
		open := 0.0
		if s.Open {
			open = 1
		}
		ch <- prometheus.MustNewConstMetric(circuitOpen, prometheus.GaugeValue, open, s.Server)
		ch <- prometheus.MustNewConstMetric(throttledReplies, prometheus.CounterValue, float64(s.Throttled), s.Server)
		if s.RateLimit > 0 {
			ch <- prometheus.MustNewConstMetric(rateLimit, prometheus.GaugeValue, s.RateLimit, s.Server)
		}
	}
}
