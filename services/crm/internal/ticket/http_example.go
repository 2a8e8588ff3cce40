package ticket

import (
	"encoding/json"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/example"
)

// The ticket of the examples, after each step.
var (
	exampleRaised   = exampleTicket("09:30:00", 1, Open, &example.Sofia)
	exampleDeclined = exampleTicket("09:34:00", 2, Open, &example.Erik)
	exampleAccepted = accepted(exampleTicket("09:42:00", 3, InProgress, &example.Erik))
	exampleBlocked  = blocked(accepted(exampleTicket("10:05:00", 4, Blocked, &example.Erik)))

	// ExampleTicket is the ticket at the end of the example.
	ExampleTicket = resolved(accepted(exampleTicket("11:15:00", 6, Resolved, &example.Erik)))
)

// ExamplePerson is somebody of the examples.
func ExamplePerson(p example.Person) PersonView { return PersonView{ID: p.ID, Name: p.Name} }

func exampleTicket(updated string, version int, status Status, assignee *example.Person) TicketView {
	v := TicketView{
		ID: example.TicketID, Number: example.Number, Title: example.Title, Description: example.Description,
		Status: status, Priority: High, Reporter: ReporterView{PersonView: ExamplePerson(example.Ada)}, Version: version,
		Attachments: &[]attachment.AttachmentView{},
		CreatedAt:   httpapi.NewTime(example.At("09:30:00")), UpdatedAt: httpapi.NewTime(example.At(updated)),
	}
	person := ExamplePerson(*assignee)
	v.Assignee.Value = &person
	return v
}

func accepted(v TicketView) TicketView {
	v.AcceptedAt = exampleTime("09:42:00")
	return v
}

func blocked(v TicketView) TicketView {
	reason, who := example.Question, WaitsForCustomer
	v.BlockedReason, v.WaitingFor.Value = &reason, &who
	return v
}

func resolved(v TicketView) TicketView {
	resolution := example.Resolution
	v.Resolution, v.ResolvedAt = &resolution, exampleTime("11:15:00")
	return v
}

func exampleTime(clock string) httpapi.Nullable[httpapi.Time] {
	t := example.At(clock)
	return httpapi.NullTime(&t)
}

var exampleComment = commentView{
	ID: example.CommentID, TicketID: example.TicketID, Author: ExamplePerson(example.Ada), Body: example.Answer,
	CreatedAt: httpapi.NewTime(example.At("10:40:00")), Attachments: []attachment.AttachmentView{attachment.ExampleView},
}

var exampleEngineers = httpapi.NewPage([]engineerView{
	{ID: example.Erik.ID, Name: example.Erik.Name, Available: true, ActiveTickets: 3},
	{ID: example.Sofia.ID, Name: example.Sofia.Name, Available: false, ActiveTickets: 1},
}, "")

var exampleMails = httpapi.NewPage([]ticketMailView{{
	ID: example.MailID, Subject: "[Fixdesk #42] " + example.Title, Status: "completed",
	CreatedAt: httpapi.NewTime(example.At("09:30:01")), CompletedAt: exampleTime("09:30:02"),
	Recipients: []mailRecipientView{{Email: example.Ada.Email, Status: "sent", Attempts: 1, SentAt: exampleTime("09:30:02")}},
}}, "")

// The bodies of requests, in the order in which a person writes them.
var (
	exampleCreate = json.RawMessage(`{"title":"` + example.Title + `","description":"` + example.Description + `","priority":"high"}`)
	exampleUpdate = json.RawMessage(`{"status":"blocked","blocked_reason":"` + example.Question + `","waiting_for":"customer"}`)
	exampleReason = json.RawMessage(`{"reason":"I am on leave from tomorrow."}`)
	exampleAssign = json.RawMessage(`{"engineer_id":"` + example.Erik.ID.String() + `"}`)
	exampleFollow = json.RawMessage(`{"email":"` + example.Jonas.Email + `","name":"` + example.Jonas.Name + `"}`)
	exampleAnswer = json.RawMessage(`{"body":"` + example.Answer + `"}`)
)
