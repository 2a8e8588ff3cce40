package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// body returns what an unauthenticated path answers.
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
	for deadline := time.Now().Add(patience); !holds(); pause() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
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

// badAddresses mails to fifty good addresses among bad ones, of which one keeps
// its connection until it is released or the good ones' time is over. It returns
// how many of the good ones were mailed meanwhile.
func badAddresses(t *testing.T, connections int, limit time.Duration) (sent int, finish func() notifyapi.Notification) {
	t.Helper()
	stalled, release := make(chan struct{}), make(chan struct{})
	stall := sync.OnceFunc(func() { close(stalled) })
	smtp := startSMTP(t, func(e smtptest.Event) string {
		switch {
		case e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "unknown"):
			return "550 5.1.1 No such user"
		case e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "busy"):
			return "450 4.2.1 Mailbox busy"
		case e.Verb == "DOT" && strings.HasPrefix(e.To, "slow"):
			stall()
			<-release
		case e.Verb == "DOT" && strings.HasPrefix(e.To, "breaks"):
			return smtptest.Drop
		}
		return ""
	})
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	c.SMTPConnections, c.GiveUpAfter = connections, 3*time.Second
	s := start(t, i, c)
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	id := raise(t, s, append([]string{"slow@example.org", "unknown@example.org", "busy@example.org", "breaks@example.org"}, numbered("good", 50)...)...)
	<-stalled
	for deadline := time.Now().Add(limit); smtp.Count("") < 50 && time.Now().Before(deadline); {
		pause()
	}
	sent = smtp.Count("")
	let()
	return sent, func() notifyapi.Notification { return s.until(t, id, notifyapi.StatusPartiallyFailed, patience) }
}

func TestOneBadAddressDelaysNoOther(t *testing.T) {
	t.Parallel()
	sent, finish := badAddresses(t, 4, patience)
	if sent != 50 {
		t.Errorf("%d good addresses were mailed meanwhile, want 50", sent)
	}
	n := finish()
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

func TestControlBadAddressDelaysOthersOnASingleConnection(t *testing.T) {
	t.Parallel()
	if sent, _ := badAddresses(t, 1, 500*time.Millisecond); sent > 0 {
		t.Errorf("%d were mailed past the bad address on its own connection: the trial can't fail", sent)
	}
}

// lostAnswer mails to a server that takes the first mail and sends the given reply,
// and returns what is wrong with the repeat and its record. With a sabotage, it
// is done to the database first.
func lostAnswer(t *testing.T, reply, sabotage string) (wrong []string) {
	t.Helper()
	var mu sync.Mutex
	var taken []smtptest.Message
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb != "DOT" {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, smtptest.Message{To: e.To, Data: e.Arg})
		if len(taken) == 1 {
			return reply // after the server has the message
		}
		return ""
	})
	i := newIssuer(t)
	url := newDatabase(t)
	execute(t, url, sabotage)
	s := start(t, i, testConfig(url, i.url, smtp.Addr()))
	id := raise(t, s, "anna@example.org")
	n := s.until(t, id, notifyapi.StatusCompleted, patience)
	mu.Lock()
	defer mu.Unlock()
	if len(taken) != 2 {
		wrong = append(wrong, fmt.Sprintf("%d mails, want 2", len(taken)))
	}
	wrong = append(wrong, differingRepeats(taken)...)
	attempts, err := s.Attempts(context.Background(), id, n.Recipients[0].ID, 0, "")
	if err != nil || len(attempts.Items) != 2 {
		t.Fatalf("%+v, %v", attempts, err)
	}
	if a := attempts.Items; a[0].Outcome != notifyapi.OutcomeSent || a[1].Outcome != notifyapi.OutcomeUncertain || a[1].Code != nil || a[0].Number != 2 {
		wrong = append(wrong, fmt.Sprintf("the attempts are %+v", a))
	}
	if !strings.Contains(body(t, s, "/metrics"), `notification_mails_total{outcome="uncertain"} 1`) {
		wrong = append(wrong, "the uncertain mail is not counted")
	}
	return wrong
}

func TestMailWhoseReplyWasLostIsRepeatedByteForByteAndCounted(t *testing.T) {
	t.Parallel()
	report(t, lostAnswer(t, smtptest.Drop, ""))
}

// datedByTheAttempt moves what the Date comes from with each attempt, as in a
// mailer that dates a mail when it sends it.
const datedByTheAttempt = `
create function date_by_attempt() returns trigger language plpgsql as $$
begin
    update notifications set created_at = created_at + interval '1 minute' where id = new.notification_id;
    return null;
end $$;
create trigger date_by_attempt after update on recipients for each row
    when (new.attempts > old.attempts) execute function date_by_attempt();`

func TestControlMailDatedByItsAttemptIsRepeatedWithOtherBytes(t *testing.T) {
	t.Parallel()
	mustFind(t, lostAnswer(t, smtptest.Drop, datedByTheAttempt), "the repeat for anna@example.org differs")
}

func TestControlMailWhoseReplyArrivedIsNotCountedAsUncertain(t *testing.T) {
	t.Parallel()
	mustFind(t, lostAnswer(t, "451 4.3.0 Try again", ""), "the attempts are", "the uncertain mail is not counted")
}

// busyQueue raises a notification with a thousand recipients at a slow server,
// then a small one, and returns how many mails of the large one were sent
// before those of the small one.
func busyQueue(t *testing.T, sabotage string) int {
	t.Helper()
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "DOT" {
			<-time.After(10 * time.Millisecond)
		}
		return ""
	})
	i := newIssuer(t)
	url := newDatabase(t)
	execute(t, url, sabotage)
	c := testConfig(url, i.url, smtp.Addr())
	c.SMTPConnections = 10
	s := start(t, i, c)
	raise(t, s, numbered("many", 1000)...)
	smtp.Wait(t, 40, patience)
	s.until(t, raise(t, s, "one@example.org", "two@example.org"), notifyapi.StatusCompleted, patience)
	before := smtp.Messages()
	return slices.IndexFunc(before, func(m smtptest.Message) bool { return m.To == "two@example.org" })
}

func TestThousandRecipientsDoNotDelayALaterTwo(t *testing.T) {
	t.Parallel()
	if before := busyQueue(t, ""); before > 500 {
		t.Errorf("%d of 1000 mails were sent before the small notification's", before)
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

func TestControlThousandRecipientsDelayALaterTwoWithoutFairOrder(t *testing.T) {
	t.Parallel()
	if before := busyQueue(t, firstComeFirstServed); before < 900 {
		t.Errorf("only %d of 1000 mails were sent before without fair places: the trial can't fail", before)
	}
}

func TestReadinessDependsOnlyOnTheDatabase(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	want := fmt.Sprintf(`"smtp %s":"ok"`, smtp.Addr())
	if got := body(t, s, "/readyz"); !strings.Contains(got, want) || !strings.Contains(got, `"database":"ok"`) {
		t.Errorf("readyz: %s", got)
	}
}
