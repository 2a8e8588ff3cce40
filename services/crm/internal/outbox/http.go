package outbox

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// entryState is StatePending or StateDead.
type entryState string

// outboxEntryBody is an entry without its facts, since these are texts and addresses of
// other people.
type outboxEntryBody struct {
	ID            uuid.UUID                      `json:"id" format:"uuid" doc:"The entry's id, and the Idempotency-Key with which it is posted."`
	Kind          string                         `json:"kind" doc:"What the mail is about, for example ticket_changed."`
	Reference     uuid.UUID                      `json:"reference" format:"uuid" doc:"The ticket or user it is about."`
	State         entryState                     `json:"state" doc:"Whether it will be posted."`
	Attempts      int32                          `json:"attempts" doc:"Failed attempts to post it."`
	LastError     *string                        `json:"last_error" doc:"Why the last attempt failed; null if none did."`
	CreatedAt     httpapi.Time                   `json:"created_at" doc:"When it was written."`
	NextAttemptAt httpapi.Time                   `json:"next_attempt_at" doc:"The earliest time of the next attempt."`
	DeadAt        httpapi.Nullable[httpapi.Time] `json:"dead_at" doc:"When the notification service refused it permanently; null while pending."`
}

type listInput struct {
	httpapi.PageParams
	State entryState `query:"state" default:"pending" doc:"Still to be posted, or refused permanently."`
}

type retryInput struct {
	ID string `path:"id" format:"uuid" doc:"The entry's id."`
}

type retryOutput struct{ Body outboxEntryBody }

const tag = "outbox"

// Mount adds the operations on the outbox, which are for admins.
func Mount(api *httpapi.API, d *Dispatcher) {
	httpapi.Enum(api, "OutboxState", "pending will be posted; dead was refused permanently.", entryState(StatePending), entryState(StateDead))
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/outbox", ID: "list-outbox", Tag: tag,
		Summary:     "Notices that are not posted to the notification service",
		Description: "Newest first. A dead entry was refused permanently and may be retried.", Example: exampleEntries,
		Allow: []string{"admin"}, Scope: "admin", Errors: []string{errs.CodeInvalidCursor},
	}, d.list)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/outbox/{id}/retry", ID: "retry-outbox-entry", Tag: tag,
		Summary:     "Post a dead entry again",
		Description: "The entry becomes pending, due at once. An entry that is not dead is a conflict.", Example: exampleRetried,
		Status: http.StatusOK,
		Allow:  []string{"admin"}, Scope: "admin", Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, d.retry)
}

func (d *Dispatcher) list(ctx context.Context, in *listInput) (*httpapi.PageOutput[outboxEntryBody], error) {
	return httpapi.Pager[Entry, uuid.UUID, outboxEntryBody]{
		Filters: in.State,
		Fetch: func(before *uuid.UUID, n int) ([]Entry, error) {
			return list(ctx, d.queries, string(in.State), before, n)
		},
		Position: func(e Entry) uuid.UUID { return e.ID },
		View:     body,
	}.Page(ctx, in.PageParams)
}

func (d *Dispatcher) retry(ctx context.Context, in *retryInput) (*retryOutput, error) {
	id, err := uuid.Parse(in.ID)
	if err != nil {
		return nil, errs.Missing()
	}
	e, err := retry(ctx, d.queries, id)
	if err != nil {
		return nil, err
	}
	d.Wake()
	return &retryOutput{body(e)}, nil
}

func body(e Entry) outboxEntryBody {
	return outboxEntryBody{
		ID: e.ID, Kind: e.Kind, Reference: e.Reference, State: entryState(e.State()), Attempts: e.Attempts, LastError: e.LastError,
		CreatedAt: httpapi.NewTime(e.CreatedAt), NextAttemptAt: httpapi.NewTime(e.NextAttemptAt), DeadAt: httpapi.NullTime(e.DeadAt),
	}
}
