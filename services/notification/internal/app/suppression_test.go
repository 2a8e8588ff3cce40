package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

func TestSuppressedAddressIsNotMailedAndTheResultSaysSo(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	if _, err := s.Suppress(t.Context(), notifyapi.SuppressionRequest{Email: "Closed@EXAMPLE.org", Reason: "The mailbox is closed"}); err != nil {
		t.Fatal(err)
	}
	n, err := s.Create(t.Context(), "both", newMail("closed@example.org", "open@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	n = s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	r := n.Recipients[0]
	if n.Counts.Suppressed != 1 || n.Counts.Sent != 1 || r.Status != notifyapi.RecipientSuppressed || r.Attempts != 0 ||
		r.LastError == nil || !strings.Contains(*r.LastError, "suppressed (manual)") || r.SentAt != nil || r.NextAttemptAt != nil {
		t.Errorf("%+v %+v", n.Counts, r)
	}
	listed, err := s.Recipients(t.Context(), n.ID, notifyapi.RecipientSuppressed, 0, "")
	if err != nil || len(listed.Items) != 1 {
		t.Errorf("%+v, %v", listed, err)
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Recipients.Suppressed != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	alone, err := s.Create(t.Context(), "alone", newMail("closed@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, alone.ID, notifyapi.StatusFailed, waitLimit)
	page, err := s.List(t.Context(), notifyapi.ListParams{Status: notifyapi.StatusFailed})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != alone.ID {
		t.Errorf("the list of failed ones: %+v, %v", page.Items, err)
	}
	if smtp.Count("closed@example.org") != 0 || smtp.Count("open@example.org") != 1 {
		t.Errorf("mailed: %+v", smtp.Messages())
	}
}

func TestRetryMailsASuppressedAddressOnceItIsOffTheList(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	ctx := t.Context()
	if _, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: "closed@example.org", Reason: "closed"}); err != nil {
		t.Fatal(err)
	}
	n, err := s.Create(ctx, "k", newMail("closed@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
	var answer *notifyapi.Error
	if _, err := s.Retry(ctx, n.ID); !errors.As(err, &answer) || answer.Status != http.StatusConflict {
		t.Errorf("a retry while it is suppressed: %v", err)
	}
	if err := s.Unsuppress(ctx, "CLOSED@example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(ctx, n.ID); err != nil {
		t.Fatal(err)
	}
	s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	if log := s.log.String(); strings.Contains(log, "closed@example.org") || !strings.Contains(log, "taken from the suppression list") {
		t.Errorf("the log has the address, or not that one was removed:\n%s", log)
	}
}

func TestUrgentMailToASuppressedAddressIsTriedOnce(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "RCPT" && strings.Contains(e.Arg, "busy") {
			return "450 4.2.1 Try again later"
		}
		return ""
	})
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	ctx := t.Context()
	for _, email := range []string{"open@example.org", "busy@example.org"} {
		if _, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: email, Reason: "it came back"}); err != nil {
			t.Fatal(err)
		}
	}
	r := newMail("open@example.org", "busy@example.org")
	r.Priority = notifyapi.PriorityUrgent
	n, err := s.Create(ctx, "urgent", r)
	if err != nil {
		t.Fatal(err)
	}
	n = s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	if n.Recipients[0].Status != notifyapi.RecipientSent || n.Recipients[1].Status != notifyapi.RecipientSuppressed || n.Recipients[1].Attempts != 1 {
		t.Errorf("%+v", n.Recipients)
	}
	tries := 0
	for _, e := range smtp.Verbs("RCPT") {
		if strings.Contains(e.Arg, "busy") {
			tries++
		}
	}
	if tries != 1 {
		t.Errorf("tried %d times", tries)
	}
}

func TestManySuppressedRecipientsDoNotDelayTheOthers(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	c.PollInterval = time.Hour // only the loop itself claims again
	s := start(t, i, c)
	list := numbered("closed", 200)
	for _, email := range list {
		if _, err := s.Suppress(t.Context(), notifyapi.SuppressionRequest{Email: email, Reason: "closed"}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.Create(t.Context(), "k", newMail(append(list, "open@example.org")...))
	if err != nil {
		t.Fatal(err)
	}
	n = s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	if n.Counts.Suppressed != len(list) || n.Counts.Sent != 1 {
		t.Errorf("%+v", n.Counts)
	}
}

func TestSuppressionListIsPagedSearchedAndIdempotent(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, startSMTP(t, nil).Addr()))
	ctx := t.Context()
	first, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: "Ada@Bücher.example", Reason: " first "})
	if err != nil || first.Email != "ada@xn--bcher-kva.example" || first.Reason != "first" || first.Source != notifyapi.SourceManual {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: "ada@xn--bcher-kva.example", Reason: "second"})
	if err != nil || again != first {
		t.Errorf("the second request changed the entry: %+v, %v", again, err)
	}
	if got, err := s.Suppression(ctx, "ADA@bücher.example"); err != nil || got != first {
		t.Errorf("%+v, %v", got, err)
	}
	for _, email := range []string{"bea@example.org", "cleo@example.org", "100%@example.org"} {
		if _, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: email, Reason: "closed"}); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for cursor := ""; ; {
		page, err := s.Suppressions(ctx, "", 3, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			seen = append(seen, item.Email)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "100%@example.org cleo@example.org bea@example.org ada@xn--bcher-kva.example" {
		t.Errorf("listed %s", got)
	}
	for q, want := range map[string]int{"EXAMPLE.org": 3, "%": 1, "_": 0, "nobody": 0} {
		if page, err := s.Suppressions(ctx, q, 0, ""); err != nil || len(page.Items) != want {
			t.Errorf("%q: %+v, %v", q, page.Items, err)
		}
	}
	for range 2 {
		if err := s.Unsuppress(ctx, "bea@example.org"); err != nil {
			t.Error(err)
		}
	}
	var answer *notifyapi.Error
	if _, err := s.Suppression(ctx, "bea@example.org"); !errors.As(err, &answer) || answer.Status != http.StatusNotFound {
		t.Errorf("a removed entry: %v", err)
	}
	for _, bad := range []notifyapi.SuppressionRequest{{Email: "nobody", Reason: "x"}, {Email: "a@example.org", Reason: "\n"}, {Email: "a@example.org", Reason: "a\nb"}} {
		if _, err := s.Suppress(ctx, bad); !errors.As(err, &answer) || answer.Status != http.StatusUnprocessableEntity {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestOnlyManagersChangeTheSuppressionList(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, startSMTP(t, nil).Addr()))
	reader := *s.Client
	token := i.token(t, notifyapi.Audience, "reader", notifyapi.ScopeRead)
	reader.Token = func(context.Context) (string, error) { return token, nil }
	if _, err := reader.Suppressions(t.Context(), "", 0, ""); err != nil {
		t.Error(err)
	}
	var answer *notifyapi.Error
	if _, err := reader.Suppress(t.Context(), notifyapi.SuppressionRequest{Email: "a@example.org", Reason: "x"}); !errors.As(err, &answer) || answer.Status != http.StatusForbidden {
		t.Error(err)
	}
	if err := reader.Unsuppress(t.Context(), "a@example.org"); !errors.As(err, &answer) || answer.Status != http.StatusForbidden {
		t.Error(err)
	}
}

func TestEnvelopeSenderNamesTheRecipientWithABounceDomain(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, smtp.Addr())
	send := func(key string) (notifyapi.Recipient, string) {
		s := start(t, i, c)
		n, err := s.Create(t.Context(), key, newMail("a@example.org"))
		if err != nil {
			t.Fatal(err)
		}
		n = s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		all := smtp.Messages()
		return n.Recipients[0], all[len(all)-1].From
	}
	if _, from := send("without"); from != "fixdesk@example.com" {
		t.Errorf("without a domain the envelope sender is %s", from)
	}
	c.BounceDomain = "Bounces.Example.com"
	r, from := send("with")
	if !strings.HasPrefix(from, "bounce+"+r.ID.String()+".") || !strings.HasSuffix(from, "@bounces.example.com") {
		t.Errorf("the envelope sender is %s", from)
	}
	again, other := send("again")
	if token(from, r.ID) == token(other, again.ID) || token(from, r.ID) == "" {
		t.Errorf("%s and %s", from, other)
	}
}

// token is what follows the id in a bounce address.
func token(from string, id uuid.UUID) string {
	_, after, _ := strings.Cut(from, id.String()+".")
	got, _, _ := strings.Cut(after, "@")
	return got
}
