package request

import (
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

// registerEnums gives the enums their schemas in the document.
func registerEnums(api *httpapi.API) {
	httpapi.Enum(api, "NotificationPriority",
		"The order of mails that are due: urgent before all others, bulk when no other is due.",
		notifyapi.PriorityUrgent, notifyapi.PriorityNormal, notifyapi.PriorityBulk)
	httpapi.Enum(api, "NotificationStatus",
		"Derived from the recipients. queued: nothing was tried yet. processing: some recipient is still to be mailed. "+
			"completed: everyone was mailed. partially_failed: all have ended, some were mailed and some failed, expired, bounced, were suppressed or are uncertain. "+
			"failed: all have ended, some of them so, and none was mailed. canceled: all have ended without a failure, some were canceled.",
		notifyapi.StatusQueued, notifyapi.StatusProcessing, notifyapi.StatusCompleted,
		notifyapi.StatusPartiallyFailed, notifyapi.StatusFailed, notifyapi.StatusCanceled)
	httpapi.Enum(api, "RecipientStatus",
		"queued: waits for its first try. sending: is being sent. delayed: failed temporarily and will be tried again. "+
			"sent: the mail server took responsibility for the mail. failed: refused permanently, or given up. canceled: canceled before it was sent. "+
			"uncertain: the connection broke after the mail and before the server's answer. expired: not sent before expires_at. "+
			"bounced: the mail server took the mail, and a delivery report said later that it failed for good. suppressed: not sent, since the address is on the suppression list.",
		notifyapi.RecipientStatuses...)
	httpapi.Enum(api, "ReportKind",
		"failed: the mail could not be delivered. delayed: it is still being tried. complaint: the recipient calls it unwanted.",
		notifyapi.ReportFailed, notifyapi.ReportDelayed, notifyapi.ReportComplaint)
	httpapi.Enum(api, "AttemptOutcome",
		"sent: the server took the mail. temporary: it may take it later. permanent: it refused for good. "+
			"uncertain: the connection broke after the mail and before the server's answer.",
		notifyapi.OutcomeSent, notifyapi.OutcomeTemporary, notifyapi.OutcomePermanent, notifyapi.OutcomeUncertain)
}

// The examples are of one notification: the mail about a new ticket to its reporter
// and its engineer, whose mailbox is full at first.
var (
	exampleID        = uuid.MustParse("019bb1a3-3b28-7e63-9c70-5b9d1f3e7a24")
	exampleTime      = time.Date(2026, 1, 12, 9, 30, 1, 0, time.UTC)
	exampleReference = "019bb1a3-3740-7c3a-9d4e-2f6a8b1c0d42"
	exampleThread    = "ticket-" + exampleReference
	exampleHTML      = "<p>Hello,</p><p>Ada Moreno raised ticket #42, <b>Printer on the second floor smokes</b>.</p><p>To answer, reply to this mail.</p>"
	exampleReplyTo   = "support+42.5f3a9c0e@fixdesk.example"
	exampleRefusal   = "4.2.2 The mailbox is full"
	exampleContent   = Content{
		Text: "Hello,\n\nAda Moreno raised ticket #42, Printer on the second floor smokes.\n\nTo answer, reply to this mail.\n",
		HTML: &exampleHTML, ReplyTo: &exampleReplyTo,
	}
	exampleRequest = createNotificationRequest{
		Subject: "[Fixdesk #42] Printer on the second floor smokes", Text: exampleContent.Text, HTML: &exampleHTML,
		Recipients: []string{"ada@example.com", "sofia@example.com"}, Requester: "crm",
		Reference: &exampleReference, Thread: &exampleThread, ReplyTo: &exampleReplyTo, Priority: notifyapi.PriorityNormal,
	}

	exampleReporter = Recipient{
		ID: uuid.MustParse("019bb1a3-3b28-7d53-8b4f-7c8d9e0f1a22"), Email: "ada@example.com",
		Status: notifyapi.RecipientSent, Attempts: 1, SentAt: exampleAfter(time.Second),
	}
	exampleEngineer = Recipient{
		ID: uuid.MustParse("019bb1a3-3b28-7d54-9c5a-8d9e0f1a2b33"), Ordinal: 1, Email: "sofia@example.com",
		Status: notifyapi.RecipientDelayed, Attempts: 1, LastError: &exampleRefusal, NextAttemptAt: exampleAfter(21 * time.Second),
	}
	exampleAccepted = exampleNotification(&exampleContent, nil, notifyapi.StatusQueued, notifyapi.Counts{Total: 2, Queued: 2})
	exampleDelayed  = exampleNotification(&exampleContent, nil, notifyapi.StatusProcessing, notifyapi.Counts{Total: 2, Delayed: 1, Sent: 1},
		exampleReporter, exampleEngineer)
	exampleCanceled = exampleNotification(&exampleContent, exampleAfter(10*time.Second), notifyapi.StatusCanceled,
		notifyapi.Counts{Total: 2, Sent: 1, Canceled: 1}, exampleReporter, exampleEngineer.as(notifyapi.RecipientCanceled, nil))
	exampleRetried = exampleNotification(&exampleContent, nil, notifyapi.StatusProcessing,
		notifyapi.Counts{Total: 2, Queued: 1, Sent: 1}, exampleReporter, exampleEngineer.as(notifyapi.RecipientQueued, exampleAfter(49*time.Hour)))
	exampleList = httpapi.NewPage([]notificationBody{
		exampleNotification(nil, nil, notifyapi.StatusProcessing, notifyapi.Counts{Total: 2, Delayed: 1, Sent: 1}),
	}, "")
	exampleRecipients = httpapi.NewPage([]recipientBody{viewRecipient(exampleReporter), viewRecipient(exampleEngineer)}, "")
	exampleAttempts   = httpapi.NewPage([]attemptBody{viewAttempt(Attempt{
		Number: 1, At: *exampleAfter(time.Second), Server: "mail.example.com:25", Code: new(452),
		Reply: exampleRefusal, Outcome: notifyapi.OutcomeTemporary,
	})}, "")
	exampleReports = httpapi.NewPage([]reportBody{viewReport(Report{
		ID: uuid.MustParse("019bb1a3-9c31-7a02-b1d5-1c2d3e4f5a66"), Kind: notifyapi.ReportFailed, ReceivedAt: *exampleAfter(25 * time.Second),
		Status: new("5.1.1"), Code: new(550), Server: new("mx.example.com"), Text: "550 5.1.1 The user does not exist",
	})}, "")
	exampleStats = viewStats(Stats{
		Counts:       notifyapi.Counts{Total: 1842, Queued: 3, Sending: 1, Delayed: 2, Sent: 1830, Failed: 2, Uncertain: 1, Expired: 1, Bounced: 1, Suppressed: 1},
		OldestDueAge: 1250 * time.Millisecond, SentPerMinute: 37,
	})
)

// exampleAfter is a time after the notification was created.
func exampleAfter(d time.Duration) *time.Time {
	at := exampleTime.Add(d)
	return &at
}

func exampleNotification(c *Content, ended *time.Time, s notifyapi.Status, counts notifyapi.Counts, recipients ...Recipient) notificationBody {
	return viewBody(Notification{
		ID: exampleID, Subject: exampleRequest.Subject, Content: c, Requester: exampleRequest.Requester,
		Reference: &exampleReference, Thread: &exampleThread, Priority: exampleRequest.Priority, Status: s,
		CreatedAt: exampleTime, CompletedAt: ended, Counts: counts, Recipients: recipients,
	})
}

// as is the recipient in another state.
func (r Recipient) as(s notifyapi.RecipientStatus, next *time.Time) Recipient {
	r.Status, r.NextAttemptAt = s, next
	return r
}
