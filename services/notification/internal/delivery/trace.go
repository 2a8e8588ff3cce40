package delivery

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/tracing"
	"fixdesk/services/notification/internal/email"
)

// newTracer returns the tracer of the conversations with mail servers, nil without traces.
func newTracer(traces trace.TracerProvider) trace.Tracer {
	if traces == nil {
		return nil
	}
	return traces.Tracer("fixdesk/services/notification/internal/delivery")
}

// traced runs the conversation about a mail in a span of the trace that its notification
// belongs to. The span never has the recipient's address nor the server's words.
func (l *Loop) traced(ctx context.Context, t *task, converse func(context.Context) email.Result) email.Result {
	if l.tracer == nil || t.traceparent == nil {
		return converse(ctx)
	}
	ctx, span := l.tracer.Start(tracing.WithParent(ctx, t.traceparent), "SMTP mail", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("fixdesk.recipient_id", t.mail.ID.String()), attribute.Int("fixdesk.failures_before", t.history.Failures)))
	defer span.End()
	result := converse(ctx)
	span.SetAttributes(attribute.String("fixdesk.outcome", string(result.Outcome)),
		attribute.String("server.address", result.Server), attribute.Int("smtp.reply_code", result.Code))
	if result.Outcome != notifyapi.OutcomeSent {
		span.SetStatus(codes.Error, string(result.Outcome))
	}
	return result
}
