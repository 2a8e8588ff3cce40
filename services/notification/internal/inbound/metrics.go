package inbound

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

// The results of a mail's transfer.
const (
	resultStored   = "stored"
	resultRepeated = "repeated" // was stored before
	resultRefused  = "refused"  // for good: the answer to its sender is 5xx
	resultDelayed  = "delayed"  // its sender tries again
	resultBroken   = "broken"   // the sender did not finish
)

// The results of reading a mail.
const (
	readPending  = "pending"
	readHandled  = "handled"
	readUnparsed = "unparsed"
)

type metrics struct {
	received *prometheus.CounterVec
	read     *prometheus.CounterVec
	purged   prometheus.Counter
	waiting  prometheus.Gauge
	oldest   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	const same = " Every replica shows the same value, NaN while it is unknown: aggregate with max."
	m := &metrics{
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_inbound_received_total",
			Help: "Mails that came in. stored: for good. repeated: stored before. refused: not taken, which the sender is answered. delayed: the sender has to try again. broken: not sent to its end.",
		}, []string{"source", "result"}),
		read: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_inbound_read_total",
			Help: "Stored mails that were read. pending: for the consumer. handled: reports that were applied. unparsed: for the consumer, but not taken apart.",
		}, []string{"result"}),
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_inbound_purged_total", Help: "Mails deleted after the retention.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_inbound_waiting", Help: "Mails that are not read or not acknowledged yet." + same,
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_inbound_oldest_age_seconds", Help: "How long the oldest of the waiting mails has waited; 0 when none waits." + same,
		}),
	}
	for _, source := range notifyapi.InboundSources {
		for _, result := range []string{resultStored, resultRepeated, resultRefused, resultDelayed, resultBroken} {
			m.received.WithLabelValues(string(source), result)
		}
	}
	for _, result := range []string{readPending, readHandled, readUnparsed} {
		m.read.WithLabelValues(result)
	}
	m.unknown()
	r.MustRegister(m.received, m.read, m.purged, m.waiting, m.oldest)
	return m
}

func (m *metrics) countRead(status notifyapi.InboundStatus, unparsed bool) {
	result := readPending
	switch {
	case status == notifyapi.InboundHandled:
		result = readHandled
	case unparsed:
		result = readUnparsed
	}
	m.read.WithLabelValues(result).Inc()
}

func (m *metrics) unknown() {
	m.waiting.Set(math.NaN())
	m.oldest.Set(math.NaN())
}

const (
	gaugeInterval = 15 * time.Second
	gaugeTimeout  = 10 * time.Second
)

func (s *Service) gaugeLoop() *background.Loop {
	return background.New(background.Config{
		Name: "inbound gauges", Interval: gaugeInterval, Timeout: gaugeTimeout, RunOnce: s.readGauges, Log: s.Log, Metrics: s.Metrics,
	})
}

func (s *Service) readGauges(ctx context.Context) (again bool, err error) {
	now := s.Now()
	row, err := notificationdb.New(s.DB).InboundWaiting(ctx, now)
	if err != nil {
		s.metrics.unknown()
		return false, fmt.Errorf("count the mails that wait: %w", err)
	}
	s.metrics.waiting.Set(float64(row.Waiting))
	s.metrics.oldest.Set(max(0, now.Sub(row.Oldest).Seconds()))
	return false, nil
}
