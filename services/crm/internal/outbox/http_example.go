package outbox

import (
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
)

// The entry of the examples: the mail about the resolution was refused, and is
// posted again.
var (
	exampleRetried = outboxEntryBody{
		ID: example.MailID, Kind: "ticket_changed", Reference: example.TicketID, State: StatePending,
		CreatedAt: httpapi.NewTime(example.At("11:15:00")), NextAttemptAt: httpapi.NewTime(example.At("12:00:00")),
	}
	exampleEntries = httpapi.NewPage([]outboxEntryBody{exampleDead()}, "")
)

func exampleDead() outboxEntryBody {
	e, at := exampleRetried, example.At("11:15:01")
	e.State, e.Attempts, e.LastError = StateDead, 1, new("validation_failed")
	e.DeadAt, e.NextAttemptAt = httpapi.NullTime(&at), httpapi.NewTime(example.At("11:15:00"))
	return e
}
