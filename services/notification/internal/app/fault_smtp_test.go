package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/config"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/smtptest"
)

// body gives what an unauthenticated path answers.
func body(t testing.TB, s *service, path string) string {
	t.Helper()
	resp, err := s.HTTPClient.Get(s.BaseURL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
	}
	return string(b)
}

// eventually asks until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); pause() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func raise(t testing.TB, s *service, recipients ...string) uuid.UUID {
	t.Helper()
	n, err := s.Create(context.Background(), uuid.NewString(), newMail(recipients...))
	if err != nil {
		t.Fatal(err)
	}
	return n.ID
}

// switched gives a hook that answers verb with reply until it is switched off.
func switched(verb, reply string) (hook func(smtptest.Event) string, off func()) {
	var isOff atomic.Bool
	return func(e smtptest.Event) string {
		if e.Verb == verb && !isOff.Load() {
			return reply
		}
		return ""
	}, func() { isOff.Store(true) }
}

func TestServerTroubleBurnsNobodysAttemptAndShows(t *testing.T) {
	for _, tc := range []struct{ verb, reply string }{
		{"CONNECT", "421 4.3.2 Maintenance"},
		{"CONNECT", smtptest.Drop},
		{"MAIL", "550 5.7.1 Sender refused"},
		{"RCPT", "421 4.7.0 Too much"},
		{"RCPT", "530 5.7.0 Authenticate first"},
	} {
		t.Run(tc.verb+" "+tc.reply, func(t *testing.T) {
			hook, off := switched(tc.verb, tc.reply)
			smtp := startSMTP(t, hook)
			i := newIssuer(t)
			s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
			id := raise(t, s, numbered("r", 20)...)
			eventually(t, "trouble shows", func() bool { return strings.Contains(body(t, s, "/readyz"), "in trouble since") })
			if !strings.Contains(body(t, s, "/metrics"), `notification_smtp_circuit_open{server="`+smtp.Addr()+`"} 1`) {
				t.Error("the metric does not show the trouble")
			}
			off()
			n := s.until(t, id, notifyapi.StatusCompleted, 15*time.Second)
			for _, r := range n.Recipients {
				if r.Attempts != 1 {
					t.Errorf("%s took %d attempts", r.Email, r.Attempts)
				}
			}
			if strings.Contains(body(t, s, "/readyz"), "in trouble") {
				t.Error("the trouble still shows")
			}
			if smtp.Count("") != 20 {
				t.Errorf("%d mails, want 20", smtp.Count(""))
			}
		})
	}
}

func TestServerThatIsDownOrRefusesTheLoginBurnsNobodysAttempt(t *testing.T) {
	i := newIssuer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c := testConfig(newDatabase(t), i.url)
	c.SMTPURL = config.NewSecret("smtp://joe:canary-password@" + address)
	s := start(t, i, c)
	id := raise(t, s, numbered("r", 5)...)
	trouble := func() bool { return strings.Contains(body(t, s, "/readyz"), "in trouble since") }
	eventually(t, "the trouble of a server that is down shows", trouble)

	var good atomic.Bool
	smtp := (&smtptest.Server{Auth: func(_, user, password string) bool {
		return good.Load() && user == "joe" && password == "canary-password"
	}}).Start(t, address)
	eventually(t, "the login is refused", func() bool { return len(smtp.Verbs("AUTH")) > 0 })
	if n, err := s.Get(context.Background(), id); err != nil || n.Counts.Sent+n.Counts.Failed+n.Counts.Delayed > 0 {
		t.Errorf("%+v, %v", n.Counts, err)
	}
	good.Store(true)
	n := s.until(t, id, notifyapi.StatusCompleted, 15*time.Second)
	for _, r := range n.Recipients {
		if r.Attempts != 1 {
			t.Errorf("%s took %d attempts", r.Email, r.Attempts)
		}
	}
	if out := s.log.String() + body(t, s, "/metrics") + body(t, s, "/readyz"); strings.Contains(out, "canary") {
		t.Error("the password shows")
	}
}

func TestOneBadAddressHoldsNobodyUp(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	smtp := startSMTP(t, func(e smtptest.Event) string {
		switch {
		case e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "unknown"):
			return "550 5.1.1 No such user"
		case e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "busy"):
			return "450 4.2.1 Mailbox busy"
		case e.Verb == "DOT" && strings.HasPrefix(e.To, "slow"):
			<-release
		case e.Verb == "DOT" && strings.HasPrefix(e.To, "breaks"):
			return smtptest.Drop
		}
		return ""
	})
	t.Cleanup(func() { once.Do(func() { close(release) }) })
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	c.GiveUpAfter = 400 * time.Millisecond
	c.SMTPTimeout, c.Lease = 5*time.Second, 15*time.Second
	s := start(t, i, c)
	id := raise(t, s, append([]string{"slow@example.org", "unknown@example.org", "busy@example.org", "breaks@example.org"}, numbered("good", 50)...)...)
	eventually(t, "the good ones are sent", func() bool { return smtp.Count("") >= 50 })
	once.Do(func() { close(release) })
	n := s.until(t, id, notifyapi.StatusPartiallyFailed, 15*time.Second)
	if n.Counts.Sent != 51 || n.Counts.Failed != 2 || n.Counts.Uncertain != 1 {
		t.Errorf("%+v", n.Counts)
	}
	want := map[string]struct {
		status notifyapi.RecipientStatus
		error  string
		many   bool
	}{
		"unknown@example.org": {notifyapi.RecipientFailed, "5.1.1 No such user", false},
		"busy@example.org":    {notifyapi.RecipientFailed, "4.2.1 Mailbox busy", true},
		"breaks@example.org":  {notifyapi.RecipientUncertain, "", true},
	}
	for _, r := range n.Recipients {
		w, special := want[r.Email]
		if !special {
			if r.Status != notifyapi.RecipientSent || r.Attempts != 1 || r.LastError != nil {
				t.Errorf("%+v", r)
			}
			continue
		}
		if r.Status != w.status || r.LastError == nil || !strings.Contains(*r.LastError, w.error) || (r.Attempts > 1) != w.many || r.NextAttemptAt != nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestMailWhoseAnswerWasLostComesAgainToTheByteAndIsCounted(t *testing.T) {
	var mu sync.Mutex
	var taken []string
	var broke atomic.Bool
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb != "DOT" {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, e.Arg)
		if !broke.Swap(true) {
			return smtptest.Drop // after the server has the message
		}
		return ""
	})
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	id := raise(t, s, "anna@example.org")
	n := s.until(t, id, notifyapi.StatusCompleted, 15*time.Second)
	mu.Lock()
	defer mu.Unlock()
	if len(taken) != 2 || taken[0] != taken[1] {
		t.Errorf("%d mails, equal: %v", len(taken), len(taken) == 2 && taken[0] == taken[1])
	}
	attempts, err := s.Attempts(context.Background(), id, n.Recipients[0].ID, 0, "")
	if err != nil || len(attempts.Items) != 2 {
		t.Fatalf("%+v, %v", attempts, err)
	}
	if a := attempts.Items; a[0].Outcome != notifyapi.OutcomeSent || a[1].Outcome != notifyapi.OutcomeUncertain || a[1].Code != nil || a[0].Number != 2 {
		t.Errorf("%+v", a)
	}
	if !strings.Contains(body(t, s, "/metrics"), `notification_mails_total{verdict="uncertain"} 1`) {
		t.Error("the uncertain mail is not counted")
	}
}

func TestSecondMailServerTakesOverAndTheFirstComesBack(t *testing.T) {
	hook, off := switched("CONNECT", "421 4.3.2 Maintenance")
	first, second := startSMTP(t, hook), startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, first.Addr(), second.Addr()))
	s.until(t, raise(t, s, numbered("r", 10)...), notifyapi.StatusCompleted, 15*time.Second)
	if second.Count("") != 10 || first.Count("") != 0 {
		t.Errorf("first %d, second %d", first.Count(""), second.Count(""))
	}
	off()
	eventually(t, "the first server is used again", func() bool {
		raise(t, s, "again@example.org")
		return first.Count("") > 0
	})
}

// busyQueue raises a notification with a thousand recipients at a server that
// takes 50 ms a mail, then a small one, and gives how long the small one took.
func busyQueue(t *testing.T, sabotage string) time.Duration {
	t.Helper()
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "DOT" {
			<-time.After(50 * time.Millisecond)
		}
		return ""
	})
	i := newIssuer(t)
	url := newDatabase(t)
	if sabotage != "" {
		execute(t, url, sabotage)
	}
	c := testConfig(url, i.url, smtp.Addr())
	c.SMTPConnections = 10
	s := start(t, i, c)
	raise(t, s, numbered("many", 1000)...)
	smtp.Wait(t, 40, 15*time.Second)
	begin := time.Now()
	s.until(t, raise(t, s, "one@example.org", "two@example.org"), notifyapi.StatusCompleted, 30*time.Second)
	return time.Since(begin)
}

func TestThousandRecipientsDoNotHoldUpALaterTwo(t *testing.T) {
	if took := busyQueue(t, ""); took > 2*time.Second {
		t.Errorf("the small notification took %v, want at most 2 s", took)
	}
}

// firstComeFirstServed takes the fair places away.
const firstComeFirstServed = `
create function first_come() returns trigger language plpgsql as $$
begin
    new.queue_at := new.next_attempt_at;
    return new;
end $$;
create trigger first_come before insert on recipients for each row execute function first_come();`

func TestControlWithoutFairPlacesThousandRecipientsHoldUpALaterTwo(t *testing.T) {
	if took := busyQueue(t, firstComeFirstServed); took < 2*time.Second {
		t.Errorf("took only %v without fair places: the trial can't fail", took)
	}
}

func TestReadinessIsAboutTheDatabase(t *testing.T) {
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	want := fmt.Sprintf(`"smtp %s":"ok"`, smtp.Addr())
	if got := body(t, s, "/readyz"); !strings.Contains(got, want) || !strings.Contains(got, `"database":"ok"`) {
		t.Errorf("readyz: %s", got)
	}
}
