package obs

import (
	"runtime"
	"time"

	"fixdesk/pkg/version"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry makes the registry of one service's metrics, with those of the
// process and the Go runtime, and fixdesk_build_info{service,version,revision,go} = 1.
// Each service has one; nothing registers globally.
func NewRegistry(service, release string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "fixdesk_build_info",
		Help: "Which build is running; always 1.",
		ConstLabels: prometheus.Labels{
			"service": service, "version": release, "revision": version.Read().Revision, "go": runtime.Version(),
		},
	})
	build.Set(1)
	r.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
		build,
	)
	return r
}

// Histogram returns o as a histogram that is native and classic: a Prometheus that
// scrapes native histograms gets buckets that are 10 % wide, any other one those of
// o.Buckets.
func Histogram(o prometheus.HistogramOpts) prometheus.HistogramOpts {
	o.NativeHistogramBucketFactor = 1.1
	o.NativeHistogramMaxBucketNumber = 100
	o.NativeHistogramMinResetDuration = time.Hour
	return o
}
