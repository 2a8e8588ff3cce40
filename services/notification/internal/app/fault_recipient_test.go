package app_test

import (
	"context"
	"fmt"
	"net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// refusedRecipientTrial mails over one connection to an address whose mail the
// server answers with 421 at the step verb, and to ten later addresses, which it
// answers so too if all is set. It returns how many of the ten were mailed within
// limit, the result, and whether the server was held to be in trouble, after which
// nothing is sent for a while.
func refusedRecipientTrial(t *testing.T, verb string, all bool, limit time.Duration) (mailed int, n notifyapi.Notification, blamed bool) {
	t.Helper()
	const refused = "refused@example.org"
	smtp := startSMTP(t, func(e smtptest.Event) string {
		to := e.To
		if e.Verb == "RCPT" {
			to = e.Arg
		}
		if e.Verb == verb && (all || to == refused) {
			return "421 4.3.2 Closing the connection"
		}
		return ""
	})
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	c.SMTPConnections = 1
	s := start(t, i, c)
	id := raise(t, s, append([]string{refused}, numbered("good", 10)...)...)
	for deadline := time.Now().Add(limit); smtp.Count("") < 10 && time.Now().Before(deadline); {
		pause()
	}
	mailed = smtp.Count("")
	eventually(t, "the tries are recorded", func() bool {
		var err error
		n, err = s.Get(context.Background(), id)
		return err == nil && n.Recipients[0].Attempts > 0 && n.Counts.Sent == mailed
	})
	return mailed, n, strings.Contains(s.log.String(), "mail server in trouble")
}

func TestRecipientAlwaysAnswered421DelaysNoOther(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"RCPT", "DATA", "DOT"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			mailed, n, blamed := refusedRecipientTrial(t, verb, false, waitLimit)
			if mailed != 10 || blamed {
				t.Errorf("%d of the others were mailed, want 10; the server is blamed: %t", mailed, blamed)
			}
			for i, r := range n.Recipients {
				if i > 0 && (r.Status != notifyapi.RecipientSent || r.Attempts != 1) {
					t.Errorf("%+v", r)
				}
			}
			if r := n.Recipients[0]; r.LastError == nil || !strings.Contains(*r.LastError, "4.3.2 Closing") {
				t.Errorf("the refused recipient: %+v", r)
			}
		})
	}
}

func TestControlServerThatAlwaysAnswers421SendsNoMail(t *testing.T) {
	t.Parallel()
	if mailed, _, blamed := refusedRecipientTrial(t, "RCPT", true, time.Second); mailed > 0 || !blamed {
		t.Errorf("%d were mailed though all are refused, the server is blamed: %t: the trial can't fail", mailed, blamed)
	}
}

// slowServerTrial mails to a server that answers its first message after the given
// time, or when it gets the message again, and returns what is wrong with the
// result. fault is SQL that runs first and disables a safeguard; it may be empty.
func slowServerTrial(t *testing.T, lease, answer time.Duration, fault string) (wrong []string) {
	t.Helper()
	var dots atomic.Int32
	again := make(chan struct{})
	sentAgain := sync.OnceFunc(func() { close(again) })
	smtp := startSMTP(t, func(e smtptest.Event) string {
		switch {
		case e.Verb != "DOT":
		case dots.Add(1) == 1:
			select {
			case <-again:
			case <-time.After(answer):
			}
		default:
			sentAgain()
		}
		return ""
	})
	i := newIssuer(t)
	url := newDatabase(t)
	execute(t, url, fault)
	c := testConfig(url, i.url, smtp.Addr())
	c.Lease = lease
	s := start(t, i, c)
	n := s.until(t, raise(t, s, "anna@example.org"), notifyapi.StatusCompleted, waitLimit)
	if sent := dots.Load(); sent != 1 {
		wrong = append(wrong, fmt.Sprintf("the mail was sent %d times", sent))
	}
	return append(wrong, extraAttempts(n.Recipients)...)
}

func TestMailWhoseAnswerTakesSeveralLeasesIsSentOnce(t *testing.T) {
	t.Parallel()
	const lease = 6 * time.Second // a busy machine renews late
	report(t, slowServerTrial(t, lease, 9*lease/4, ""))
}

// notRenewed prevents the renewal of leases.
const notRenewed = `
create function not_renewed() returns trigger language plpgsql as $$
begin
    new.leased_until := old.leased_until;
    return new;
end $$;
create trigger not_renewed before update on recipients for each row
    when (old.lease_token = new.lease_token) execute function not_renewed();`

func TestControlMailWhoseLeaseIsNotRenewedIsSentAgain(t *testing.T) {
	t.Parallel()
	mustFind(t, slowServerTrial(t, time.Second, waitLimit, notRenewed), "the mail was sent")
}

func TestUncertainRecipientIsRepeatedAFewTimesAndReportedFailed(t *testing.T) {
	t.Parallel()
	var dots atomic.Int32
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "DOT" {
			dots.Add(1)
			return smtptest.Drop
		}
		return ""
	})
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	n := s.until(t, raise(t, s, "anna@example.org"), notifyapi.StatusFailed, waitLimit)
	r := n.Recipients[0]
	if r.Status != notifyapi.RecipientUncertain || r.NextAttemptAt != nil || r.Attempts != 4 || dots.Load() != 4 {
		t.Errorf("after %d mails: %+v", dots.Load(), r)
	}
	if n, err := s.Retry(context.Background(), n.ID); err != nil || n.Status == notifyapi.StatusFailed { // counted anew
		t.Fatalf("%+v, %v", n, err)
	}
	if n := s.until(t, n.ID, notifyapi.StatusFailed, waitLimit); n.Recipients[0].Attempts != 8 {
		t.Errorf("after a manual retry: %+v", n.Recipients[0])
	}
}

// dates creates a notification that is not to be sent before the result of
// notBefore, which is called when the service has started, at a server whose first
// reply is lost. It returns the dates of its two mails and the time of its
// creation.
func dates(t *testing.T, notBefore func() time.Time) (first, second, created time.Time) {
	t.Helper()
	var messages []string
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb != "DOT" {
			return ""
		}
		messages = append(messages, e.Arg) // one connection: one at a time
		if len(messages) == 1 {
			return smtptest.Drop
		}
		return ""
	})
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	c.SMTPConnections = 1
	s := start(t, i, c)
	request := newMail("anna@example.org")
	due := notBefore()
	request.NotBefore = &due
	n, err := s.Create(context.Background(), uuid.NewString(), request)
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	if len(messages) != 2 || messages[0] != messages[1] {
		t.Fatalf("the repeat differs: %q", messages)
	}
	var parsed [2]time.Time
	for i, text := range messages {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if parsed[i], err = m.Header.Date(); err != nil {
			t.Fatal(err)
		}
	}
	return parsed[0], parsed[1], n.CreatedAt.Truncate(time.Second)
}

func TestMailDueBeforeItsCreationIsDatedByItsCreation(t *testing.T) {
	t.Parallel()
	first, second, created := dates(t, func() time.Time { return time.Date(2001, 1, 2, 3, 4, 5, 0, time.UTC) })
	if !first.Equal(created) || !second.Equal(created) {
		t.Errorf("dated %v and %v, created %v", first, second, created)
	}
}

func TestDelayedMailIsDatedByItsDueTime(t *testing.T) {
	t.Parallel()
	var notBefore time.Time
	first, _, created := dates(t, func() time.Time {
		notBefore = time.Now().Add(2 * time.Second).Truncate(time.Second)
		return notBefore
	})
	if !first.Equal(notBefore) || !created.Before(notBefore) {
		t.Errorf("dated %v, not before %v, created %v", first, notBefore, created)
	}
}
