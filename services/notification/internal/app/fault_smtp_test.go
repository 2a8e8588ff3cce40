package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// ops returns what the operations listener answers.
func ops(t testing.TB, s *service, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.ops.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitLimit); !holds(); pause() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", waitLimit, what)
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

// badAddressTrial mails to fifty good addresses and four bad ones. The server
// does not answer the mail to slow@ until all good addresses were mailed or limit
// has passed. It returns how many good ones were mailed until then.
func badAddressTrial(t *testing.T, connections int, limit time.Duration) (sent int, finish func() notifyapi.Notification) {
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
	c.SMTPConnections, c.GiveUpAfter = connections, 10*time.Second
	s := start(t, i, c)
	answer := sync.OnceFunc(func() { close(release) })
	t.Cleanup(answer)
	id := raise(t, s, append([]string{"slow@example.org", "unknown@example.org", "busy@example.org", "breaks@example.org"}, numbered("good", 50)...)...)
	<-stalled
	for deadline := time.Now().Add(limit); smtp.Count("") < 50 && time.Now().Before(deadline); {
		pause()
	}
	sent = smtp.Count("")
	answer()
	return sent, func() notifyapi.Notification { return s.until(t, id, notifyapi.StatusPartiallyFailed, waitLimit) }
}

func TestOneBadAddressDelaysNoOther(t *testing.T) {
	t.Parallel()
	sent, finish := badAddressTrial(t, 4, waitLimit)
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
	if sent, _ := badAddressTrial(t, 1, 500*time.Millisecond); sent > 0 {
		t.Errorf("%d were mailed over the connection of the bad address: the trial can't fail", sent)
	}
}

// lostReplyTrial mails to a server that takes the first mail and sends the given reply,
// and returns what is wrong with the repeat and its record. fault is SQL that
// runs first and disables a safeguard; it may be empty.
func lostReplyTrial(t *testing.T, reply, fault string) (wrong []string) {
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
	execute(t, url, fault)
	s := start(t, i, testConfig(url, i.url, smtp.Addr()))
	id := raise(t, s, "anna@example.org")
	n := s.until(t, id, notifyapi.StatusCompleted, waitLimit)
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
	if !strings.Contains(ops(t, s, "/metrics"), `notification_mails_total{outcome="uncertain"} 1`) {
		wrong = append(wrong, "the uncertain mail is not counted")
	}
	return wrong
}

func TestMailWhoseReplyWasLostIsRepeatedByteForByteAndCounted(t *testing.T) {
	t.Parallel()
	report(t, lostReplyTrial(t, smtptest.Drop, ""))
}

// datedByTheAttempt moves the source of the Date with each attempt, like a mailer
// that dates a mail when it sends it.
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
	mustFind(t, lostReplyTrial(t, smtptest.Drop, datedByTheAttempt), "the repeat for anna@example.org differs")
}

func TestControlMailWhoseReplyArrivedIsNotCountedAsUncertain(t *testing.T) {
	t.Parallel()
	mustFind(t, lostReplyTrial(t, "451 4.3.0 Try again", ""), "the attempts are", "the uncertain mail is not counted")
}

// largeNotificationTrial creates a notification with a thousand recipients, and a
// small one when a few of them are mailed and the server answers no more. It returns
// how many mails of the large one were sent before those of the small one, or that
// there were at least enough of them.
func largeNotificationTrial(t *testing.T, enough int, fault string) (before int) {
	t.Helper()
	hook, held, release := heldMails(40)
	smtp := startSMTP(t, hook)
	t.Cleanup(release)
	i := newIssuer(t)
	url := newDatabase(t)
	execute(t, url, fault)
	c := testConfig(url, i.url, smtp.Addr())
	c.SMTPConnections = 10
	s := start(t, i, c)
	raise(t, s, numbered("many", 1000)...)
	eventually(t, "some mails are sent and the next are held", func() bool { return held() == c.SMTPConnections })
	raise(t, s, "one@example.org", "two@example.org")
	release()
	eventually(t, "the small notification or enough of the large one is mailed", func() bool {
		sent := smtp.Messages()
		if before = slices.IndexFunc(sent, func(m smtptest.Message) bool { return m.To == "two@example.org" }); before < 0 {
			before = len(sent)
			return before >= enough
		}
		return true
	})
	return before
}

func TestThousandRecipientsDoNotDelayALaterTwo(t *testing.T) {
	t.Parallel()
	if before := largeNotificationTrial(t, 500, ""); before >= 500 {
		t.Errorf("%d of 1000 mails were sent before the small notification's", before)
	}
}

// firstComeFirstServed replaces the fair order by the order of requests.
const firstComeFirstServed = `
create function first_come() returns trigger language plpgsql as $$
begin
    new.queue_at := new.next_attempt_at;
    return new;
end $$;
create trigger first_come before insert on recipients for each row execute function first_come();`

func TestControlThousandRecipientsDelayALaterTwoWithoutFairOrder(t *testing.T) {
	t.Parallel()
	if before := largeNotificationTrial(t, 500, firstComeFirstServed); before < 500 {
		t.Errorf("only %d of 1000 mails were sent before without fair order: the trial can't fail", before)
	}
}

func TestReadinessDependsOnlyOnTheDatabase(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	want := fmt.Sprintf(`"smtp %s":"ok"`, smtp.Addr())
	if got := ops(t, s, "/readyz"); !strings.Contains(got, want) || !strings.Contains(got, `"database":"ok"`) {
		t.Errorf("readyz: %s", got)
	}
}
