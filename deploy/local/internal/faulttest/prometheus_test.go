package faulttest

import (
	"encoding/json"

	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/subprocess"
)

const prometheusFile = "../../../prometheus/prometheus.yml"

// prometheus is a server of Prometheus under deploy/prometheus/prometheus.yml.
type prometheus struct{ url, log string }

// startPrometheus starts a server that reads the targets in place of those of the file.
func startPrometheus(t *testing.T, targets []target, features string) *prometheus {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	text, err := os.ReadFile(prometheusFile)
	if err != nil {
		t.Fatal(err)
	}
	configuration := strings.ReplaceAll(strings.ReplaceAll(string(text), "127.0.0.1:9080", targets[0].address), "127.0.0.1:9081", targets[1].address)
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"prometheus.yml": configuration, "fixdesk.rules.yml": string(rules)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &prometheus{url: "http://" + address, log: filepath.Join(dir, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--enable-feature="+features)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := subprocess.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Signal(syscall.SIGKILL)
		<-process.Done()
	})
	return p
}

// get reads the data of an answer of Prometheus's API into v. It reports whether there
// was one.
func (p *prometheus) get(t *testing.T, path string, v any) bool {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(p.url + "/api/v1/" + path)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return false
	}
	answer := struct{ Data any }{v}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return true
}

// has reports whether an expression has a result.
func (p *prometheus) has(t *testing.T, expr string) bool {
	t.Helper()
	var found struct{ Result []any }
	return p.get(t, "query?query="+url.QueryEscape(expr), &found) && len(found.Result) > 0
}

// awaitTargets waits until both targets are up.
func (p *prometheus) awaitTargets(t *testing.T) {
	t.Helper()
	type scraped struct{ Health, LastError string }
	var found struct{ ActiveTargets []scraped }
	eventually(t, "both targets are up", func() bool {
		up := 0
		if !p.get(t, "targets?state=active", &found) {
			return false
		}
		for _, target := range found.ActiveTargets {
			if target.LastError != "" {
				t.Fatalf("a scrape fails: %s", target.LastError)
			}
			if target.Health == "up" {
				up++
			}
		}
		return up == 2 && len(found.ActiveTargets) == 2
	})
}

// checkRules expects all rules of the file, and no error in them.
func (p *prometheus) checkRules(t *testing.T) {
	t.Helper()
	type group struct {
		Rules []struct{ Name, Health, LastError string }
	}
	var found struct{ Groups []group }
	if !p.get(t, "rules", &found) {
		t.Fatal("Prometheus doesn't list its rules")
	}
	n := 0
	for _, g := range found.Groups {
		for _, r := range g.Rules {
			n++
			if r.LastError != "" || r.Health == "err" {
				t.Errorf("the rule %s: %s", r.Name, r.LastError)
			}
		}
	}
	if want := len(readRules(t)); n != want {
		t.Errorf("Prometheus has %d of %d rules", n, want)
	}
}

// complaints are the warnings and errors of its log.
func (p *prometheus) complaints(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=warn") || strings.Contains(line, "level=error") {
			lines = append(lines, line)
		}
	}
	return lines
}

// checkPrometheus lets a server of Prometheus read the targets. The control is one that
// keeps native histograms: its rules find no buckets.
func checkPrometheus(t *testing.T, targets []target) {
	t.Helper()
	p := startPrometheus(t, targets, "exemplar-storage")
	control := startPrometheus(t, targets, "native-histograms")
	p.awaitTargets(t)
	p.checkRules(t)
	for _, r := range readRules(t) {
		for _, name := range metricsIn(r.expr) {
			if strings.HasSuffix(name, "_bucket") && !p.has(t, name) {
				t.Errorf("Prometheus has no %s", name)
			}
		}
	}
	control.awaitTargets(t)
	if control.has(t, "notification_mail_latency_seconds_bucket") {
		t.Error("control: with native histograms there are buckets, too")
	}
	if lines := p.complaints(t); len(lines) > 0 {
		t.Errorf("Prometheus warns: %q", lines)
	}
}
