package delivery

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"
	"fixdesk/services/notification/internal/email"
)

type metrics struct {
	mails      *prometheus.CounterVec
	duration   prometheus.Histogram
	latency    *prometheus.HistogramVec
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
		duration: prometheus.NewHistogram(obs.Histogram(prometheus.HistogramOpts{
			Name: "notification_mail_duration_seconds", Help: "How long the mail server took for a mail.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		})),
		latency: prometheus.NewHistogramVec(obs.Histogram(prometheus.HistogramOpts{
			Name:    "notification_mail_latency_seconds",
			Help:    "Time from when a mail was due until the mail server took it, by priority and by whether that was its first try, trouble of the mail server aside.",
			Buckets: []float64{.1, .5, 1, 5, 15, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600},
		}), []string{"priority", "try"}),
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
	for _, p := range []notifyapi.Priority{notifyapi.PriorityUrgent, notifyapi.PriorityNormal, notifyapi.PriorityBulk} {
		for _, try := range []string{tryFirst, tryLater} {
			m.latency.WithLabelValues(string(p), try)
		}
	}
	for _, o := range []notifyapi.Outcome{notifyapi.OutcomeSent, notifyapi.OutcomeTemporary, notifyapi.OutcomePermanent, notifyapi.OutcomeUncertain, email.NotTried} {
		m.mails.WithLabelValues(string(o))
	}
	r.MustRegister(m.mails, m.duration, m.latency, m.lost, m.reclaimed, m.expired, m.suppressed, servers{mailer})
	return m
}

func (m *metrics) observe(r email.Result, took time.Duration) {
	m.mails.WithLabelValues(string(r.Outcome)).Inc()
	if r.Outcome != email.NotTried {
		m.duration.Observe(took.Seconds())
	}
}

// The values of the label try.
const (
	tryFirst = "first"
	tryLater = "later" // the mail server refused the mail temporarily before
)

// sent measures a mail that the mail server took.
func (m *metrics) sent(t *task, at time.Time) {
	try := tryFirst
	if t.history.Failures > 0 {
		try = tryLater
	}
	ctx := tracing.WithParent(context.Background(), t.traceparent) // for the exemplar alone
	tracing.Observe(ctx, m.latency.WithLabelValues(string(priorityOf(t.priority)), try), max(0, at.Sub(t.history.DueAt).Seconds()))
}

// priorityOf is the inverse of Rank.
func priorityOf(rank int16) notifyapi.Priority {
	switch {
	case rank < 0:
		return notifyapi.PriorityUrgent
	case rank > 0:
		return notifyapi.PriorityBulk
	}
	return notifyapi.PriorityNormal
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
	smtpReplies = prometheus.NewDesc("notification_smtp_replies_total",
		"Replies of a mail server that ended a conversation about a mail, by the class of their code (none: it broke without a reply) and the command that they answer.",
		[]string{"server", "class", "phase"}, nil)
	smtpConnections = prometheus.NewDesc("notification_smtp_connections",
		"Connections of this replica to a mail server.", []string{"server", "state"}, nil)
)

func (servers) Describe(ch chan<- *prometheus.Desc) {
	ch <- circuitOpen
	ch <- throttledReplies
	ch <- rateLimit
	ch <- smtpReplies
	ch <- smtpConnections
}

func (c servers) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.mailer.Status() {
		open := 0.0
		if s.Open {
			open = 1
		}
		ch <- prometheus.MustNewConstMetric(circuitOpen, prometheus.GaugeValue, open, s.Server)
		ch <- prometheus.MustNewConstMetric(throttledReplies, prometheus.CounterValue, float64(s.Throttled), s.Server)
		ch <- prometheus.MustNewConstMetric(smtpConnections, prometheus.GaugeValue, float64(s.Busy), s.Server, "busy")
		ch <- prometheus.MustNewConstMetric(smtpConnections, prometheus.GaugeValue, float64(s.Idle), s.Server, "idle")
		for reply, n := range s.Replies {
			ch <- prometheus.MustNewConstMetric(smtpReplies, prometheus.CounterValue, float64(n), s.Server, reply.Class, reply.Phase)
		}
		if s.RateLimit > 0 {
			ch <- prometheus.MustNewConstMetric(rateLimit, prometheus.GaugeValue, s.RateLimit, s.Server)
		}
	}
}
