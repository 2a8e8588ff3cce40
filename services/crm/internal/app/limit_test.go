package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/services/crm/internal/app"
)

// answers sends GET requests through a trusted proxy, one for each value of
// X-Forwarded-For, and returns how many were answered with each status.
func (w *testEnv) answers(path, token string, clients ...string) map[int]int {
	w.t.Helper()
	counts := map[int]int{}
	for _, client := range clients {
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", client)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		counts[res.StatusCode]++
	}
	return counts
}

// addresses fills in the numbers from 1 to n.
func addresses(n int, format string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i+1))
	}
	return list
}

func TestAllSessionsAndKeysOfAUserShareOneRateLimit(t *testing.T) {
	t.Setenv("CRM_RATE_LIMIT", "1+30")
	w := newTestEnv(t)
	session := w.login("customer")
	key := w.ask("POST", "/v1/keys", session, `{"name":"Import","scopes":["tickets:read"]}`).want(t, 201).str("secret") // the first request
	everywhere := addresses(10, "10.1.1.%d")
	for name, token := range map[string]string{"session": session, "key": key} {
		if got := w.answers("/v1/tickets", token, everywhere...); got[200] != 10 {
			t.Errorf("10 requests with the %s: %v", name, got)
		}
	}
	if got := w.answers("/v1/tickets", w.login("customer"), everywhere...); got[200] != 9 || got[429] != 1 {
		t.Errorf("10 requests with another session: %v", got)
	}
	if got := w.answers("/v1/tickets", key, "10.1.1.1"); got[429] != 1 {
		t.Errorf("afterwards, with the key: %v", got)
	}
	if got := w.answers("/v1/users", session, "10.1.1.1"); got[429] != 1 {
		t.Errorf("an operation that the user may not call: %v", got)
	}
	if got := w.answers("/v1/tickets", w.login("reporter"), everywhere...); got[200] != 10 {
		t.Errorf("control: another user: %v", got)
	}
}

func TestCallerOfAPublicOperationIsTheClientNetwork(t *testing.T) {
	t.Setenv("CRM_RATE_LIMIT_NETWORK", "1+20")
	w := newTestEnv(t)
	const public = "/.well-known/jwks.json"
	for _, c := range []struct {
		name    string
		clients []string
		another string
	}{
		{"addresses of one IPv6 network", addresses(30, "2001:db8:1:2::%x"), "2001:db8:1:3::1"},
		{"forged X-Forwarded-For", addresses(30, "203.0.113.%d, 192.0.2.7"), "203.0.113.1, 192.0.2.8"},
	} {
		if got := w.answers(public, "", c.clients...); got[200] != 20 || got[429] != 10 {
			t.Errorf("%s: %v", c.name, got)
		}
		if got := w.answers(public, "", c.another); got[200] != 1 {
			t.Errorf("%s: control: another network: %v", c.name, got)
		}
	}
}

func TestRefusedTokensAreLimitedByNetworkAndDelayNoValidOne(t *testing.T) {
	t.Setenv("CRM_RATE_LIMIT_NETWORK", "1+20")
	w := newTestEnv(t)
	token, clients := w.login("customer"), slices.Repeat([]string{"192.0.2.9"}, 30)
	if got := w.answers("/v1/me", "not.a.token", clients...); got[401] != 20 || got[429] != 10 {
		t.Errorf("refused tokens: %v", got)
	}
	if got := w.answers("/v1/me", token, clients...); got[200] != 30 {
		t.Errorf("control: a valid token of the same network: %v", got)
	}
}

// hammerURL requests a path of all replicas for d, or longer until some requests
// were refused, and returns how many requests were answered with each status, and
// the time it took. A client that is refused pauses, since it would do nothing else.
func hammerURL(t *testing.T, d time.Duration, urls ...string) (ok, limited int64, took time.Duration) {
	t.Helper()
	var counts [600]atomic.Int64
	var done sync.WaitGroup
	start := time.Now()
	for _, url := range urls {
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		for range 2 {
			done.Go(func() {
				for time.Since(start) < d || counts[429].Load() < 10 && time.Since(start) < 4*time.Minute {
					res, err := client.Get(url)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					counts[res.StatusCode].Add(1)
					if res.StatusCode == http.StatusTooManyRequests {
						<-time.After(5 * time.Millisecond)
					}
				}
			})
		}
	}
	done.Wait()
	return counts[200].Load(), counts[429].Load(), time.Since(start)
}

func TestRateLimitHoldsAcrossTwoReplicas(t *testing.T) {
	t.Setenv("CRM_RATE_LIMIT_NETWORK", "600+300")
	databaseURL := pgtest.NewPatientURL(t, db.CRM, "crm/migrations")
	first, _, _ := runApp(t, databaseURL)
	second, _, _ := runApp(t, databaseURL)
	const public = "/.well-known/jwks.json"
	ok, limited, took := hammerURL(t, 2*time.Second, first+public, second+public)
	want := 300 + 10*took.Seconds()
	t.Logf("%d answered and %d refused in %s; the limit is %.0f", ok, limited, took, want)
	// A replica limits by itself while a settlement takes longer than 100 ms, as on a busy
	// machine; both would answer 600 at once if they always did. A test of package
	// ratelimit has the 5 % by which they keep the limit otherwise.
	if float64(ok) > 1.5*want || limited == 0 {
		t.Errorf("%d requests were answered, want at most half more than %.0f", ok, want)
	}
	if ok < 300 {
		t.Errorf("control: only %d requests were answered of %.0f", ok, want)
	}
}

// BenchmarkRateLimitOfARead reads a ticket from a service with rate limits, of which
// a settlement is due every 100 reads, and from one without, in turn. Of each batch
// of reads the tenth percentile counts, which other programs change least.
func BenchmarkRateLimitOfARead(b *testing.B) {
	with, without := newReader(b, "240000+1000"), newReader(b, "off")
	var on, off []time.Duration
	for b.Loop() {
		off = append(off, without.measure(b, 10))
		on = append(on, with.measure(b, 10))
	}
	slices.Sort(on)
	slices.Sort(off)
	a, z := on[len(on)/10], off[len(off)/10]
	b.ReportMetric(float64(z)/10, "ns/read-without")
	b.ReportMetric(float64(a)/10, "ns/read-with")
	b.ReportMetric(float64(a)/float64(z), "ratio")
	b.ReportMetric(0, "ns/op")
}

// reader reads a ticket of a running service.
type reader struct {
	*http.Client
	url, path, token string
}

func newReader(b *testing.B, limit string) *reader {
	b.Helper()
	address := freeAddress(b)
	b.Setenv("CRM_DATABASE_URL", pgtest.NewURL(b, db.CRM, "crm/migrations"))
	b.Setenv("CRM_NOTIFICATION_URL", "http://127.0.0.1:1")
	b.Setenv("CRM_RATE_LIMIT", limit)
	b.Setenv("CRM_ADDR", address)
	b.Setenv("CRM_OPS_ADDR", "off")
	c, err := app.LoadConfig()
	if err != nil {
		b.Fatal(err)
	}
	a, err := app.New(b.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = a.Run(ctx) })
	b.Cleanup(func() { stop(); done.Wait() })
	if _, err := a.Users().CreateAdmin(ctx, "admin@fixdesk.test", matrixPassword, "Admin"); err != nil {
		b.Fatal(err)
	}
	r := &reader{Client: &http.Client{Transport: &http.Transport{}}, url: "http://" + address}
	b.Cleanup(r.CloseIdleConnections)
	waitForStatus(b, r.url+"/readyz", http.StatusOK)
	r.token = r.post(b, "/v1/auth/login", fmt.Sprintf(`{"email":"admin@fixdesk.test","password":%q}`, matrixPassword), "access_token")
	r.path = "/v1/tickets/" + r.post(b, "/v1/tickets", `{"title":"Printer on fire","description":"It burns."}`, "id")
	return r
}

func (r *reader) do(b *testing.B, method, path, body string) []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := r.Client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		b.Fatal(res.Status, err)
	}
	return text
}

func (r *reader) post(b *testing.B, path, body, field string) (value string) {
	b.Helper()
	answer := map[string]any{}
	if err := json.Unmarshal(r.do(b, "POST", path, body), &answer); err != nil {
		b.Fatal(err)
	}
	value, _ = answer[field].(string)
	return value
}

func (r *reader) measure(b *testing.B, n int) time.Duration {
	b.Helper()
	start := time.Now()
	for range n {
		r.do(b, "GET", r.path, "")
	}
	return time.Since(start)
}
