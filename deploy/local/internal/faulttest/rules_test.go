package faulttest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rulesFile = "../../../prometheus/fixdesk.rules.yml"

// rule is a recording rule or an alert.
type rule struct{ record, alert, expr string }

var ruleLines = regexp.MustCompile(`(?m)^ +- (record|alert): (\S+)\n +expr: (.+)$`)

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ruleLines.FindAllStringSubmatch(string(text), -1) {
		r := rule{expr: m[3]}
		if m[1] == "alert" {
			r.alert = m[2]
		} else {
			r.record = m[2]
		}
		rules = append(rules, r)
	}
	if n := strings.Count(string(text), "expr:"); n != len(rules) {
		t.Fatalf("%d of %d rules are understood", len(rules), n)
	}
	return rules
}

func alertsOf(rules []rule) (names []string) {
	for _, r := range rules {
		if r.alert != "" {
			names = append(names, r.alert)
		}
	}
	return names
}

func TestEachAlertHasSeverityDelayAndItsSectionInTheRunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	complete := regexp.MustCompile(`- alert: (\w+)\n +expr: .+\n +for: \d+[mh]\n +labels: \{severity: (?:critical|warning)\}\n +annotations:\n +summary: ".+"\n` +
		` +runbook_url: "\{\{ \$externalLabels\.fixdesk_pages \}\}docs/runbook\.md#(\w+)"`)
	var alerts []string
	for _, m := range complete.FindAllStringSubmatch(string(text), -1) {
		alerts = append(alerts, m[1])
		if m[2] != strings.ToLower(m[1]) {
			t.Errorf("%s leads to the section %s", m[1], m[2])
		}
	}
	if want := alertsOf(readRules(t)); !slices.Equal(alerts, want) {
		t.Errorf("these are complete: %q; of %q", alerts, want)
	}
	page, err := os.ReadFile("../../../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections []string
	for section := range strings.SplitSeq(string(page), "\n## ") {
		name, body, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(name, "Fixdesk") {
			continue
		}
		sections = append(sections, name)
		for _, part := range []string{"**Means**", "**See**", "**Do**"} {
			if !strings.Contains(body, part) {
				t.Errorf("the section on %s has no %s", name, part)
			}
		}
	}
	slices.Sort(alerts)
	slices.Sort(sections)
	if !slices.Equal(alerts, sections) {
		t.Errorf("the runbook has sections on\n%q\nand these are the alerts:\n%q", sections, alerts)
	}
}

func TestKubernetesHasTheSameRules(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../../kubernetes/production/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, groups, _ := strings.Cut(string(rules), "\ngroups:\n")
	_, got, _ := strings.Cut(string(manifest), "\n  groups:\n")
	if want := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(groups, "  $1"); got != want || want == "" {
		t.Error("deploy/kubernetes/production/rules.yaml differs from deploy/prometheus/fixdesk.rules.yml: make gen")
	}
}

func TestRulesNameMetricsThatAnExpressionHas(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][]string{
		`sum by (job) (rate(http_requests_total{status=~"5..",a="b_c"}[5m])) / on (job) group_left (x_y) up`: {"http_requests_total", "up"},
		`max(a_b) > 3 or absent(up{job="x"} == 1)`:                                                           {"a_b", "up"},
		`job:errors:rate5m > 0.1 and time() - process_start_time_seconds`:                                    {"job:errors:rate5m", "process_start_time_seconds"},
	} {
		if got := metricsIn(expr); !slices.Equal(got, want) {
			t.Errorf("%s: %q", expr, got)
		}
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutErrors has requests of the CRM without an error, and of the notification service
// of which one in ten failed.
const withoutErrors = `rule_files: [%q]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'http_requests_total{job="crm",route="/v1/tickets",status="200"}', values: '0+60x60'}
      - {series: 'http_requests_total{job="notification",route="/v1/notifications",status="202"}', values: '0+54x60'}
      - {series: 'http_requests_total{job="notification",route="/v1/notifications",status="503"}', values: '0+6x60'}
    promql_expr_test:
%s`

// Dashboards show 0 % and the whole budget, not "No data", while nothing fails.
func TestRulesHaveAShareOfErrorsAlsoWhenThereIsNone(t *testing.T) {
	needPromtool(t)
	var expected strings.Builder
	for _, r := range readRules(t) {
		if strings.HasPrefix(r.record, "job:http_request_errors:") {
			fmt.Fprintf(&expected, "      - expr: round(%s, 0.0001)\n        eval_time: 1h\n        exp_samples: [{labels: '{job=\"crm\"}', value: 0}, {labels: '{job=\"notification\"}', value: 0.1}]\n", r.record)
		}
	}
	file := filepath.Join(t.TempDir(), "tests.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, withoutErrors, absolute(t, rulesFile), expected.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := promtool(t, "", "test", "rules", file); err != nil || expected.Len() == 0 {
		t.Errorf("%v\n%s", err, output)
	}
}
