package ratelimit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"fixdesk/pkg/background"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/ratelimit"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// database has the table request_limits of the CRM.
func database(t testing.TB) *pgxpool.Pool {
	t.Helper()
	migration, err := os.ReadFile("../../db/crm/migrations/00050_request_limits.sql")
	if err != nil {
		t.Fatal(err)
	}
	return pgtest.New(t, fstest.MapFS{"m/00050_request_limits.sql": {Data: migration}}, "m")
}

// replica is one limiter with its own metrics.
type replica struct {
	*ratelimit.Limiter
	t        testing.TB
	registry *prometheus.Registry
}

func newReplica(t testing.TB, pool *pgxpool.Pool, now func() time.Time, policies ...ratelimit.Policy) replica {
	registry := obs.NewRegistry("test", "1")
	return replica{ratelimit.New(ratelimit.Config{
		Pool: pool, Policies: policies, Now: now, Registry: registry, Log: slog.New(slog.DiscardHandler),
		Metrics: background.NewMetrics(registry),
	}), t, registry}
}

// run runs the settlements until the test ends.
func (r replica) run() replica {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = r.Jobs()[0].Run(ctx) })
	r.t.Cleanup(func() { cancel(); done.Wait() })
	return r
}

// settle runs one settlement.
func (r replica) settle() {
	r.t.Helper()
	if _, err := r.Jobs()[0].RunOnce(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r replica) takes(id string) bool {
	_, err := r.Take(r.t.Context(), "user", id)
	if err != nil && errs.As(err).Code != errs.CodeRateLimited {
		r.t.Error(err)
	}
	return err == nil
}

// metric is the sum of a metric's series, of a histogram their counts.
func (r replica) metric(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			sum := 0.0
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
			return sum
		}
	}
	r.t.Fatalf("no metric %s", name)
	return 0
}

func (r replica) waitForMetric(name string, want float64) {
	r.t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); r.metric(name) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s is %v, want %v", name, r.metric(name), want)
		}
	}
}

// patient is a replica that takes no slow machine for a database that doesn't answer.
func patient(t testing.TB, pool *pgxpool.Pool, p ratelimit.Policy) replica {
	r := newReplica(t, pool, time.Now, p)
	r.WaitLonger()
	return r.run()
}

// hammer requests from all replicas for d, more than the limit lets through, and
// returns how many requests were accepted by the rate × time + burst.
func hammer(t *testing.T, p ratelimit.Policy, d time.Duration, replicas ...replica) (accepted, limit float64) {
	var total atomic.Int64
	var done sync.WaitGroup
	start := time.Now()
	for _, r := range replicas {
		for range 2 {
			done.Go(func() {
				for time.Since(start) < d {
					if r.takes("ann") {
						total.Add(1)
					} else {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
	}
	done.Wait()
	accepted, limit = float64(total.Load()), float64(p.Burst)+time.Since(start).Seconds()*float64(p.PerMinute)/60
	t.Logf("%v accepted of a limit of %.0f: %.3f", accepted, limit, accepted/limit)
	return accepted, limit
}

func TestTwoReplicasTogetherKeepTheLimitWithin5Percent(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 36_000, Burst: 300}
	pool := database(t)
	accepted, limit := hammer(t, p, 3*time.Second, patient(t, pool, p), patient(t, pool, p))
	if accepted > 1.05*limit {
		t.Errorf("%v requests were accepted, want at most %.0f and 5 %%", accepted, limit)
	}
	if accepted < float64(p.Burst) { // a busy machine asks too slowly to use all of the limit
		t.Errorf("control: only %v requests were accepted of %.0f", accepted, limit)
	}
}

func TestControlReplicasWithoutASharedBucketAcceptTwice(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 36_000, Burst: 300}
	if !trials.Shows(10, func() bool {
		accepted, limit := hammer(t, p, time.Second, newReplica(t, database(t), time.Now, p).run(), newReplica(t, database(t), time.Now, p).run())
		return accepted > 1.5*limit
	}) {
		t.Error("never more than half beyond the limit was accepted: the test above can't fail")
	}
}

func TestCallerBelowTheLimitIsNeverRefused(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 1, Burst: 500}
	pool := database(t)
	replicas := []replica{patient(t, pool, p), patient(t, pool, p)}
	for i := range 400 {
		if !replicas[i%2].takes("ann") {
			t.Fatalf("request %d is refused", i)
		}
	}
	var after time.Duration
	for range 1000 { // the control
		if _, err := replicas[0].Take(t.Context(), "user", "ann"); err != nil {
			after = errs.As(err).RetryAfter
		}
	}
	if after < 30*time.Second || after > 5*time.Minute {
		t.Errorf("the control: refused, with a token after %s", after)
	}
}

// block keeps every settlement waiting until the returned function is called.
func block(t *testing.T, pool *pgxpool.Pool) (release func()) {
	tx, err := pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "lock table request_limits in access exclusive mode")
	}
	if err != nil {
		t.Fatal(err)
	}
	release = func() { _ = tx.Rollback(context.Background()) }
	t.Cleanup(release)
	return release
}

func TestDatabaseThatDoesNotAnswerDelaysNoRequestAndTheLimitHoldsOnEachReplica(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 1, Burst: 1000}
	pool := database(t)
	release := block(t, pool)
	r := newReplica(t, pool, time.Now, p).run()
	accepted, slow := 0, 0
	for range 3 * p.Burst {
		start := time.Now()
		if r.takes("ann") {
			accepted++
		}
		if time.Since(start) > 50*time.Millisecond {
			slow++
		}
	}
	if accepted < p.Burst || accepted > p.Burst+2 {
		t.Errorf("%d accepted by one replica, want %d", accepted, p.Burst)
	}
	if slow > 100 { // one waits for the answer; others are for a busy machine
		t.Errorf("%d requests waited", slow)
	}
	release()
	r.waitForMetric("rate_limit_charged_total", float64(p.Burst)) // what was accepted meanwhile is charged
	other := newReplica(t, pool, time.Now, p).run()
	accepted = 0
	for range p.Burst {
		if other.takes("ann") {
			accepted++
		}
	}
	if accepted > p.Burst/10 {
		t.Errorf("afterwards another replica accepts %d", accepted)
	}
}

func TestManyCallersAreSettledByOneStatementAndFewRequestsCostNone(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 600, Burst: 1000}
	pool := database(t)
	r := newReplica(t, pool, time.Now, p)
	rows := func() (n int) {
		if err := pool.QueryRow(t.Context(), "select count(*) from request_limits").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 24 {
		for id := range 900 {
			r.takes(fmt.Sprint(id))
		}
	}
	if r.settle(); rows() != 0 {
		t.Errorf("24 requests of each caller: %d rows", rows())
	}
	for id := range 900 {
		r.takes(fmt.Sprint(id))
	}
	if r.settle(); rows() != 900 || r.metric("rate_limit_charged_total") != 25*900 {
		t.Errorf("one statement: %d rows, %v charged", rows(), r.metric("rate_limit_charged_total"))
	}
}

func TestManyCallersNeedBoundedMemoryAndThoseAtTheLimitStayKnown(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 1, Burst: 100}
	r := newReplica(t, database(t), time.Now, p)
	for r.takes("ann") { // without settlements the replica limits by itself
	}
	for id := range 25_000 {
		r.takes(fmt.Sprint(id))
	}
	if n := r.metric("rate_limit_callers"); n != 20_000 {
		t.Errorf("%v callers are remembered", n)
	}
	if r.takes("ann") {
		t.Error("the caller at the limit is forgotten")
	}
	if n := r.metric("rate_limit_rejected_total"); n != 2 {
		t.Errorf("%v rejected", n)
	}
}

func TestIdleCallersAreForgotten(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Name: "user", PerMinute: 600, Burst: 100}
	var elapsed atomic.Int64
	start := time.Now()
	r := newReplica(t, database(t), func() time.Time { return start.Add(time.Duration(elapsed.Load())) }, p)
	for id := range 100 {
		r.takes(fmt.Sprint(id))
	}
	elapsed.Store(int64(39 * time.Second))
	r.takes("0")
	if r.settle(); r.metric("rate_limit_callers") != 100 {
		t.Errorf("the control: %v callers", r.metric("rate_limit_callers"))
	}
	elapsed.Store(int64(50 * time.Second))
	if r.settle(); r.metric("rate_limit_callers") != 1 {
		t.Errorf("%v callers", r.metric("rate_limit_callers"))
	}
}

func TestPurgeDeletesFullBucketsOnly(t *testing.T) {
	t.Parallel()
	pool := database(t)
	if _, err := pool.Exec(t.Context(), `insert into request_limits values
		(decode(repeat('01', 16), 'hex'), now() - interval '1 second'), (decode(repeat('02', 16), 'hex'), now() + interval '1 hour')`); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, pool, time.Now)
	if _, err := r.Jobs()[1].RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	var key string
	if err := pool.QueryRow(t.Context(), "select encode(key, 'hex') from request_limits").Scan(&key); err != nil || key != strings.Repeat("02", 16) {
		t.Errorf("%s is left, %v", key, err)
	}
}

func TestPolicyWithoutARateLimitsNobody(t *testing.T) {
	t.Parallel()
	r := newReplica(t, nil, time.Now, ratelimit.Policy{Name: "user"})
	for range 10_000 {
		if q, err := r.Take(t.Context(), "user", "ann"); err != nil || q != (ratelimit.Quota{}) {
			t.Fatal(q, err)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	p := ratelimit.Policy{Name: "user", PerMinute: 1_000_000_000, Burst: 1_000_000_000}
	r := newReplica(b, database(b), time.Now, p).run()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Take(b.Context(), "user", "ann"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSettlement charges one caller and many, each time with one statement.
func BenchmarkSettlement(b *testing.B) {
	for _, callers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			p := ratelimit.Policy{Name: "user", PerMinute: 1, Burst: 1}
			r := newReplica(b, database(b), time.Now, p)
			var took []time.Duration
			for b.Loop() {
				for i := range callers {
					r.takes(fmt.Sprint(i, b.N, len(took)))
				}
				start := time.Now()
				r.settle()
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/statement")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkStatements makes 2,000 requests a second, below the limit, by one caller
// and by many.
func BenchmarkStatements(b *testing.B) {
	for _, callers := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			p := ratelimit.Policy{Name: "user", PerMinute: 180_000, Burst: 1000}
			if callers > 1 {
				p.PerMinute = 3000
			}
			r := newReplica(b, database(b), time.Now, p).run()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			n := 0
			for b.Loop() {
				for range 10 {
					if !r.takes(fmt.Sprint(n % callers)) {
						b.Fatal("refused")
					}
					n++
				}
				<-tick.C
			}
			b.ReportMetric(1000*r.metric("background_duration_seconds")/float64(n), "statements/1000")
			b.ReportMetric(0, "ns/op")
		})
	}
}
