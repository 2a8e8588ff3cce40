package app_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/apitest"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

func TestEveryOperationIsDescribedAndOnlyTheseArePublic(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, startSMTP(t, nil).Addr()))
	d, err := apitest.Load(t.Context(), s.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, defect := range append(d.Incomplete(), d.Undescribed()...) {
		t.Error(defect)
	}
}

func TestGeneratedRequestsAreAnsweredAsDocumented(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "RCPT" && strings.Contains(e.Arg, "refused") {
			return "550 5.1.1 nobody here"
		}
		return ""
	})
	c := inboundConfig(t, i)
	c.SMTPURL = config.NewSecret("smtp://" + smtp.Addr())
	s := start(t, i, c)
	d, err := apitest.Load(t.Context(), s.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{
		"", i.token(t, "fixdesk", "user"), i.token(t, notifyapi.Audience, "reader", notifyapi.ScopeRead),
		i.token(t, notifyapi.Audience, "one", allScopes...), i.token(t, notifyapi.Audience, "two", allScopes...),
		i.token(t, notifyapi.Audience, "three", allScopes...), i.token(t, notifyapi.Audience, "four", allScopes...),
	}
	report, err := d.Run(t.Context(), apitest.Config{
		URL: s.BaseURL, Requests: trials.Count(200, 3000), Seed: 1,
		Tokens: func() []string { return tokens },
		Known:  func() map[string][]string { return known(t, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, defect := range report.Defects {
		if t.Error(defect); n == 20 {
			break
		}
	}
	if unreached := d.Unreached(report); len(unreached) > 0 {
		t.Errorf("no generated request succeeded with %v", unreached)
	}
	t.Logf("%d requests, %d defects, by status %v", report.Requests, len(report.Defects), report.Statuses)
}

// known creates a notification that has been sent, one that can be canceled, a mail
// that came in and is acknowledged, and one that isn't.
func known(t *testing.T, s *service) map[string][]string {
	t.Helper()
	ctx := context.Background()
	later := newMail(numbered("later", 3)...)
	at := app.Clock().AddDate(0, 1, 0)
	later.NotBefore = &at
	key := uuid.NewString()
	values := map[string][]string{
		"recipients": {"anna@example.org", "Bert@Example.org"}, "Idempotency-Key": {key + "0"},
		"not_before": {"2020-01-01T00:00:00Z", at.Format("2006-01-02T15:04:05Z")},
		"expires_at": {at.Add(time.Hour).Format("2006-01-02T15:04:05Z")}, "reply_to": {"support+42.5f3a@example.org"},
		"email": {"closed@example.org", "Away@Example.org"}, "email_sha256": {strings.Repeat("0123456789abcdef", 4)},
	}
	if _, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: "closed@example.org", Reason: "closed"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResumeSending(ctx); err != nil { // generated requests pause it
		t.Fatal(err)
	}
	for range 50 {
		values["Idempotency-Key"] = append(values["Idempotency-Key"], uuid.NewString())
	}
	for i, request := range []notifyapi.Request{newMail("anna@example.org"), newMail("refused@example.org"), later, later} {
		n, err := s.Create(ctx, key+strconv.Itoa(i), request)
		if err != nil {
			t.Fatal(err)
		}
		n, err = s.Get(ctx, n.ID)
		if err != nil {
			t.Fatal(err)
		}
		values["id"] = append(values["id"], n.ID.String())
		values["recipient_id"] = append(values["recipient_id"], n.Recipients[0].ID.String())
	}
	handIn(t, s.inbound(t), []byte("Message-ID: <done-"+key+"@example.com>\r\n\r\nDone\r\n"), "support@desk.test")
	for _, m := range s.pending(t, 1) {
		if _, err := s.InboundAck(ctx, m.ID, "comment", ""); err != nil {
			t.Fatal(err)
		}
		values["id"] = append(values["id"], m.ID.String())
	}
	parts := strings.Repeat("--b\r\nContent-Type: image/png\r\n\r\npicture\r\n", 500) // numbers are generated
	handIn(t, s.inbound(t), []byte("Message-ID: <"+key+"@example.com>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"+parts+"--b--\r\n"), "support@desk.test")
	for _, m := range s.pending(t, 1) {
		values["id"] = append(values["id"], m.ID.String(), m.ID.String())
	}
	values["result"] = []string{"comment"}
	return values
}
