package delivery

import (
	"context"
	"net/http"
	"time"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

const tag = "sending"

type sendingBody struct {
	Paused   bool                           `json:"paused" doc:"No replica begins another mail."`
	PausedAt httpapi.Nullable[httpapi.Time] `json:"paused_at" doc:"Since when; null while mails are sent."`
	PausedBy httpapi.Nullable[string]       `json:"paused_by" doc:"The client that paused it; null while mails are sent."`
	Held     int64                          `json:"held" doc:"Recipients that are held back after a restore, until they are released."`
}

func view(s SendingState) sendingBody {
	body := sendingBody{Held: s.Held, Paused: s.PausedAt != nil, PausedAt: httpapi.NullTime(s.PausedAt)}
	if body.Paused {
		body.PausedBy.Value = &s.PausedBy
	}
	return body
}

type sendingOutput struct{ Body sendingBody }

var paused = view(SendingState{PausedAt: new(time.Date(2026, 1, 12, 9, 30, 26, 0, time.UTC)), PausedBy: "ops"})

// Register adds the routes of pausing and resuming to the API. caller names the client
// of a request.
func Register(api *httpapi.API, s *Sending, caller func(context.Context) string) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/sending", ID: "get-sending", Tag: tag, Allow: []string{notifyapi.ScopeRead},
		Summary: "Whether mails are sent", Example: paused,
	}, func(ctx context.Context, _ *struct{}) (*sendingOutput, error) {
		state, err := s.State(ctx)
		return &sendingOutput{view(state)}, err
	})
	change := func(verb, id, summary, description string, example sendingBody, do func(context.Context, string) (SendingState, error)) {
		httpapi.Register(api, httpapi.Operation{
			Method: http.MethodPost, Path: "/v1/sending/" + verb, ID: id, Tag: tag, Allow: []string{notifyapi.ScopeManage}, Status: http.StatusOK,
			Summary: summary, Description: description, Example: example,
		}, func(ctx context.Context, _ *struct{}) (*sendingOutput, error) {
			state, err := do(ctx, caller(ctx))
			return &sendingOutput{view(state)}, err
		})
	}
	change("pause", "pause-sending", "Pause the sending of mails",
		"No replica begins another mail; those that a worker has are finished. Notifications are accepted as before, and mails that expire meanwhile are not sent. A pause that lasts already stays as it is.",
		paused, s.Pause)
	change("resume", "resume-sending", "Resume the sending of mails", "Mails are sent again within the poll interval.", sendingBody{}, s.Resume)
	change("release", "release-held-mails", "Release the mails that are held back",
		"Mails that notification after-restore has held back are sent; giving up counts from now on. Cancel the notifications before whose mails are not to be sent.",
		sendingBody{}, s.Release)
}
