package background_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fixdesk/pkg/background"
)

var errAway = errors.New("database away")

// run starts a loop inside a synctest bubble and stops it when the test ends.
func run(t *testing.T, c background.Config) *background.Loop {
	t.Helper()
	if c.Name == "" {
		c.Name = "job"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l := background.New(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return l
}

// step is what a run returns.
type step struct {
	again bool
	err   error
}

// recorder's runOnce returns one step after the other, then no work, and records the
// times.
type recorder struct {
	start time.Time
	steps []step
	runs  []time.Duration // since start
}

func newRecorder(steps ...step) *recorder { return &recorder{start: time.Now(), steps: steps} }

func (r *recorder) runOnce(context.Context) (bool, error) {
	r.runs = append(r.runs, time.Since(r.start))
	if n := len(r.runs); n <= len(r.steps) {
		return r.steps[n-1].again, r.steps[n-1].err
	}
	return false, nil
}

func (r *recorder) wantRuns(t *testing.T, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	if len(r.runs) != len(want) {
		t.Fatalf("ran at %v, want %v", r.runs, want)
	}
	for i := range want {
		if r.runs[i] != want[i] {
			t.Fatalf("ran at %v, want %v", r.runs, want)
		}
	}
}

func TestLoopRunsAtOnceAndThenOnceAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		run(t, background.Config{Interval: time.Minute, RunOnce: r.runOnce})
		time.Sleep(150 * time.Second)
		r.wantRuns(t, 0, time.Minute, 2*time.Minute)
	})
}

func TestLoopRunsAgainAtOnceWhileMoreWorkIsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(step{again: true}, step{again: true}, step{})
		run(t, background.Config{Interval: time.Minute, RunOnce: r.runOnce})
		time.Sleep(90 * time.Second)
		r.wantRuns(t, 0, 0, 0, time.Minute)
	})
}

func TestWakeEndsThePauseAndNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		l := run(t, background.Config{Interval: time.Hour, RunOnce: r.runOnce})
		time.Sleep(time.Second)
		l.Wake()
		r.wantRuns(t, 0, time.Second)
		for range 100 { // they cause one run, or two if one has already started
			l.Wake()
		}
		synctest.Wait()
		if n := len(r.runs); n != 3 && n != 4 {
			t.Errorf("%d runs", n)
		}
	})
}

func TestWakeDuringARunCausesAnotherOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loop atomic.Pointer[background.Loop]
		runs := 0
		loop.Store(run(t, background.Config{Interval: time.Hour, RunOnce: func(context.Context) (bool, error) {
			time.Sleep(time.Second)
			runs++
			if runs == 1 {
				loop.Load().Wake()
			}
			return false, nil
		}}))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if runs != 2 {
			t.Errorf("%d runs, want 2", runs)
		}
	})
}

func TestWakesWithinMinIntervalCauseOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		l := run(t, background.Config{Interval: time.Hour, MinInterval: time.Second, RunOnce: r.runOnce})
		for range 15 {
			l.Wake()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		r.wantRuns(t, 0, time.Second, 2*time.Second)
	})
}

func TestFailingLoopPausesLongerEachTimeAndIsNotWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := step{err: errAway}
		r := newRecorder(failed, failed, failed, failed, failed, step{err: background.RetryAfter(errAway, 30*time.Second)})
		l := run(t, background.Config{Interval: 5 * time.Second, RunOnce: r.runOnce})
		for range 14 {
			time.Sleep(500 * time.Millisecond)
			l.Wake()
		}
		time.Sleep(44 * time.Second)
		// Pauses of 1, 2 and 4 s, twice the interval of 5 s, then RetryAfter's. The
		// wakes meanwhile cause one more run.
		r.wantRuns(t, 0, 1*time.Second, 3*time.Second, 7*time.Second, 12*time.Second, 17*time.Second, 47*time.Second, 47*time.Second)
	})
}

func TestFailureAndRecoveryAreLoggedOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		failed := step{err: errAway}
		r := newRecorder(failed, failed, failed, step{})
		run(t, background.Config{
			Name: "outbox", Interval: time.Second, RunOnce: r.runOnce, Log: slog.New(slog.NewTextHandler(&out, nil)),
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if strings.Count(out.String(), "\n") != 2 ||
			!strings.Contains(out.String(), `level=ERROR msg="background job fails" job=outbox error="database away"`) ||
			!strings.Contains(out.String(), `level=INFO msg="background job works again" job=outbox failures=3`) {
			t.Errorf("log:\n%s", out.String())
		}
	})
}

func TestPanicIsLoggedWithItsStackAndTheLoopGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		runs := 0
		run(t, background.Config{
			Interval: time.Second, Log: slog.New(slog.NewTextHandler(&out, nil)),
			RunOnce: func(context.Context) (bool, error) {
				runs++
				if runs == 1 {
					panic("nil map")
				}
				return false, nil
			},
		})
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if runs != 2 || !strings.Contains(out.String(), `error="panic: nil map"`) || !strings.Contains(out.String(), "background_test.go") {
			t.Errorf("%d runs, log:\n%s", runs, out.String())
		}
	})
}

func TestTimeoutEndsOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []error
		run(t, background.Config{Interval: time.Hour, Timeout: time.Minute, RunOnce: func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			ended = append(ended, ctx.Err())
			return false, nil
		}})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(ended) != 1 || !errors.Is(ended[0], context.DeadlineExceeded) {
			t.Errorf("ended %v", ended)
		}
	})
}

func TestStopEndsTheRunUnderWayWithoutALogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := background.New(background.Config{
			Name: "job", Interval: time.Hour, Log: slog.New(slog.NewTextHandler(&out, nil)),
			RunOnce: func(ctx context.Context) (bool, error) { <-ctx.Done(); return true, ctx.Err() },
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := l.Run(ctx); err != nil || out.Len() > 0 {
			t.Errorf("Run returned %v and logged %s", err, out.String())
		}
	})
}

func TestExclusiveLoopsOfTwoReplicasNeverRunAtTheSameTime(t *testing.T) {
	for name, test := range map[string]struct {
		exclusive bool
		together  int
	}{"exclusive": {true, 1}, "control: not exclusive": {false, 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lock, count sync.Mutex
				running, most, total := 0, 0, 0
				c := background.Config{Interval: time.Second, RunOnce: func(context.Context) (bool, error) {
					count.Lock()
					running++
					total++
					most = max(most, running)
					count.Unlock()
					time.Sleep(1500 * time.Millisecond)
					count.Lock()
					running--
					count.Unlock()
					return false, nil
				}}
				if test.exclusive {
					c.Exclusive = func(ctx context.Context, _ string, run func(context.Context) error) (bool, error) {
						if !lock.TryLock() {
							return false, nil
						}
						defer lock.Unlock()
						return true, run(ctx)
					}
				}
				run(t, c)
				run(t, c)
				time.Sleep(time.Minute)
				count.Lock()
				defer count.Unlock()
				if most != test.together || total < 20 {
					t.Errorf("%d at the same time in %d runs, want %d", most, total, test.together)
				}
			})
		})
	}
}

func TestMetricsHaveLastSuccessAndDurationOfEachJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		metrics := background.NewMetrics(registry)
		r := newRecorder(step{}, step{err: errAway})
		run(t, background.Config{Name: "purge", Interval: time.Hour, RunOnce: r.runOnce, Metrics: metrics})
		run(t, background.Config{Name: "broken", Interval: time.Hour, RunOnce: newRecorder(step{err: errAway}).runOnce, Metrics: metrics})
		first := time.Now().Unix()
		time.Sleep(time.Hour + time.Millisecond)
		synctest.Wait()
		gauges, failures := map[string]float64{}, map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				job := m.GetLabel()[0].GetValue()
				switch f.GetName() {
				case "background_last_success_timestamp_seconds":
					gauges[job] = m.GetGauge().GetValue()
				case "background_interval_seconds":
					if m.GetGauge().GetValue() != 3600 {
						t.Errorf("an interval of %v s", m.GetGauge().GetValue())
					}
				case "background_failures_total":
					failures[job] = m.GetCounter().GetValue()
				case "background_duration_seconds":
					if job == "purge" && m.GetHistogram().GetSampleCount() != 2 {
						t.Errorf("%d runs measured, want 2", m.GetHistogram().GetSampleCount())
					}
				}
			}
		}
		// The second run failed, so the last success is the first run.
		if int64(gauges["purge"]) != first || gauges["broken"] == gauges["purge"] {
			t.Errorf("last success %v, want purge at %d", gauges, first)
		}
		if failures["purge"] != 1 || failures["broken"] != 1 {
			t.Errorf("failures %v", failures)
		}
		if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
	})
}

func TestDatabaseThatFailsIsLoggedOnceForAllJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, shared := range []bool{true, false} {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, nil))
			metrics := background.NewMetrics(prometheus.NewRegistry())
			if shared {
				metrics.Database = &background.Dependency{
					Fails:     func(err error) bool { return errors.Is(err, errAway) },
					Suspected: func(err error) bool { return errors.Is(err, io.EOF) },
					Late:      isDeadline,
					Ask:       func(context.Context) error { return nil },
					Now:       time.Now,
				}
			}
			job := func(name string, remote bool, errs ...error) {
				r := &background.Reporter{Job: name, Log: log, Metrics: metrics, Remote: remote}
				for _, err := range errs {
					r.Report(t.Context(), err)
				}
			}
			job("purge", false, nil, errAway, errAway)
			job("outbox", true, errAway)
			job("gauges", false, io.EOF)
			job("gauges", false, nil)
			job("purge", false, nil)
			if text := out.String(); shared && (strings.Count(text, "\n") != 1 || !strings.Contains(text, `level=ERROR msg="background jobs have no database" job=purge`)) {
				t.Errorf("log of an outage:\n%s", text)
			} else if !shared && strings.Count(text, "level=ERROR") != 3 {
				t.Errorf("control: the log of jobs that share nothing:\n%s", text)
			}
			job("outbox", true, nil)
			if text := out.String(); shared && (strings.Count(text, "\n") != 2 || !strings.Contains(text, `level=INFO msg="background jobs have their database again" failures=4`)) {
				t.Errorf("log after an outage:\n%s", text)
			}
			out.Reset()
			job("outbox", true, io.EOF) // may be another server's
			if shared && !strings.Contains(out.String(), `msg="background job fails" job=outbox`) {
				t.Errorf("log of a job whose own server fails:\n%s", out.String())
			}
		}
	})
}

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

func TestTimeLimitsAreLoggedOnceForAllJobsWhileTheDatabaseDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			answer error
			errors int
		}{{errAway, 1}, {nil, 2}} { // it answers again: the first late job, and the mailbox, which another server may have failed
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, nil))
			metrics := background.NewMetrics(prometheus.NewRegistry())
			answer := test.answer
			metrics.Database = &background.Dependency{
				Fails:     func(err error) bool { return errors.Is(err, errAway) },
				Suspected: func(err error) bool { return errors.Is(err, io.EOF) },
				Late:      isDeadline,
				Ask:       func(context.Context) error { return answer },
				Now:       time.Now,
			}
			reporters := map[string]*background.Reporter{}
			report := func(job string, remote bool, err error) {
				if reporters[job] == nil {
					reporters[job] = &background.Reporter{Job: job, Log: log, Metrics: metrics, Remote: remote}
				}
				reporters[job].Report(t.Context(), err)
			}
			report("purge", false, fmt.Errorf("purge: %w", context.DeadlineExceeded))
			report("outbox", true, context.DeadlineExceeded)
			report("mailbox", true, io.EOF)
			answer = nil
			report("leases", false, context.DeadlineExceeded) // began before
			for job := range reporters {
				report(job, false, nil)
			}
			report("leases", false, context.DeadlineExceeded) // as this did, on another connection
			if got := strings.Count(out.String(), "level=ERROR"); got != test.errors {
				t.Errorf("asked for, it answers %v: %d errors in the log, want %d:\n%s", test.answer, got, test.errors, out.String())
			}
			time.Sleep(20 * time.Second)
			report("purge", false, context.DeadlineExceeded)
			if got := strings.Count(out.String(), "level=ERROR"); got != test.errors+1 {
				t.Errorf("a job that is slow by itself, after an outage:\n%s", out.String())
			}
			time.Sleep(20 * time.Second)
			report("leases", false, context.DeadlineExceeded)
			if got := strings.Count(out.String(), `msg="background job fails" job=leases`); got != 1 {
				t.Errorf("another one later has %d lines:\n%s", got, out.String())
			}
		}
	})
}

func TestFailureOfARemoteJobThatAStopFollowsIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			remote bool
			stop   time.Duration
			lines  int
		}{{true, 500 * time.Millisecond, 0}, {true, 1500 * time.Millisecond, 1}, {false, 500 * time.Millisecond, 1}} {
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), test.stop)
			l := background.New(background.Config{
				Name: "inbound mail", Interval: time.Second, Remote: test.remote, Log: slog.New(slog.NewTextHandler(&out, nil)),
				RunOnce: func(context.Context) (bool, error) { return false, errAway },
			})
			if err := l.Run(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			if strings.Count(out.String(), "\n") != test.lines {
				t.Errorf("remote %t, stopped after %v: logged %q", test.remote, test.stop, out.String())
			}
		}
	})
}
