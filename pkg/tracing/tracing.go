// Package tracing exports OpenTelemetry traces when the standard OTEL_* variables ask for
// it, and carries a trace over what is stored between two of its steps.
//
// Nothing registers globally: who makes spans is given the provider.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"fixdesk/pkg/obs"
)

// Tracing makes the spans of a process. A nil one is off: it makes none.
type Tracing struct{ provider *sdktrace.TracerProvider }

// New reads the OTEL_* variables (OpenTelemetry specification, "SDK environment variables"
// and "OTLP exporter"). Traces are on when OTEL_EXPORTER_OTLP_ENDPOINT,
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_TRACES_EXPORTER=otlp is set, unless
// OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none; otherwise New returns nil.
// They are exported by OTLP over HTTP with protobuf. Nothing is connected yet. Call Stop.
func New(ctx context.Context, service, version string, log *slog.Logger) (*Tracing, error) {
	on, err := wanted()
	if err != nil || !on {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithFromEnv()) // at last, so that OTEL_SERVICE_NAME decides
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Debug("traces", "error", err) }))
	return &Tracing{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&reporting{SpanExporter: exporter, log: log}), sdktrace.WithResource(described))}, nil
}

func wanted() (bool, error) {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	switch {
	case os.Getenv("OTEL_SDK_DISABLED") == "true" || exporter == "none":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, errors.New("OTEL_TRACES_EXPORTER: want otlp or none")
	case exporter == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return false, nil
	}
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(variable); protocol != "" && protocol != "http/protobuf" {
			return false, errors.New(variable + ": want http/protobuf, the only protocol that traces are exported by")
		}
	}
	return true, nil
}

// reporting logs the first of several exports that fail, and that they work again.
type reporting struct {
	sdktrace.SpanExporter
	log    *slog.Logger
	outage obs.Outage
}

// ExportSpans exports the spans, or drops them when that fails.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := r.SpanExporter.ExportSpans(ctx, spans); err != nil {
		if r.outage.Failed("") {
			r.log.WarnContext(ctx, "traces can't be exported, they are dropped", "error", err)
		}
	} else if failures := r.outage.Succeeded(""); failures > 0 {
		r.log.InfoContext(ctx, "traces are exported again", "failures", failures)
	}
	return nil
}

// stopTimeout bounds the export of the last spans.
const stopTimeout = time.Second

// Stop exports what is left, within a second.
func (t *Tracing) Stop(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx)
}

// Flush exports the spans that have ended.
func (t *Tracing) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Provider makes tracers. It is nil when traces are off.
func (t *Tracing) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Transport returns next with a span for each request, whose context it sends on
// (W3C Trace Context). The span has the address of the server and no path, since paths
// hold personal data. When traces are off it returns next.
func (t *Tracing) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return otelhttp.NewTransport(withoutPath{next}, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagator))
}

type withoutPath struct{ next http.RoundTripper }

// RoundTrip sends a request within the span that otelhttp made for it.
func (w withoutPath) RoundTrip(r *http.Request) (*http.Response, error) {
	trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("url.full", r.URL.Scheme+"://"+r.URL.Host))
	return w.next.RoundTrip(r)
}

// Handler returns next with a span for each request but probes, which continues the client's trace.
// When traces are off it returns nil. See Name.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	if t == nil {
		return nil
	}
	return otelhttp.NewHandler(next, "request", otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagator),
		otelhttp.WithFilter(func(r *http.Request) bool { return r.URL.Path != "/healthz" && r.URL.Path != "/readyz" }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))
}

// Name names the span of a request by its route, and removes what may be personal data:
// the path and the client's address.
func Name(ctx context.Context, method, route string) {
	span := trace.SpanFromContext(ctx)
	span.SetName(method + " " + route)
	span.SetAttributes(attribute.String("http.route", route), attribute.String("url.path", route),
		attribute.String("client.address", ""), attribute.String("network.peer.address", ""), attribute.String("user_agent.original", ""))
}

var propagator propagation.TraceContext

const traceparent = "traceparent"

// Parent is the span of ctx as it is stored, to be continued by WithParent (W3C Trace
// Context, traceparent); nil without a span.
func Parent(ctx context.Context) *string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	stored := carrier[traceparent]
	return &stored
}

// WithParent returns a context whose spans continue the trace of a stored parent. With
// nil, or one that is not well formed, they begin none of it.
func WithParent(ctx context.Context, stored *string) context.Context {
	if stored == nil {
		return ctx
	}
	return propagator.Extract(ctx, propagation.MapCarrier{traceparent: *stored})
}

// Exemplar leads from a measurement to the sampled trace of ctx; nil without one.
func Exemplar(ctx context.Context) prometheus.Labels {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsSampled() {
		return nil
	}
	return prometheus.Labels{"trace_id": span.TraceID().String()}
}

// Observe measures a value with the exemplar of ctx, if it has one.
func Observe(ctx context.Context, to prometheus.Observer, value float64) {
	if exemplar := Exemplar(ctx); exemplar != nil {
		if to, ok := to.(prometheus.ExemplarObserver); ok {
			to.ObserveWithExemplar(value, exemplar)
			return
		}
	}
	to.Observe(value)
}
