// Package obs is the log and the metrics of a process: the format of log lines,
// the request id that both services' lines have in common, and the Prometheus
// registry.
//
// It must not know HTTP, PostgreSQL or any package of a service.
package obs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Format is how a log line is written.
type Format string

// The formats a log line can have.
const (
	JSON Format = "json" // one JSON object a line, for machines; the default
	Text Format = "text" // key=value pairs, for people
)

// UnmarshalText accepts "json" and "text".
func (f *Format) UnmarshalText(text []byte) error {
	switch v := Format(text); v {
	case JSON, Text:
		*f = v
		return nil
	}
	return fmt.Errorf("want %q or %q", JSON, Text)
}

// NewLogger writes structured lines of at least the given level to w, as JSON
// unless Text is asked for. A line logged with a context that carries a request
// id (see WithRequestID) has it as request_id, and one with a span its trace_id. When w is Lines, warnings and errors are
// written at once.
func NewLogger(w io.Writer, level slog.Level, format Format) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(w, options)
	if format == Text {
		h = slog.NewTextHandler(w, options)
	}
	lines, _ := w.(*Lines)
	return slog.New(requestIDHandler{h, lines})
}

// Fatal logs the error with which the process ends, with a line for each of its
// lines.
func Fatal(log *slog.Logger, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error("the process ends with an error", "error", line)
	}
}

type requestKey struct{}

// request is what a context carries of the request that is being served.
type request struct {
	id     string
	client netip.Addr
}

func requestOf(ctx context.Context) request {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r == nil {
		return request{}
	}
	return *r
}

// WithRequest returns a context that carries the id of a request and the address of its
// client.
func WithRequest(ctx context.Context, id string, client netip.Addr) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{id, client})
}

// WithRequestID returns a context that carries id for the log, the answer and
// calls of the other service.
func WithRequestID(ctx context.Context, id string) context.Context {
	return WithRequest(ctx, id, Client(ctx))
}

// RequestID returns the request id that ctx carries, "" if none.
func RequestID(ctx context.Context) string {
	return requestOf(ctx).id
}

// Client returns the client's address that ctx carries, the zero Addr if none.
func Client(ctx context.Context) netip.Addr {
	return requestOf(ctx).client
}

// requestIDHandler adds the context's request id and trace id to each line.
type requestIDHandler struct {
	slog.Handler
	lines *Lines // nil when each line is written at once
}

func (h requestIDHandler) Handle(ctx context.Context, r slog.Record) error {
	id, span := RequestID(ctx), trace.SpanContextFromContext(ctx)
	if id != "" || span.IsValid() {
		r = r.Clone()
	}
	if id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	err := h.Handler.Handle(ctx, r)
	if h.lines != nil && r.Level >= slog.LevelWarn {
		return errors.Join(err, h.lines.Flush())
	}
	return err
}

func (h requestIDHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestIDHandler{h.Handler.WithAttrs(attrs), h.lines}
}

func (h requestIDHandler) WithGroup(name string) slog.Handler {
	return requestIDHandler{h.Handler.WithGroup(name), h.lines}
}
