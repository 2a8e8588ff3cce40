package identity

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

const tagMe = "me"

type meBody struct {
	UserBody
	Available *bool `json:"available,omitempty" doc:"For engineers: whether tickets are assigned to them."`
}

type meOutput struct{ Body meBody }

type changeMeInput struct {
	Body struct {
		Name      *string `json:"name,omitempty" minLength:"1" maxLength:"200" doc:"How others see you."`
		Available *bool   `json:"available,omitempty" doc:"For engineers: with false no new ticket is assigned to them."`
		HandOver  bool    `json:"hand_over,omitempty" doc:"With available false: the active tickets are assigned to others."`
	}
}

type changePasswordInput struct {
	Body struct {
		CurrentPassword string `json:"current_password" minLength:"1" maxLength:"128" doc:"The password until now."`
		NewPassword     string `json:"new_password" minLength:"8" maxLength:"128" doc:"8 to 128 characters, not a common one."`
	}
}

type sessionBody struct {
	ID        uuid.UUID    `json:"id" format:"uuid" doc:"The session's id."`
	Current   bool         `json:"current" doc:"The session that makes this request."`
	Address   string       `json:"address" doc:"Of the client, when it last signed in or refreshed."`
	UserAgent string       `json:"user_agent" doc:"The program that signed in, as it named itself."`
	CreatedAt httpapi.Time `json:"created_at" doc:"When the user signed in."`
	UsedAt    httpapi.Time `json:"used_at" doc:"Last sign-in or refresh."`
	ExpiresAt httpapi.Time `json:"expires_at" doc:"When the session ends."`
}

func answerMe(p Profile, err error) (*meOutput, error) {
	if err != nil {
		return nil, err
	}
	return &meOutput{meBody{ViewUser(p.User), p.Available}}, nil
}

func registerMe(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/me", ID: "get-me", Tag: tagMe, Allow: anyRole, Scope: ScopePeopleRead, Resource: true, Summary: "One's own profile",
		Description: "The signed-in user.", Example: exampleMe,
	}, func(ctx context.Context, _ *struct{}) (*meOutput, error) {
		return answerMe(s.Me(ctx, PrincipalFrom(ctx)))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPatch, Path: "/v1/me", ID: "change-me", Tag: tagMe, Allow: anyRole, Scope: ScopePeopleWrite, Summary: "Change one's own profile",
		Description: "Fields that are absent stay as they are. Only an engineer has available and hand_over.", RequestExample: exampleChangeMe, Example: exampleMeAway,
	}, func(ctx context.Context, in *changeMeInput) (*meOutput, error) {
		return answerMe(s.ChangeMe(ctx, PrincipalFrom(ctx), ProfileChange{
			Name: in.Body.Name, Available: in.Body.Available, HandOver: in.Body.HandOver,
		}))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/me/password", ID: "change-password", Tag: tagMe, Status: http.StatusNoContent, Allow: anyRole,
		Summary:     "Change one's password; all other sessions end",
		Description: "The person gets a mail about it.", RequestExample: examplePassword,
		Errors: []string{errs.CodeInvalidCredentials, errs.CodeRateLimited},
	}, func(ctx context.Context, in *changePasswordInput) (*struct{}, error) {
		quotas, err := s.ChangePassword(ctx, PrincipalFrom(ctx), in.Body.CurrentPassword, in.Body.NewPassword)
		SetQuotas(ctx, quotas)
		return nil, err
	})
	registerSessions(api, s)
}

func registerSessions(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/me/sessions", ID: "list-sessions", Tag: tagMe, Allow: anyRole,
		Summary:     "One's own valid sessions, newest first",
		Description: "Each sign-in starts one.", Example: exampleSessions,
		Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *struct{ httpapi.PageParams }) (*httpapi.PageOutput[sessionBody], error) {
		return listSessions(ctx, s, PrincipalFrom(ctx).UserID, in.PageParams)
	})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/me/export", ID: "export-me", Tag: tagMe, Allow: anyRole,
		Summary: "All data stored about oneself, as JSON", Description: exportDescription, Headers: []string{"Content-Disposition"}, Example: exampleExport,
	}, "application/json", func(ctx context.Context, _ *struct{}) (httpapi.Stream, error) {
		return exportStream(ctx, s, PrincipalFrom(ctx).UserID)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/me/sessions/{id}", ID: "end-session", Tag: tagMe, Status: http.StatusNoContent, Allow: anyRole,
		Summary:     "End one of one's own sessions",
		Description: "Its tokens are refused at once.",
		Errors:      []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) {
		return nil, s.EndSession(ctx, PrincipalFrom(ctx), in.ID)
	})
}

const exportDescription = "`{profile, preferences: […], sessions: […], api_keys: […], tickets: […], comments: […], attachments: […], mails: […], follows: […], audit_events: […]}`, " +
	"sent as a download while it is read. `tickets` are those reported, `follows` those followed, `mails` those sent, and `preferences` has at most one item."

// exportStall is how long a client may read nothing before it is disconnected.
const exportStall = 30 * time.Second

func exportStream(ctx context.Context, s *Service, id uuid.UUID) (httpapi.Stream, error) {
	write, err := s.Export(ctx, PrincipalFrom(ctx), id)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w *httpapi.StreamWriter) error {
		w.SetHeader("Content-Disposition", `attachment; filename="export.json"`)
		return write(ctx, deadlineWriter{w, s.Now})
	}, nil
}

// deadlineWriter sets a deadline for each write.
type deadlineWriter struct {
	w   *httpapi.StreamWriter
	now func() time.Time
}

func (d deadlineWriter) Write(b []byte) (int, error) {
	if err := d.w.SetWriteDeadline(d.now().Add(exportStall)); err != nil {
		return 0, err
	}
	return d.w.Write(b)
}

func listSessions(ctx context.Context, s *Service, userID uuid.UUID, params httpapi.PageParams) (*httpapi.PageOutput[sessionBody], error) {
	current := PrincipalFrom(ctx).SessionID
	return httpapi.Pager[Session, Position, sessionBody]{
		Filters:  []any{"sessions", userID},
		Fetch:    func(after *Position, n int) ([]Session, error) { return s.Sessions(ctx, userID, after, n) },
		Position: func(x Session) Position { return Position{x.CreatedAt, x.ID} },
		View:     func(x Session) sessionBody { return viewSession(x, current) },
	}.Page(ctx, params)
}

func viewSession(x Session, current uuid.UUID) sessionBody {
	b := sessionBody{
		ID: x.ID, Current: x.ID == current, UserAgent: x.UserAgent,
		CreatedAt: httpapi.NewTime(x.CreatedAt), UsedAt: httpapi.NewTime(x.UsedAt), ExpiresAt: httpapi.NewTime(x.ExpiresAt),
	}
	if x.Address != nil {
		b.Address = x.Address.String()
	}
	return b
}
