package faulttest

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is an exported span with the service that made it.
type span struct {
	service, name, trace, id, parent string
	attributes                       map[string]string
}

// traceReceiver takes spans by OTLP over HTTP (OpenTelemetry protocol specification).
type traceReceiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
	raw   []byte
}

func newTraceReceiver(t *testing.T) *traceReceiver {
	t.Helper()
	r := &traceReceiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || request.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.add(&export, body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *traceReceiver) add(export *collector.ExportTraceServiceRequest, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, body...)
	for _, resource := range export.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, newSpan(service, s))
			}
		}
	}
}

func newSpan(service string, s *tracev1.Span) span {
	attributes := map[string]string{}
	for _, a := range s.GetAttributes() {
		attributes[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return span{service, s.GetName(), hex.EncodeToString(s.GetTraceId()), hex.EncodeToString(s.GetSpanId()), hex.EncodeToString(s.GetParentSpanId()), attributes}
}

// of are the spans of a trace.
func (r *traceReceiver) of(trace string) (spans []span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.trace == trace {
			spans = append(spans, s)
		}
	}
	return spans
}

func (r *traceReceiver) all() ([]span, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans), string(r.raw)
}

// path are the services and names of a span and those that it continues, the last first.
func path(spans []span, last span) (names []string) {
	for {
		names = append(names, last.service+" "+last.name)
		i := slices.IndexFunc(spans, func(s span) bool { return s.id == last.parent })
		if i < 0 {
			return names
		}
		last = spans[i]
	}
}

const clientTrace, clientSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

func TestOneTraceLeadsFromTheRequestToTheMail(t *testing.T) {
	t.Parallel()
	receiver := newTraceReceiver(t)
	w := newWatched(t)
	otel := func(v variables) variables {
		v["OTEL_EXPORTER_OTLP_ENDPOINT"], v["OTEL_BSP_SCHEDULE_DELAY"] = receiver.URL, "50"
		return v
	}
	crm := w.startCRM(t, otel(variables{"CRM_OPS_ADDR": w.crmOps}))
	w.startNotification(t, otel(variables{"NOTIFICATION_OPS_ADDR": w.notifyOps}))
	p := newPeople(t, crm, 1)
	a, err := p.customer.do(t.Context(), "POST", "/v1/tickets", newTicket(1), "traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d, %v", a.status, err)
	}
	const mail = "SMTP mail"
	eventually(t, "the mails are in the trace", func() bool {
		n := 0
		for _, s := range receiver.of(clientTrace) {
			if s.name == mail {
				n++
			}
		}
		return n == 2
	})
	want := []string{
		"fixdesk-notification SMTP mail", "fixdesk-notification POST /v1/notifications",
		"fixdesk-crm HTTP POST", "fixdesk-crm POST /v1/tickets",
	}
	var spans []span
	eventually(t, "each mail continues the client's trace", func() bool {
		spans = receiver.of(clientTrace)
		whole := 0
		for _, s := range spans {
			if names := path(spans, s); s.name == mail && slices.Equal(names, want) {
				whole++
			}
		}
		return whole == 2
	})
	checkSpans(t, receiver, spans)
	checkTraceInLogs(t, w.stack)
	checkExemplars(t, w)
}

// checkSpans checks that spans show the database's work and no person.
func checkSpans(t *testing.T, receiver *traceReceiver, spans []span) {
	t.Helper()
	queries := 0
	for _, s := range spans {
		if s.attributes["db.query.text"] != "" {
			queries++
		}
		if s.name == "POST /v1/tickets" && s.parent != clientSpan {
			t.Errorf("the request's parent is %s", s.parent)
		}
	}
	if queries == 0 {
		t.Errorf("no statement is in the trace: %v", spans)
	}
	all, raw := receiver.all()
	for _, secret := range []string{"@customer.example", "@engineer.example", adminEmail, password, "127.0.0.1\x12", "Printer 1 on fire", "Go-http-client"} {
		if strings.Contains(raw, secret) {
			t.Errorf("the spans have %q", secret)
		}
	}
	for _, s := range all {
		if strings.HasPrefix(s.name, "GET /readyz") {
			t.Error("a probe has a span")
		}
		if s.attributes["client.address"] != "" || s.attributes["network.peer.address"] != "" && s.attributes["http.route"] != "" {
			t.Errorf("%s has the client's address", s.name)
		}
	}
}

// checkTraceInLogs checks that both services' lines have the trace's id.
func checkTraceInLogs(t *testing.T, s *stack) {
	t.Helper()
	for service, message := range map[string]string{"crm": "notice posted", "notification": "request"} {
		eventually(t, service+" logs the trace", func() bool {
			files, _ := filepath.Glob(filepath.Join(s.dir, service+"-*.log"))
			for _, file := range files {
				text, _ := os.ReadFile(file)
				for line := range strings.Lines(string(text)) {
					var l struct {
						Msg     string
						TraceID string `json:"trace_id"`
					}
					if json.Unmarshal([]byte(line), &l) == nil && l.Msg == message && l.TraceID == clientTrace {
						return true
					}
				}
			}
			return false
		})
	}
}

// checkExemplars checks that both services' histograms lead to the trace in OpenMetrics.
func checkExemplars(t *testing.T, w *watched) {
	t.Helper()
	for address, metric := range map[string]string{w.crmOps: "http_request_duration_seconds_bucket", w.notifyOps: "notification_mail_latency_seconds_bucket"} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(string(text)) {
			found = found || strings.HasPrefix(line, metric) && strings.Contains(line, `# {trace_id="`+clientTrace+`"}`)
		}
		if !found {
			t.Errorf("no exemplar of %s leads to the trace", metric)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestControlWithoutOTELVariablesNothingIsTraced(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	crm := w.startCRM(t, nil)
	w.startNotification(t, nil)
	p := newPeople(t, crm, 0)
	p.customer.must(t, "POST", "/v1/tickets", newTicket(1), http.StatusCreated)
	w.mail.Wait(t, 1, patience)
	if n := count(t, w.stack.crm, "select count(*) from outbox where traceparent is not null"); n != 0 {
		t.Errorf("%d entries of the outbox have a trace", n)
	}
	if n := count(t, w.notify, "select count(*) from notifications where traceparent is not null"); n != 0 {
		t.Errorf("%d notifications have a trace", n)
	}
}
