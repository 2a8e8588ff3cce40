package app_test

import (
	"errors"
	"net/mail"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

func TestReplyToIsTheAddressForAnswersInTheMail(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	reply := "Support+42.5f3a@EXAMPLE.org"
	r := newMail("a@example.org")
	r.ReplyTo = &reply
	n, err := s.Create(t.Context(), "with", r)
	if err != nil || n.ReplyTo == nil || *n.ReplyTo != "support+42.5f3a@example.org" {
		t.Fatalf("%+v, %v", n.ReplyTo, err)
	}
	s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	without, err := s.Create(t.Context(), "without", newMail("b@example.org")) // the control
	if err != nil || without.ReplyTo != nil {
		t.Fatalf("%+v, %v", without.ReplyTo, err)
	}
	s.until(t, without.ID, notifyapi.StatusCompleted, waitLimit)
	for _, m := range smtp.Messages() {
		read, err := mail.ReadMessage(strings.NewReader(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"a@example.org": "<support+42.5f3a@example.org>"}[m.To]
		if got := read.Header.Get("Reply-To"); got != want {
			t.Errorf("the mail to %s has Reply-To %q, want %q", m.To, got, want)
		}
	}
}

func TestReplyToBeyondASCIIIsSentOnlyToAServerThatTakesIt(t *testing.T) {
	t.Parallel()
	for offered, want := range map[bool]notifyapi.Status{true: notifyapi.StatusCompleted, false: notifyapi.StatusFailed} {
		server := &smtptest.Server{}
		if offered {
			server.Extensions = []string{"SMTPUTF8"}
		}
		smtp := server.Start(t, "")
		i := newIssuer(t)
		s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
		reply := "jürgen@example.org"
		r := newMail("a@example.org")
		r.ReplyTo = &reply
		n, err := s.Create(t.Context(), "k", r)
		if err != nil {
			t.Fatal(err)
		}
		s.until(t, n.ID, want, waitLimit)
	}
}

func TestNotificationThatExpiresIsNotSentNorRetried(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "busy") {
			return "450 4.2.1 Try again later"
		}
		return ""
	})
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	c.RetryBase, c.RetryCap = time.Hour, time.Hour // the second try is nearly always too late
	s := start(t, i, c)
	at := time.Now().Add(10 * time.Second)
	r := newMail("busy@example.org", "a@example.org")
	r.ExpiresAt = &at
	n, err := s.Create(t.Context(), "partly", r)
	if err != nil || n.ExpiresAt == nil || !n.ExpiresAt.Equal(at.Truncate(time.Microsecond)) || n.Priority != notifyapi.PriorityNormal {
		t.Fatalf("%+v, %v", n, err)
	}
	n = s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	if n.Counts.Expired != 1 || n.Counts.Sent != 1 || n.Recipients[0].Status != notifyapi.RecipientExpired || n.Recipients[0].LastError == nil {
		t.Errorf("%+v %+v", n.Counts, n.Recipients[0])
	}
	var answer *notifyapi.Error
	if _, err := s.Retry(t.Context(), n.ID); !errors.As(err, &answer) || answer.Status != 409 {
		t.Errorf("retry: %v", err)
	}

	later, end := time.Now().Add(time.Second), time.Now().Add(10*time.Second)
	r = newMail("busy@example.org")
	r.NotBefore, r.ExpiresAt = &later, &end
	alone, err := s.Create(t.Context(), "alone", r)
	if err != nil {
		t.Fatal(err)
	}
	alone = s.until(t, alone.ID, notifyapi.StatusFailed, waitLimit)
	page, err := s.List(t.Context(), notifyapi.ListParams{Status: notifyapi.StatusFailed})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != alone.ID {
		t.Errorf("the list of failed ones: %+v, %v", page.Items, err)
	}
	recipients, err := s.Recipients(t.Context(), alone.ID, notifyapi.RecipientExpired, 0, "")
	if err != nil || len(recipients.Items) != 1 {
		t.Errorf("the list of expired recipients: %+v, %v", recipients.Items, err)
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Recipients.Expired != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
}

func TestRetryOfFailedRecipientsIsRefusedOnceTheNotificationHasExpired(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "RCPT" {
			return "550 5.1.1 No such user"
		}
		return ""
	})
	i := newIssuer(t)
	url := newDatabase(t)
	s := start(t, i, testConfig(url, i.url, smtp.Addr()))
	end := time.Now().Add(time.Hour)
	create := func(key string) notifyapi.Notification {
		r := newMail("a@example.org")
		r.ExpiresAt = &end
		n, err := s.Create(t.Context(), key, r)
		if err != nil {
			t.Fatal(err)
		}
		return s.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
	}
	expired, current := create("expired"), create("current")
	execute(t, url, "update notifications set expires_at = now() where id = '"+expired.ID.String()+"'")
	execute(t, url, "update recipients set expires_at = now() where notification_id = '"+expired.ID.String()+"'")
	var answer *notifyapi.Error
	if _, err := s.Retry(t.Context(), expired.ID); !errors.As(err, &answer) || answer.Status != 409 || !strings.Contains(answer.Detail, "expired") {
		t.Errorf("retry of the expired one: %v", err)
	}
	if _, err := s.Retry(t.Context(), current.ID); err != nil { // the control
		t.Errorf("retry of the other: %v", err)
	}
}

func TestUrgentNotificationOvertakesABulkOneOfAThousand(t *testing.T) {
	t.Parallel()
	s, _, open := startHeld(t)
	bulk := newMail(numbered("bulk", 1000)...)
	bulk.Priority = notifyapi.PriorityBulk
	slow, err := s.Create(t.Context(), "bulk", bulk)
	if err != nil || slow.Priority != notifyapi.PriorityBulk {
		t.Fatalf("%+v, %v", slow.Priority, err)
	}
	urgent := newMail("a@example.org")
	urgent.Priority = notifyapi.PriorityUrgent
	fast, err := s.Create(t.Context(), "urgent", urgent)
	if err != nil {
		t.Fatal(err)
	}
	open()
	s.until(t, fast.ID, notifyapi.StatusCompleted, waitLimit)
	if n, err := s.Get(t.Context(), slow.ID); err != nil || n.Counts.Sent == n.Counts.Total {
		t.Errorf("the bulk mails were sent first: %+v, %v", n.Counts, err)
	}
}

func TestNormalPriorityMayBeNamedOrNot(t *testing.T) {
	t.Parallel()
	s, _, _ := startHeld(t)
	r := newMail("a@example.org")
	first, err := s.Create(t.Context(), "k", r)
	if err != nil {
		t.Fatal(err)
	}
	r.Priority = notifyapi.PriorityNormal
	if again, err := s.Create(t.Context(), "k", r); err != nil || again.ID != first.ID {
		t.Errorf("named: %v, %v", again.ID, err)
	}
	r.Priority = notifyapi.PriorityBulk // the control
	var answer *notifyapi.Error
	if _, err := s.Create(t.Context(), "k", r); !errors.As(err, &answer) || answer.Code != "idempotency_mismatch" {
		t.Errorf("another: %v", err)
	}
}

func TestUnsubscribeURLIsInTheHeadersOfOneClick(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	address := "https://desk.example.com/unsubscribe?token=" + strings.Repeat("AZyr_-", 16)
	with := newMail("a@example.org")
	with.UnsubscribeURL = &address
	without := newMail("b@example.org") // the control
	for key, r := range map[string]notifyapi.Request{"with": with, "without": without} {
		n, err := s.Create(t.Context(), key, r)
		if err != nil {
			t.Fatal(err)
		}
		s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	}
	for _, m := range smtp.Messages() {
		read, err := mail.ReadMessage(strings.NewReader(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		wantURL, wantPost := "", ""
		if m.To == "a@example.org" {
			wantURL, wantPost = "<"+address+">", "List-Unsubscribe=One-Click"
		}
		if gotURL, gotPost := read.Header.Get("List-Unsubscribe"), read.Header.Get("List-Unsubscribe-Post"); gotURL != wantURL || gotPost != wantPost {
			t.Errorf("the mail to %s has List-Unsubscribe %q and List-Unsubscribe-Post %q", m.To, gotURL, gotPost)
		}
	}
	for _, bad := range []string{"http://desk.example.com/u", "mailto:a@example.org", "https://desk.example.com/u>\r\nBcc: eve@example.org", "https://desk.example.com/u>, <https://eve.example"} {
		r := newMail("c@example.org")
		r.UnsubscribeURL = &bad
		var refusal *notifyapi.Error
		if _, err := s.Create(t.Context(), "bad", r); !errors.As(err, &refusal) || refusal.Status != 422 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
