package faulttest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// watched is a stack whose operations listeners are scraped.
type watched struct {
	*stack
	crmOps, notifyOps string
}

func (w *watched) targets() []target {
	return []target{{"crm", w.crmOps}, {"notification", w.notifyOps}}
}

func (w *watched) scrape(t *testing.T) scrape {
	t.Helper()
	return scrapeAll(t, w.targets()...)
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	return &watched{stack: newStack(t, shared.server), crmOps: freeAddress(t), notifyOps: freeAddress(t)}
}

// ownMetrics are the prefixes of the metrics that are not those of the Go runtime and
// the process.
var ownMetrics = []string{"background_", "event_", "fixdesk_", "http_", "inbound_", "notification_", "outbox_", "pgxpool_", "rate_limit_"}

// TestMetricsFollowTheConventions runs both services and checks what they export: by
// promtool, against the page on monitoring, and against the dashboards.
func TestMetricsFollowTheConventions(t *testing.T) {
	needPromtool(t)
	w := newWatched(t)
	crm := w.startCRM(t, variables{"CRM_OPS_ADDR": w.crmOps, "CRM_SUPPORT_ADDRESS": "support@fixdesk.test", "CRM_RATE_LIMIT": "3000+1000", "CRM_RATE_LIMIT_NETWORK": "600+300"})
	w.startNotification(t, variables{
		"NOTIFICATION_OPS_ADDR": w.notifyOps, "NOTIFICATION_INBOUND_ADDR": freeAddress(t), "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test", "NOTIFICATION_RATE_LIMIT": "60000+10000",
	})
	p := newPeople(t, crm, 1)
	p.customer.must(t, "POST", "/v1/tickets", newTicket(1), 201)
	eventually(t, "the mail's latency is measured", func() bool {
		return w.scrape(t).sum("notification_mail_latency_seconds_count", `try="first"`) > 0
	})
	exported := w.scrape(t)

	t.Run("promtool", func(t *testing.T) {
		for _, target := range w.targets() {
			text, err := exposition(target)
			if err != nil {
				t.Fatal(err)
			}
			if output, err := promtool(t, text, "check", "metrics"); err != nil || output != "" {
				t.Errorf("%s: %v\n%s", target.job, err, output)
			}
		}
		control := "# HELP a_b A counter.\n# TYPE a_b counter\na_b 1\n"
		if output, err := promtool(t, control, "check", "metrics"); err == nil {
			t.Errorf("promtool finds nothing: %s", output)
		}
	})
	t.Run("prometheus", func(t *testing.T) { checkPrometheus(t, w.targets()) })
	t.Run("page", func(t *testing.T) { checkPage(t, exported.types) })
	t.Run("dashboards", func(t *testing.T) {
		names := exported.names()
		names[rateLimit] = true
		for _, r := range readRules(t) {
			names[r.record] = true
		}
		dashboards := readDashboards(t)
		for _, problem := range checkDashboards(dashboards, names) {
			t.Error(problem)
		}
		checkExpressions(t, dashboards)
		delete(names, "outbox_pending") // the control
		if problems := checkDashboards(dashboards, names); len(problems) == 0 {
			t.Error("nobody misses a metric")
		}
	})
}

// rateLimit is exported only for a mail server that throttled.
const rateLimit = "notification_smtp_rate_limit"

// checkPage compares the metrics of the page on monitoring with those that are exported.
func checkPage(t *testing.T, types map[string]string) {
	t.Helper()
	page, err := os.ReadFile("../../../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range types {
		for _, prefix := range ownMetrics {
			if strings.HasPrefix(name, prefix) && !strings.Contains(string(page), "\n| `"+name+"`") {
				t.Errorf("docs/monitoring.md has no %s", name)
			}
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(string(page), -1) {
		if types[m[1]] == "" && m[1] != rateLimit {
			t.Errorf("docs/monitoring.md has %s, which isn't exported", m[1])
		}
	}
}
