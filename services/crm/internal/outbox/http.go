package outbox

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// entryBody is an entry without its facts, since these are texts and addresses of
// other people.
type entryBody struct {
	ID            uuid.UUID                      `json:"id" format:"uuid"`
	Kind          string                         `json:"kind" doc:"For example ticket_changed."`
	Reference     uuid.UUID                      `json:"reference" format:"uuid" doc:"The ticket or user it is about."`
	State         string                         `json:"state" enum:"pending,dead"`
	Attempts      int32                          `json:"attempts" doc:"Failed attempts to post it."`
	LastError     *string                        `json:"last_error"`
	CreatedAt     httpapi.Time                   `json:"created_at"`
	NextAttemptAt httpapi.Time                   `json:"next_attempt_at"`
	DeadAt        httpapi.Nullable[httpapi.Time] `json:"dead_at" doc:"When the notification service refused it permanently; null while pending."`
}

type listInput struct {
	httpapi.PageParams
	State string `query:"state" enum:"pending,dead" default:"pending" doc:"Still to be posted, or refused permanently."`
}

type retryInput struct {
	ID string `path:"id" format:"uuid"`
}

type retryOutput struct{ Body entryBody }

const tag = "outbox"

// Mount adds the operations on the outbox, which are for admins.
func Mount(api *httpapi.API, d *Dispatcher) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/outbox", ID: "list-outbox", Tag: tag,
		Summary:     "Notices that are not posted to the notification service",
		Description: "Newest first. A dead entry was refused permanently and may be retried.",
		Allow:       []string{"admin"}, Scope: "admin", Errors: []string{errs.CodeInvalidCursor},
	}, d.list)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/outbox/{id}/retry", ID: "retry-outbox-entry", Tag: tag,
		Summary:     "Post a dead entry again",
		Description: "The entry becomes pending, due at once. An entry that is not dead is a conflict.",
		Status:      http.StatusOK,
		Allow:       []string{"admin"}, Scope: "admin", Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, d.retry)
}

func (d *Dispatcher) list(ctx context.Context, in *listInput) (*httpapi.PageOutput[entryBody], error) {
	return httpapi.Pager[Entry, uuid.UUID, entryBody]{
		Filters: in.State,
		Fetch: func(before *uuid.UUID, n int) ([]Entry, error) {
			return list(ctx, d.queries, in.State, before, n)
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

func body(e Entry) entryBody {
	return entryBody{
		ID: e.ID, Kind: e.Kind, Reference: e.Reference, State: e.State(), Attempts: e.Attempts, LastError: e.LastError,
		CreatedAt: httpapi.NewTime(e.CreatedAt), NextAttemptAt: httpapi.NewTime(e.NextAttemptAt), DeadAt: httpapi.NullTime(e.DeadAt),
	}
}
