package inbound

import (
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

// registerEnums gives the enums their schemas in the document.
func registerEnums(api *httpapi.API) {
	httpapi.Enum(api, "InboundStatus",
		"received: stored, and about to be read. pending: waits for its consumer. acknowledged: its consumer said what became of it. "+
			"handled: a delivery report or complaint that the service applied to its own mails.",
		notifyapi.InboundStatuses...)
	httpapi.Enum(api, "InboundSource", "The way on which a mail came in.", notifyapi.InboundSources...)
	httpapi.Enum(api, "AutomaticSign",
		"report: a delivery report, a read receipt or a complaint (RFC 6522). empty_sender: MAIL FROM was empty (RFC 5321, section 4.5.5). "+
			"auto_submitted: Auto-Submitted other than no (RFC 3834). list: a header of mailing lists (RFC 2919). precedence: bulk, junk, list or auto_reply. "+
			"header: X-Autoreply or another of its kind. sender: an address such as mailer-daemon or no-reply. subject: a subject of out-of-office replies.",
		notifyapi.Automatics...)
}

// The examples are of one mail: a customer's answer with a picture.
var (
	exampleTime = time.Date(2026, 1, 12, 10, 4, 31, 0, time.UTC)
	exampleSent = exampleTime.Add(-9 * time.Second)
	exampleAck  = ackInboundMailRequest{Result: "comment", Reference: new("019bb1c2-90f1-7a44-8d0e-6b5f4c3d2e10")}
	example     = Mail{
		ID: uuid.MustParse("019bb1c2-8f18-7c20-9b7e-3d4c5b6a7980"), ReceivedAt: exampleTime,
		Source: notifyapi.InboundSMTP, Status: notifyapi.InboundPending, Size: 48213, Arrivals: 1,
		Envelope: notifyapi.Envelope{From: "ada@example.com", To: []string{"support+42.5f3a9c0e@fixdesk.example"}},
		Content: notifyapi.InboundContent{
			From:       &notifyapi.MailAddress{Name: "Ada Moreno", Email: "ada@example.com"},
			To:         []notifyapi.MailAddress{{Name: "Fixdesk", Email: "support+42.5f3a9c0e@fixdesk.example"}},
			Subject:    "Re: [Fixdesk #42] Printer on the second floor smokes",
			Date:       &exampleSent,
			MessageID:  "CAF1x9Z@mail.example.com",
			InReplyTo:  []string{"019bb1a3-3b28-7d53-8b4f-7c8d9e0f1a22@fixdesk.example"},
			References: []string{"019bb1a3-3b28-7d53-8b4f-7c8d9e0f1a22@fixdesk.example"},
			Text:       "It stopped smoking, but it still prints stripes. Picture attached.\n",
			HTML:       "<p>It stopped smoking, but it still prints stripes. Picture attached.</p>",
			Authentication: &notifyapi.Authentication{
				DMARC: "pass", SPF: "pass", DKIM: "pass",
			},
			Attachments: []notifyapi.InboundAttachment{{
				Filename: "stripes.png", MediaType: "image/png", Size: 34122,
				SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			}},
		},
	}
	exampleMail         = viewMail(example)
	exampleMails        = httpapi.NewPage([]inboundMailBody{exampleMail}, "")
	exampleAcknowledged = exampleAs(notifyapi.InboundAcknowledged)
	exampleReset        = exampleAs(notifyapi.InboundReceived)
	exampleRaw          = "From: Ada Moreno <ada@example.com>\r\nSubject: Re: [Fixdesk #42] Printer on the second floor smokes\r\n\r\nIt stopped smoking.\r\n"
	exampleFile         = "the bytes of the file"
)

func exampleAs(s notifyapi.InboundStatus) inboundMailBody {
	m := example
	m.Status = s
	switch s {
	case notifyapi.InboundAcknowledged:
		at := exampleTime.Add(time.Second)
		m.Result, m.Reference, m.AcknowledgedAt = &exampleAck.Result, exampleAck.Reference, &at
	case notifyapi.InboundReceived:
		m.Content = notifyapi.InboundContent{}
	}
	return viewMail(m)
}
