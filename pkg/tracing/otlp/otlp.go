// Package otlp exports OpenTelemetry traces when the standard OTEL_* variables ask for it.
// It is apart from tracing since it is larger than a service, and only the programs need it.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"
)

// New reads the OTEL_* variables (OpenTelemetry specification, "SDK environment variables"
// and "OTLP exporter"). Traces are on when OTEL_EXPORTER_OTLP_ENDPOINT,
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_TRACES_EXPORTER=otlp is set, unless
// OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none; otherwise New returns nil.
// They are exported by OTLP over HTTP with protobuf. Nothing is connected yet. Call Stop of
// what it returns.
func New(ctx context.Context, service, version string, log *slog.Logger) (*tracing.Tracing, error) {
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
	return tracing.Of(sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&reporting{SpanExporter: exporter, log: log}), sdktrace.WithResource(described))), nil
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
