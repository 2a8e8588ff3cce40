package tracing_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"
	"fixdesk/pkg/tracing/otlp"
)

var quiet = slog.New(slog.DiscardHandler)

// unset clears the variables that a test of this package reads.
func unset(t *testing.T) {
	t.Helper()
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		t.Setenv(name, "")
	}
}

func TestTracesAreOffUnlessTheirVariablesAskForThem(t *testing.T) {
	for name, tc := range map[string]struct {
		variables map[string]string
		on        bool
	}{
		"nothing":  {nil, false},
		"endpoint": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		"traces":   {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, true},
		"exporter": {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		"none":     {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		"disabled": {map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			unset(t)
			for variable, value := range tc.variables {
				t.Setenv(variable, value)
			}
			traces, err := otlp.New(t.Context(), "test", "1", quiet)
			if err != nil || (traces != nil) != tc.on || (traces.Provider() != nil) != tc.on {
				t.Errorf("%v, %v", traces, err)
			}
			if !tc.on && (traces.Handler(http.NotFoundHandler()) != nil || traces.Transport(http.DefaultTransport) != http.DefaultTransport) {
				t.Error("requests go through more than without traces")
			}
			traces.Stop(t.Context())
		})
	}
}

func TestUnsupportedExportIsRefusedByItsVariable(t *testing.T) {
	for variable, value := range map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} {
		unset(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
		t.Setenv(variable, value)
		if _, err := otlp.New(t.Context(), "test", "1", quiet); err == nil || !strings.HasPrefix(err.Error(), variable+": ") {
			t.Errorf("%s=%s: %v", variable, value, err)
		}
	}
}

func TestStoredParentIsReadBack(t *testing.T) {
	const stored = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	text := stored
	got := tracing.Parent(tracing.WithParent(t.Context(), &text))
	if got == nil || *got != stored {
		t.Errorf("got %v", got)
	}
	for _, malformed := range []string{"", "00-4bf92f3577b34da6a3ce929d0e0e4736", "no trace"} {
		if got := tracing.Parent(tracing.WithParent(t.Context(), &malformed)); got != nil {
			t.Errorf("%q: got %s", malformed, *got)
		}
	}
	if tracing.Parent(tracing.WithParent(t.Context(), nil)) != nil {
		t.Error("there is a parent without one")
	}
	if exemplar := tracing.Exemplar(tracing.WithParent(t.Context(), &text)); exemplar["trace_id"] != stored[3:35] {
		t.Errorf("got %v", exemplar)
	}
}

func TestReceiverThatIsAwayIsLoggedOnceAndDelaysNothing(t *testing.T) {
	unset(t)
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusBadRequest) // which is not tried again
	}))
	defer away.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", away.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
	var log lines
	traces, err := otlp.New(t.Context(), "test", "1", obs.NewLogger(&log, slog.LevelInfo, obs.JSON))
	if err != nil {
		t.Fatal(err)
	}
	tracer := traces.Provider().Tracer("test")
	for range 3 {
		_, span := tracer.Start(t.Context(), "work", trace.WithNewRoot())
		span.End()
		if err := traces.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	traces.Stop(t.Context())
	if n := strings.Count(log.text(), "traces can't be exported"); n != 1 {
		t.Errorf("%d lines: %s", n, log.text())
	}
}

// lines is a log that is safe for concurrent use.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
