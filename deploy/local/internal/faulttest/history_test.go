package faulttest

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// trialMinutes is how long each fault lasts in the trials of the alerts.
const trialMinutes = 100

// history is a trial of the alerts: what was scraped before and under a fault, which is
// taken to go on for trialMinutes, counters growing in each minute as they grew between
// the two scrapes.
type history struct {
	name          string
	before, under scrape
	firing        []string // alerts that fire at its end; none means that no alert at all does
}

// promtoolTest is the history as a test of promtool test rules. Only the series of the
// named metrics are part of it.
func (h history) promtoolTest(named map[string]bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %q\n    interval: 1m\n    input_series:\n", h.name)
	for series, value := range h.under.values {
		name := nameOf(series)
		if named[name] {
			fmt.Fprintf(&b, "      - {series: '%s', values: '%s'}\n", series, h.values(series, value))
		}
	}
	b.WriteString("    promql_expr_test:\n")
	for _, alert := range h.firing {
		fmt.Fprintf(&b, "      - expr: group by (alertname) (ALERTS{alertstate=\"firing\",alertname=\"%s\"})\n        eval_time: %dm\n"+
			"        exp_samples: [{labels: '{alertname=\"%s\"}', value: 1}]\n", alert, trialMinutes, alert)
	}
	if len(h.firing) == 0 {
		fmt.Fprintf(&b, "      - expr: group by (alertname) (ALERTS{alertstate=\"firing\"})\n        eval_time: %dm\n        exp_samples: []\n", trialMinutes)
	}
	return b.String()
}

// values are a series's in promtool's notation. The clock of promtool begins at 0.
func (h history) values(series string, value float64) string {
	text := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	name := nameOf(series)
	switch {
	case math.IsNaN(value):
		return strings.TrimSpace(strings.Repeat("NaN ", trialMinutes+1))
	case name == "process_start_time_seconds":
		return fmt.Sprintf("1x%d", trialMinutes)
	case strings.HasSuffix(name, "_timestamp_seconds"): // a task that doesn't fail goes on, or runs for the first time
		first, each := max(1, value-float64(h.under.at.UnixMilli())/1000+120), 60
		if h.fails(series) {
			each = 0
		}
		return fmt.Sprintf("%s+%dx%d", text(first), each, trialMinutes)
	case h.under.isCounter(series):
		first := h.before.values[series]
		return fmt.Sprintf("%s+%sx%d", text(first), text(max(0, value-first)), trialMinutes)
	}
	return fmt.Sprintf("%sx%d", text(value), trialMinutes)
}

// fails reports whether the task of a last success has failed between the scrapes.
func (h history) fails(series string) bool {
	failures := strings.Replace(series, "background_last_success_timestamp_seconds", "background_failures_total", 1)
	return h.under.values[failures] > h.before.values[failures]
}

var (
	quotedText  = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	notAMetric  = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	functionUse = regexp.MustCompile(`[a-zA-Z_]\w*\s*\(`)
	identifier  = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	operators   = []string{"or", "and", "unless", "by", "without", "on", "bool", "offset", "inf", "nan"}
)

// metricsIn are the names of the metrics in an expression of PromQL.
func metricsIn(expr string) (names []string) {
	expr = quotedText.ReplaceAllString(expr, "")
	expr = notAMetric.ReplaceAllString(expr, " ")
	expr = functionUse.ReplaceAllStringFunc(expr, func(use string) string {
		if word := strings.TrimRight(use, " ("); slices.Contains(operators, word) {
			return use
		}
		return "("
	})
	for _, name := range identifier.FindAllString(expr, -1) {
		if !slices.Contains(operators, strings.ToLower(name)) && strings.ContainsAny(name, "_:") || name == "up" {
			names = append(names, name)
		}
	}
	return names
}
