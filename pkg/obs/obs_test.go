package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"fixdesk/pkg/obs"

	"github.com/prometheus/client_golang/prometheus"
)

func TestLineCarriesTheRequestIDOfItsContext(t *testing.T) {
	var out bytes.Buffer
	log := obs.NewLogger(&out, slog.LevelInfo, obs.JSON).With("service", "crm")
	ctx := obs.WithRequestID(t.Context(), "abc")
	log.InfoContext(ctx, "ticket created", "number", 7)
	log.DebugContext(ctx, "below the level")

	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("not one JSON line: %v: %q", err, out.String())
	}
	if line["request_id"] != "abc" || line["service"] != "crm" || line["msg"] != "ticket created" {
		t.Errorf("line = %v", line)
	}

	out.Reset()
	log.InfoContext(context.Background(), "no request")
	if strings.Contains(out.String(), "request_id") {
		t.Errorf("a line without a request has %s", out.String())
	}
}

func TestTextFormatIsKeyValuePairs(t *testing.T) {
	var out bytes.Buffer
	obs.NewLogger(&out, slog.LevelInfo, obs.Text).Info("ready", "addr", ":0")
	if !strings.Contains(out.String(), `msg=ready addr=:0`) {
		t.Errorf("got %q", out.String())
	}
}

func TestUnknownFormatIsRefused(t *testing.T) {
	var f obs.Format
	if err := f.UnmarshalText([]byte("text")); err != nil || f != obs.Text {
		t.Errorf("text: %v, %v", f, err)
	}
	if err := f.UnmarshalText([]byte("xml")); err == nil || strings.Contains(err.Error(), "xml") {
		t.Errorf("xml: %v", err)
	}
}

func TestRegistryHasTheBuildInfo(t *testing.T) {
	families, err := obs.NewRegistry("crm", "1.2.3").Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "fixdesk_build_info" {
			return
		}
	}
	t.Error("fixdesk_build_info is missing")
}

func TestHistogramIsNativeAndClassic(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	h := prometheus.NewHistogram(obs.Histogram(prometheus.HistogramOpts{Name: "a_seconds", Help: "A.", Buckets: []float64{1, 2}}))
	registry.MustRegister(h)
	h.Observe(1.5)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	got := families[0].GetMetric()[0].GetHistogram()
	if got.Schema == nil || len(got.GetPositiveSpan()) == 0 || len(got.GetBucket()) != 2 {
		t.Errorf("got %v", got)
	}
}
