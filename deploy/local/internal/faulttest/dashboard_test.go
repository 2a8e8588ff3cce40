package faulttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what the tests read of one of Grafana's.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
}

func readDashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("../../../grafana/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("%q, %v", files, err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

// checkDashboards reports metrics that neither the services nor the rules export.
func checkDashboards(dashboards map[string]dashboard, exported map[string]bool) (problems []string) {
	for file, d := range dashboards {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				for _, name := range metricsIn(target.Expr) {
					if !exported[name] {
						problems = append(problems, fmt.Sprintf("%s, %q: nothing exports %s", file, panel.Title, name))
					}
				}
			}
			if len(panel.Targets) == 0 || panel.GridPos.X+panel.GridPos.W > 24 {
				problems = append(problems, fmt.Sprintf("%s, %q: no expression, or beyond the edge", file, panel.Title))
			}
		}
	}
	return problems
}

// checkExpressions lets promtool parse all expressions of the dashboards.
func checkExpressions(t *testing.T, dashboards map[string]dashboard) {
	t.Helper()
	rules, n := "groups:\n  - name: dashboards\n    rules:\n", 0
	for _, d := range dashboards {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				n++
				rules += fmt.Sprintf("      - record: dashboard:panel:%d\n        expr: '%s'\n", n, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
			}
		}
	}
	file := filepath.Join(t.TempDir(), "dashboards.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := promtool(t, "", "check", "rules", file); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// Event streams and requests for mail that came in last as long as nothing happens.
func TestTimesOfRequestsLeaveOutThoseThatWait(t *testing.T) {
	t.Parallel()
	seen := 0
	check := func(where, expr string) {
		if !strings.Contains(expr, "http_request_duration_seconds_bucket") {
			return
		}
		seen++
		for job, route := range map[string]string{"crm": "/v1/events", "notification": "/v1/inbound"} {
			if (strings.Contains(expr, `job="`+job+`"`) || !strings.Contains(expr, `job="`)) && !strings.Contains(expr, route) {
				t.Errorf("%s counts the time of %s: %s", where, route, expr)
			}
		}
	}
	for file, d := range readDashboards(t) {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				check(file, target.Expr)
			}
		}
	}
	for _, r := range readRules(t) {
		check(r.record+r.alert, r.expr)
	}
	if seen < 7 {
		t.Errorf("%d expressions about times were found", seen)
	}
}
