package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/services/notification/internal/email"
)

// run runs the loop and its schedule until the test ends or stop is called,
// which returns how long they took to end.
func run(t testing.TB, l *Loop) (stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	running.Go(func() { _ = l.RunSchedule(ctx, Schedule{PollInterval: 20 * time.Millisecond}) })
	stop = sync.OnceValue(func() time.Duration {
		begin := time.Now()
		cancel()
		running.Wait()
		return time.Since(begin)
	})
	t.Cleanup(func() { stop() })
	return stop
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	const limit = 4 * time.Minute // far longer than any condition takes on a busy machine
	for deadline := time.Now().Add(limit); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// throttledTrial mails to a server that answers mails beyond a rate with reply, all
// of them until the pace is limited or many were refused, and stops throttling
// afterwards. It returns what differs from throttling.
func throttledTrial(t *testing.T, reply string) (wrong []string) {
	t.Helper()
	const window, allowed, mails = 100 * time.Millisecond, 5, 100
	var mu sync.Mutex
	var since time.Time
	var taken, refused int
	var limited, unlimited bool
	var l *Loop
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		mu.Lock()
		defer mu.Unlock()
		if e.Verb != "RCPT" || unlimited {
			return ""
		}
		limited = limited || l.Mailer.Status()[0].RateLimit > 0
		if (limited || refused >= mails/5) && time.Since(since) > window {
			since, taken = time.Now(), 0
		}
		if taken++; taken > allowed {
			refused++
			return reply
		}
		return ""
	}}).Start(t, "")
	l = newLoopTo(t, srv, func(c *email.Config) { c.PaceStep = 50 * time.Millisecond })
	l.Now, l.Policy = time.Now, Policy{RetryBase: 100 * time.Millisecond, RetryCap: time.Second, GiveUpAfter: time.Hour}
	seed(t, l.DB, time.Now(), time.Now(), mails)
	run(t, l)
	eventually(t, "all are mailed", func() bool { return srv.Count("") == mails })
	eventually(t, "all are settled", func() bool {
		return text(t, l.DB, "select count(*)::text from recipients where status = 'sent'") == fmt.Sprint(mails)
	})
	status := l.Mailer.Status()[0]
	if most := text(t, l.DB, "select max(attempts)::text from recipients"); most != "1" {
		wrong = append(wrong, "a recipient took "+most+" attempts")
	}
	mu.Lock()
	if !limited || status.Throttled == 0 {
		wrong = append(wrong, "the pace did not follow the server")
	}
	if refused > mails {
		wrong = append(wrong, fmt.Sprintf("%d mails were refused", refused))
	}
	unlimited = true
	mu.Unlock()
	if status.Open {
		wrong = append(wrong, "the server is held to be in trouble")
	}
	eventually(t, "the limit is lifted", func() bool { return l.Mailer.Status()[0].RateLimit == 0 })
	seed(t, l.DB, time.Now(), time.Now(), mails)
	eventually(t, "all are mailed at full speed", func() bool { return srv.Count("") == 2*mails })
	if l.Mailer.Status()[0].RateLimit > 0 {
		wrong = append(wrong, "the limit came back")
	}
	return wrong
}

func TestPaceFollowsAServerThatThrottlesAndRecovers(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"450 4.7.1 You are sending too fast, slow down", "454 Throttling failure: Maximum sending rate exceeded."} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			for _, w := range throttledTrial(t, reply) {
				t.Error(w)
			}
		})
	}
}

func TestControlServerThatRefusesForOtherReasonsIsNotPacedAndCostsAttempts(t *testing.T) {
	t.Parallel()
	wrong := strings.Join(throttledTrial(t, "450 4.2.0 Greylisted"), "; ")
	for _, want := range []string{"the pace did not follow", "attempts"} {
		if !strings.Contains(wrong, want) {
			t.Errorf("%q is not reported: the trial can't fail; it reported %s", want, wrong)
		}
	}
}

func TestOpenCircuitIsProbedWithADifferentRecipientEachTime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var probes []string
	var l *Loop
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb != "MAIL" {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		if !l.Mailer.UsableAt().IsZero() { // the conversation is a probe
			// The latest lease: that of the probe before may not be returned yet.
			probes = append(probes, text(t, l.DB, `select coalesce((select email from recipients
				where lease_token is not null order by leased_until desc limit 1), '')`))
		}
		return "421 4.3.2 Maintenance"
	}}).Start(t, "")
	l = newLoopTo(t, srv, func(c *email.Config) { c.CircuitBase, c.CircuitCap = 200*time.Millisecond, 200*time.Millisecond })
	l.Now = time.Now
	const recipients = 3
	seed(t, l.DB, time.Now(), time.Now(), recipients)
	stop := run(t, l)
	seen := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(probes)
	}
	eventually(t, "several probes", func() bool { return len(seen()) > 3*recipients })
	stop()
	// Recipients claimed before the trouble may still be leased during the first.
	list := seen()[recipients:]
	for i := 1; i < len(list); i++ {
		if list[i] == list[i-1] {
			t.Fatalf("probed with %q", list)
		}
	}
	slices.Sort(list)
	if n := len(slices.Compact(list)); n != recipients {
		t.Errorf("probed with %d recipients, want %d", n, recipients)
	}
}

func TestStopEndsASlowConversationInTimeAndStoresItsOutcome(t *testing.T) {
	t.Parallel()
	for verb, want := range map[string]string{"RCPT": "queued0", "DOT": "uncertain1"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			reached, release := make(chan struct{}), make(chan struct{})
			srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
				if e.Verb == verb {
					close(reached)
					<-release
				}
				return ""
			}}).Start(t, "")
			t.Cleanup(func() { close(release) })
			l := newLoopTo(t, srv, func(c *email.Config) { c.StopTimeout = 100 * time.Millisecond })
			l.Now, l.StopTimeout = time.Now, 30*time.Second
			seed(t, l.DB, time.Now(), time.Now(), 1)
			stop := run(t, l)
			<-reached
			if took := stop(); took > 20*time.Second {
				t.Errorf("the stop took %v", took)
			}
			if got := text(t, l.DB, "select status::text || attempts || coalesce(lease_token::text, '') from recipients"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
