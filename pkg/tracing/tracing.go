// Package tracing makes the spans of requests (OpenTelemetry), and carries a trace over
// what is stored between two of its steps. Package otlp exports them.
//
// Nothing registers globally: who makes spans is given the provider.
package tracing

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracing makes the spans of a process. A nil one is off: it makes none.
type Tracing struct{ provider *sdktrace.TracerProvider }

// Of returns the tracing of a provider, which it stops. See otlp.New.
func Of(provider *sdktrace.TracerProvider) *Tracing { return &Tracing{provider} }

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
