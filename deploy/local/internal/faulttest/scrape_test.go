package faulttest

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// needPromtool skips the test unless make test-alerts runs it, which provides promtool.
func needPromtool(t *testing.T) {
	t.Helper()
	if os.Getenv("FIXDESK_TEST_ALERTS") == "" {
		t.Skip("run by make test-alerts")
	}
}

// promtool runs it with this input.
func promtool(t *testing.T, input string, arguments ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command("promtool", arguments...)
	cmd.Stdin = strings.NewReader(input)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// scrape is what Prometheus would have read from all targets at a time: the values by
// their series, and the type of each metric.
type scrape struct {
	at     time.Time
	values map[string]float64
	types  map[string]string
}

// target is a replica's operations listener.
type target struct{ job, address string }

// scrapeAll reads the targets. One that doesn't answer has up = 0.
func scrapeAll(t *testing.T, targets ...target) scrape {
	t.Helper()
	s := scrape{at: time.Now(), values: map[string]float64{}, types: map[string]string{"up": "gauge"}}
	for _, target := range targets {
		labels := fmt.Sprintf(`job="%s",instance="%s"`, target.job, target.address)
		text, err := exposition(target)
		if err != nil {
			s.values["up{"+labels+"}"] = 0
			continue
		}
		s.values["up{"+labels+"}"] = 1
		s.read(t, text, labels)
	}
	return s
}

// exposition is the text of a target's /metrics.
func exposition(target target) (string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + target.address + "/metrics")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var text strings.Builder
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	return text.String(), nil
}

func (s *scrape) read(t *testing.T, text, labels string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(kind, " ")
			s.types[name] = kind
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name, own, _ := strings.Cut(strings.TrimSuffix(line[:end], "}"), "{")
		if own != "" {
			own += ","
		}
		s.values[name+"{"+own+labels+"}"] = value
	}
}

// nameOf is the metric's name in a series.
func nameOf(series string) string {
	name, _, _ := strings.Cut(series, "{")
	return name
}

var partOfHistogram = regexp.MustCompile(`_(bucket|count|sum)$`)

// isCounter reports whether a series only grows.
func (s scrape) isCounter(series string) bool {
	name := nameOf(series)
	return s.types[name] == "counter" || s.types[partOfHistogram.ReplaceAllString(name, "")] == "histogram"
}

// names are those of the series, and of the histograms that they belong to.
func (s scrape) names() map[string]bool {
	names := map[string]bool{}
	for series := range maps.Keys(s.values) {
		names[nameOf(series)] = true
	}
	for name := range s.types {
		names[name] = true
	}
	return names
}

// sum adds the values of a metric's series that have all of the labels, as `a="b"`.
func (s scrape) sum(name string, labels ...string) (sum float64) {
	for series, value := range s.values {
		if nameOf(series) != name {
			continue
		}
		matches := true
		for _, label := range labels {
			matches = matches && strings.Contains(series, label)
		}
		if matches {
			sum += value
		}
	}
	return sum
}
