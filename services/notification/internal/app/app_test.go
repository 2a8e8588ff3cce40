package app_test

import (
	"strings"
	"testing"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
)

func TestNotificationIsAcceptedStoredMailedAndItsResultReported(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))

	ctx := obs.WithRequestID(t.Context(), "req-4711")
	html := "<p>Hello</p>"
	r := newMail("anna@example.org", "Bert@Example.org", "ANNA@example.org")
	r.HTML, r.Thread, r.Reference = &html, new("ticket-1"), new("ticket-1")
	n, err := s.Create(ctx, "key-1", r)
	if err != nil {
		t.Fatal(err)
	}
	if n.Status != notifyapi.StatusQueued || n.Counts.Total != 2 || n.Counts.Queued != 2 {
		t.Errorf("accepted as %+v", n)
	}
	done := s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	if done.Counts.Sent != 2 || done.CompletedAt == nil || len(done.Recipients) != 2 || done.Recipients[0].SentAt == nil {
		t.Errorf("result %+v", done)
	}
	for _, m := range smtp.Wait(t, 2, waitLimit) {
		for _, want := range []string{"X-Request-ID: req-4711", "Auto-Submitted: auto-generated", "References: <ticket-1.", "Subject: Ticket #1"} {
			if !strings.Contains(m.Data, want) {
				t.Errorf("the mail lacks %q:\n%s", want, m.Data)
			}
		}
	}
	attempts, err := s.Attempts(ctx, n.ID, done.Recipients[0].ID, 0, "")
	if err != nil || len(attempts.Items) != 1 || attempts.Items[0].Outcome != notifyapi.OutcomeSent || *attempts.Items[0].Code != 250 {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
	list, err := s.List(ctx, notifyapi.ListParams{Reference: "ticket-1"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Status != notifyapi.StatusCompleted {
		t.Errorf("list %+v, %v", list, err)
	}
	again, err := s.Create(ctx, "key-1", r)
	if err != nil || again.ID != n.ID || again.Status != n.Status {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	for _, secret := range []string{"Hello", "anna@", "Ticket #1"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
	stats, err := s.Stats(ctx)
	if err != nil || stats.Recipients.Sent != 2 || stats.SentPerMinute != 2 || stats.OldestDueAgeSeconds != 0 {
		t.Errorf("stats %+v, %v", stats, err)
	}
}
