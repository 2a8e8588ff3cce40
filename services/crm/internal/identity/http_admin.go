package identity

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

const (
	tagUsers         = "users"
	tagRegistrations = "registrations"
	tagAudit         = "audit"
)

type listUsersInput struct {
	httpapi.PageParams
	Role   Role   `query:"role" enum:"customer,engineer,admin"`
	Status Status `query:"status" enum:"pending,approved,rejected,suspended"`
	Q      string `query:"q" maxLength:"200" doc:"Part of a name or an address, without case."`
}

type changeUserInput struct {
	ID      uuid.UUID `path:"id" format:"uuid"`
	IfMatch string    `header:"If-Match" doc:"The ETag of the version that was read."`
	Body    struct {
		Role   *Role   `json:"role,omitempty" enum:"customer,engineer,admin"`
		Status *Status `json:"status,omitempty" enum:"pending,approved,rejected,suspended"`
		Name   *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	}
}

func registerUsers(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users", ID: "list-users", Tag: tagUsers, Allow: adminOnly,
		Summary: "Users, newest first",
		Errors:  []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listUsersInput) (*pageOutput[UserBody], error) {
		f := UserFilter{Role: in.Role, Status: in.Status, Q: in.Q}
		return listing[User, UserBody]{
			filters:  []any{"users", f},
			fetch:    func(after *Position, n int) ([]User, error) { return s.Users(ctx, f, after, n) },
			position: func(u User) Position { return Position{u.CreatedAt, u.ID} },
			view:     viewUser,
		}.page(in.PageParams)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users/{id}", ID: "get-user", Tag: tagUsers, Allow: adminOnly,
		Summary: "One user",
		Errors:  []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*userOutput, error) {
		return answerUser(s.User(ctx, in.ID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPatch, Path: "/v1/users/{id}", ID: "change-user", Tag: tagUsers, Allow: adminOnly,
		Summary: "Change a user's role, status or name, from their very next request",
		Errors:  []string{errs.CodeNotFound, errs.CodeLastAdmin, errs.CodeInvalidTransition, errs.CodeVersionMismatch},
	}, func(ctx context.Context, in *changeUserInput) (*userOutput, error) {
		match, err := httpapi.ParseIfMatch(in.IfMatch)
		if err != nil {
			return nil, err
		}
		c := Change{Role: in.Body.Role, Status: in.Body.Status, Name: in.Body.Name}
		return answerUser(s.ChangeUser(ctx, PrincipalFrom(ctx), in.ID, c, func(version int32) bool { return match.Allows(int64(version)) }))
	})
}

type listRegistrationsInput struct {
	httpapi.PageParams
	Role   Role   `query:"role" enum:"engineer,admin"`
	Status Status `query:"status" enum:"pending,approved,rejected,suspended"`
}

type registrationBody struct {
	UserBody
	DecidedBy *uuid.UUID                     `json:"decided_by" format:"uuid" nullable:"true" doc:"The admin who decided."`
	DecidedAt httpapi.Nullable[httpapi.Time] `json:"decided_at"`
	Reason    *string                        `json:"reason" nullable:"true"`
}

func viewRegistration(r Registration) registrationBody {
	return registrationBody{viewUser(r.User), r.DecidedBy, httpapi.NullTime(r.DecidedAt), r.Reason}
}

type registrationOutput struct{ Body registrationBody }

func answerRegistrationBody(r Registration, err error) (*registrationOutput, error) {
	if err != nil {
		return nil, err
	}
	return &registrationOutput{viewRegistration(r)}, nil
}

type decideInput struct {
	UserID uuid.UUID `path:"user_id" format:"uuid"`
}

type rejectInput struct {
	UserID uuid.UUID `path:"user_id" format:"uuid"`
	Body   *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Told to the applicant."`
	}
}

func registerRegistrations(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/registrations", ID: "list-registrations", Tag: tagRegistrations, Allow: adminOnly,
		Summary: "Registrations of engineers and admins, newest first",
		Errors:  []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listRegistrationsInput) (*pageOutput[registrationBody], error) {
		f := UserFilter{Role: in.Role, Status: in.Status}
		return listing[Registration, registrationBody]{
			filters:  []any{"registrations", f},
			fetch:    func(after *Position, n int) ([]Registration, error) { return s.Registrations(ctx, f, after, n) },
			position: func(r Registration) Position { return Position{r.CreatedAt, r.ID} },
			view:     viewRegistration,
		}.page(in.PageParams)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/registrations/{user_id}/approve", ID: "approve-registration", Tag: tagRegistrations, Allow: adminOnly,
		Summary: "Let an applicant in", Status: http.StatusOK,
		Errors: []string{errs.CodeNotFound, errs.CodeAlreadyDecided},
	}, func(ctx context.Context, in *decideInput) (*registrationOutput, error) {
		return answerRegistrationBody(s.Approve(ctx, PrincipalFrom(ctx), in.UserID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/registrations/{user_id}/reject", ID: "reject-registration", Tag: tagRegistrations, Allow: adminOnly,
		Summary: "Turn an applicant down", Status: http.StatusOK,
		Errors: []string{errs.CodeNotFound, errs.CodeAlreadyDecided},
	}, func(ctx context.Context, in *rejectInput) (*registrationOutput, error) {
		reason := ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		return answerRegistrationBody(s.Reject(ctx, PrincipalFrom(ctx), in.UserID, reason))
	})
}

type listAuditInput struct {
	httpapi.PageParams
	Actor         uuid.UUID `query:"actor" format:"uuid" doc:"Who did it."`
	Object        uuid.UUID `query:"object" format:"uuid" doc:"The user or session it was done to."`
	Kind          string    `query:"kind" enum:"admin_created,registered,login_succeeded,login_failed,login_refused,refresh_reused,logged_out,session_ended,password_changed,password_reset_requested,password_reset,email_verified,user_changed,registration_approved,registration_rejected,access_refused"`
	CreatedAfter  time.Time `query:"created_after"`
	CreatedBefore time.Time `query:"created_before"`
}

type auditBody struct {
	ID        uuid.UUID                        `json:"id" format:"uuid"`
	Kind      string                           `json:"kind"`
	ActorID   *uuid.UUID                       `json:"actor_id" format:"uuid" nullable:"true"`
	ObjectID  *uuid.UUID                       `json:"object_id" format:"uuid" nullable:"true"`
	Before    httpapi.Nullable[map[string]any] `json:"before"`
	After     httpapi.Nullable[map[string]any] `json:"after"`
	Address   *string                          `json:"address" nullable:"true"`
	RequestID string                           `json:"request_id"`
	CreatedAt httpapi.Time                     `json:"created_at"`
}

func viewAudit(e AuditEvent) auditBody {
	b := auditBody{
		ID: e.ID, Kind: e.Kind, ActorID: e.Actor, ObjectID: e.Object,
		Before: facts(e.Before), After: facts(e.After), RequestID: e.RequestID, CreatedAt: httpapi.NewTime(e.CreatedAt),
	}
	if e.Address != nil {
		text := e.Address.String()
		b.Address = &text
	}
	return b
}

func facts(m map[string]any) httpapi.Nullable[map[string]any] {
	if m == nil {
		return httpapi.Nullable[map[string]any]{}
	}
	return httpapi.Nullable[map[string]any]{Value: &m}
}

func registerAudit(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/audit", ID: "list-audit-events", Tag: tagAudit, Allow: adminOnly,
		Summary: "Security events, newest first",
		Errors:  []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listAuditInput) (*pageOutput[auditBody], error) {
		f := AuditFilter{
			Actor: idOrNil(in.Actor), Object: idOrNil(in.Object), Kind: in.Kind,
			CreatedAfter: timeOrNil(in.CreatedAfter), CreatedBefore: timeOrNil(in.CreatedBefore),
		}
		return listing[AuditEvent, auditBody]{
			filters:  []any{"audit", f},
			fetch:    func(after *Position, n int) ([]AuditEvent, error) { return s.Audit(ctx, f, after, n) },
			position: func(e AuditEvent) Position { return Position{e.CreatedAt, e.ID} },
			view:     viewAudit,
		}.page(in.PageParams)
	})
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
