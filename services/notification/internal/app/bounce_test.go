package app_test

import (
	"errors"
	"net/http"
	"net/smtp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
	"fixdesk/services/notification/internal/email"
)

const bounceSecret = "the secret of bounce addresses in this test"

// bounceConfig is a service whose mails come back to its own listener.
func bounceConfig(t testing.TB, i *issuer, server *smtptest.Server) app.Config {
	c := inboundConfig(t, i)
	c.SMTPURL = config.NewSecret("smtp://" + server.Addr())
	c.BounceDomain, c.BounceSecret = "bounces.test", config.NewSecret(bounceSecret)
	return c
}

// deliveryReport is a report in the form of Postfix about a mail to the recipient.
func deliveryReport(to, recipient, action, status, messageID string) []byte {
	return []byte(strings.ReplaceAll(`From: Mail Delivery System <MAILER-DAEMON@mx.example.org>
To: `+to+`
Subject: Undelivered Mail Returned to Sender
Message-ID: <`+uuid.NewString()+`@mx.example.org>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It was not delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; `+recipient+`
Action: `+action+`
Status: `+status+`
Remote-MTA: dns; mail.example.org
Diagnostic-Code: smtp; 550 `+status+` The user does not exist

--b
Content-Type: text/rfc822-headers

Message-ID: <`+messageID+`>
--b--
`, "\n", "\r\n"))
}

// complaintReport is a complaint about the mail with the Message-ID.
func complaintReport(kind, messageID string) []byte {
	return []byte(strings.ReplaceAll(`From: feedback@isp.example
To: abuse@desk.test
Subject: FW: Ticket
Message-ID: <`+uuid.NewString()+`@isp.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: `+kind+`
User-Agent: test/1
Version: 1
--b
Content-Type: message/rfc822

Message-ID: <`+messageID+`>

Hello
--b--
`, "\n", "\r\n"))
}

// comesBack hands a report in from the empty sender.
func comesBack(t testing.TB, s *service, raw []byte, to ...string) {
	t.Helper()
	if err := smtp.SendMail(s.inbound(t), nil, "", to, raw); err != nil {
		t.Fatal(err)
	}
}

// mailed creates a notification and waits until its mails are sent.
func (s *service) mailed(t testing.TB, recipients ...string) notifyapi.Notification {
	t.Helper()
	n, err := s.Create(t.Context(), uuid.NewString(), newMail(recipients...))
	if err != nil {
		t.Fatal(err)
	}
	return s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
}

// handled waits until n mails that came in have been applied as reports.
func (s *service) handled(t testing.TB, n int) {
	t.Helper()
	eventually(t, "the reports are applied", func() bool {
		page, err := s.Inbound(t.Context(), notifyapi.InboundParams{Status: notifyapi.InboundHandled, Limit: 100})
		return err == nil && len(page.Items) == n
	})
}

func (s *service) isSuppressed(t testing.TB, address string) bool {
	t.Helper()
	_, err := s.Suppression(t.Context(), address)
	var answer *notifyapi.Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func TestMailThatComesBackMarksItsRecipientAndSuppressesTheAddress(t *testing.T) {
	t.Parallel()
	server := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, bounceConfig(t, i, server))
	n := s.mailed(t, "gone@example.org", "here@example.org")
	from := ""
	for _, m := range server.Messages() {
		if m.To == "gone@example.org" {
			from = m.From
		}
	}
	raw := deliveryReport(from, "gone@example.org", "failed", "5.1.1", "rewritten@relay.example")
	comesBack(t, s, raw, from)
	n = s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	r := n.Recipients[0]
	if r.Status != notifyapi.RecipientBounced || r.SentAt == nil || r.Attempts != 1 || r.LastError == nil ||
		*r.LastError != "550 5.1.1 The user does not exist" || n.Counts.Bounced != 1 || n.Counts.Sent != 1 {
		t.Errorf("%+v %+v", r, n.Counts)
	}
	reports, err := s.Reports(t.Context(), n.ID, r.ID, 0, "")
	if err != nil || len(reports.Items) != 1 {
		t.Fatalf("%+v, %v", reports, err)
	}
	if report := reports.Items[0]; report.Kind != notifyapi.ReportFailed || *report.Status != "5.1.1" || *report.Code != 550 || *report.Server != "mail.example.org" {
		t.Errorf("%+v", report)
	}
	entry, err := s.Suppression(t.Context(), "gone@example.org")
	if err != nil || entry.Source != notifyapi.SourceBounce || entry.Reason != *r.LastError {
		t.Errorf("%+v, %v", entry, err)
	}
	comesBack(t, s, raw, from) // the same mail again has no effect
	later, err := s.Create(t.Context(), "later", newMail("gone@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	later = s.until(t, later.ID, notifyapi.StatusFailed, waitLimit)
	if later.Counts.Suppressed != 1 || server.Count("gone@example.org") != 1 {
		t.Errorf("the next mail: %+v, %d were sent", later.Counts, server.Count("gone@example.org"))
	}
	if page, err := s.Inbound(t.Context(), notifyapi.InboundParams{Status: notifyapi.InboundPending}); err != nil || len(page.Items) != 0 {
		t.Errorf("the report waits for the consumer: %+v, %v", page.Items, err)
	}
	if log := s.log.String(); strings.Contains(log, "gone@example.org") {
		t.Error("the log has the address")
	}
	if err := s.Unsuppress(t.Context(), "gone@example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(t.Context(), n.ID); err != nil {
		t.Errorf("a retry once the address is off the list: %v", err)
	}
	s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
}

func TestTemporaryReportIsRecordedAlone(t *testing.T) {
	t.Parallel()
	server := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, bounceConfig(t, i, server))
	n := s.mailed(t, "busy@example.org")
	from := server.Messages()[0].From
	comesBack(t, s, deliveryReport(from, "busy@example.org", "delayed", "4.4.1", "x@y.example"), from)
	s.handled(t, 1)
	n, err := s.Get(t.Context(), n.ID)
	if err != nil || n.Recipients[0].Status != notifyapi.RecipientSent || s.isSuppressed(t, "busy@example.org") {
		t.Errorf("%+v, %v", n.Recipients, err)
	}
	reports, err := s.Reports(t.Context(), n.ID, n.Recipients[0].ID, 0, "")
	if err != nil || len(reports.Items) != 1 || reports.Items[0].Kind != notifyapi.ReportDelayed {
		t.Errorf("%+v, %v", reports.Items, err)
	}
	// The server gave up: the mail failed, but for a reason that may pass.
	comesBack(t, s, deliveryReport(from, "busy@example.org", "failed", "4.4.7", "x@y.example"), from)
	n = s.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
	if n.Recipients[0].Status != notifyapi.RecipientBounced || s.isSuppressed(t, "busy@example.org") {
		t.Errorf("%+v", n.Recipients)
	}
}

// TestForgedReportsChangeNothing ends with the control: the same report with the
// right token has an effect.
func TestForgedReportsChangeNothing(t *testing.T) {
	t.Parallel()
	server := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, bounceConfig(t, i, server))
	n := s.mailed(t, "ada@example.org", "bea@example.org")
	id, other := n.Recipients[0].ID, n.Recipients[1].ID
	right := &email.BounceAddresses{Domain: "bounces.test", Secret: bounceSecret}
	wrong := &email.BounceAddresses{Domain: "bounces.test", Secret: bounceSecret + "?"}
	_, token, _ := strings.Cut(right.For(other), ".")
	forged := []string{
		wrong.For(id), "bounce+" + id.String() + "." + token, "bounce+" + id.String() + ".aaaaaaaaaaaaaaaa@bounces.test",
		right.For(uuid.Must(uuid.NewV7())), "bounce+nobody@bounces.test", "bounce+" + id.String() + ".@bounces.test",
	}
	for _, to := range forged {
		// The Message-ID is right: the token decides.
		comesBack(t, s, deliveryReport(to, "ada@example.org", "failed", "5.1.1", id.String()+"@example.com"), to)
	}
	s.handled(t, len(forged))
	unchanged := func() {
		t.Helper()
		n, err := s.Get(t.Context(), n.ID)
		if err != nil || n.Status != notifyapi.StatusCompleted || s.isSuppressed(t, "ada@example.org") {
			t.Fatalf("%s %+v, %v", n.Status, n.Recipients, err)
		}
		reports, err := s.Reports(t.Context(), n.ID, id, 0, "")
		if err != nil || len(reports.Items) != 0 {
			t.Fatalf("%+v, %v", reports.Items, err)
		}
	}
	unchanged()
	// Reports without a bounce address that name mails that were never sent.
	for _, messageID := range []string{uuid.NewString() + "@example.com", id.String() + "@other.example", "x@example.com"} {
		comesBack(t, s, deliveryReport("support@desk.test", "ada@example.org", "failed", "5.1.1", messageID), "support@desk.test")
	}
	s.pending(t, 3)
	unchanged()
	comesBack(t, s, deliveryReport(right.For(id), "ada@example.org", "failed", "5.1.1", "x@example.com"), right.For(id)) // the control
	s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	if !s.isSuppressed(t, "ada@example.org") {
		t.Error("the right token has no effect, so that the test shows nothing")
	}
}

func TestReportWithoutABounceAddressIsMatchedByTheMessageID(t *testing.T) {
	t.Parallel()
	server := startSMTP(t, nil)
	i := newIssuer(t)
	c := bounceConfig(t, i, server)
	c.BounceDomain, c.BounceSecret = "", config.Secret{}
	s := start(t, i, c)
	for recipient, thread := range map[string]*string{"gone@example.org": nil, "left@example.org": new("ticket-1")} {
		request := newMail(recipient)
		request.Thread = thread
		n, err := s.Create(t.Context(), uuid.NewString(), request)
		if err != nil {
			t.Fatal(err)
		}
		n = s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
		messageID := n.Recipients[0].ID.String() + "@example.com"
		if thread != nil {
			messageID = *thread + "." + messageID
		}
		comesBack(t, s, deliveryReport("support@desk.test", recipient, "failed", "5.1.1", messageID), "support@desk.test")
		s.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
		if !s.isSuppressed(t, recipient) {
			t.Errorf("%s is not suppressed", recipient)
		}
	}
}

func TestComplaintSuppressesTheAddressAndLeavesTheRecipientSent(t *testing.T) {
	t.Parallel()
	server := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, bounceConfig(t, i, server))
	n := s.mailed(t, "ada@example.org", "bea@example.org")
	comesBack(t, s, complaintReport("abuse", n.Recipients[0].ID.String()+"@example.com"), "abuse@desk.test")
	comesBack(t, s, complaintReport("not-spam", n.Recipients[1].ID.String()+"@example.com"), "abuse@desk.test")
	s.handled(t, 1)
	s.pending(t, 1)
	entry, err := s.Suppression(t.Context(), "ada@example.org")
	if err != nil || entry.Source != notifyapi.SourceComplaint || entry.Reason != "abuse" || s.isSuppressed(t, "bea@example.org") {
		t.Errorf("%+v, %v", entry, err)
	}
	n, err = s.Get(t.Context(), n.ID)
	if err != nil || n.Status != notifyapi.StatusCompleted {
		t.Errorf("%s %+v, %v", n.Status, n.Recipients, err)
	}
}

// TestReportThatComesBeforeTheResultIsStoredWins has the server hold its answer back
// until the report has been applied.
func TestReportThatComesBeforeTheResultIsStoredWins(t *testing.T) {
	t.Parallel()
	applied, reached := make(chan struct{}), make(chan string, 1)
	var from string
	server := startSMTP(t, func(e smtptest.Event) string {
		switch e.Verb {
		case "MAIL":
			from, _, _ = strings.Cut(strings.TrimPrefix(e.Arg, "FROM:<"), ">")
		case "DOT":
			reached <- from
			<-applied
		}
		return ""
	})
	i := newIssuer(t)
	s := start(t, i, bounceConfig(t, i, server))
	n, err := s.Create(t.Context(), "k", newMail("gone@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	to := <-reached
	comesBack(t, s, deliveryReport(to, "gone@example.org", "failed", "5.1.1", "x@y.example"), to)
	s.handled(t, 1)
	close(applied)
	n = s.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
	if r := n.Recipients[0]; r.Status != notifyapi.RecipientBounced || r.Attempts != 1 || !strings.Contains(*r.LastError, "5.1.1") {
		t.Errorf("%+v", r)
	}
	attempts, err := s.Attempts(t.Context(), n.ID, n.Recipients[0].ID, 0, "")
	if err != nil || len(attempts.Items) != 1 || attempts.Items[0].Outcome != notifyapi.OutcomeSent {
		t.Errorf("%+v, %v", attempts.Items, err)
	}
}

func TestBounceSecretThatWasMadeAtTheFirstStartIsThereAtTheNext(t *testing.T) {
	t.Parallel()
	server := startSMTP(t, nil)
	i := newIssuer(t)
	c := bounceConfig(t, i, server)
	c.BounceSecret = config.Secret{}
	s := start(t, i, c)
	n := s.mailed(t, "gone@example.org")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, i, c)
	from := server.Messages()[0].From
	comesBack(t, s, deliveryReport(from, "gone@example.org", "failed", "5.1.1", "x@y.example"), from)
	s.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
}
