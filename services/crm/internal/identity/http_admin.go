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
	Role   Role   `query:"role" doc:"Users with this role."`
	Status Status `query:"status" doc:"Users with this status."`
	Q      string `query:"q" maxLength:"200" doc:"Part of a name or an address, without case."`
}

type changeUserInput struct {
	ID      uuid.UUID `path:"id" format:"uuid" doc:"The user's id."`
	IfMatch string    `header:"If-Match" doc:"The ETag that was read; the change is refused when the user has changed since." example:"\"3\""`
	Body    struct {
		Role      *Role   `json:"role,omitempty" doc:"What the user may do from now on."`
		Status    *Status `json:"status,omitempty" doc:"Whether the user may sign in: suspended ends all sessions at once, approved ends a suspension."`
		Name      *string `json:"name,omitempty" minLength:"1" maxLength:"200" doc:"How others see the user."`
		Email     *string `json:"email,omitempty" minLength:"3" maxLength:"254" doc:"The address for signing in; the old and the new one are informed, and the new one is not verified."`
		Available *bool   `json:"available,omitempty" doc:"For approved engineers: with false no new ticket is assigned to them."`
		Reason    string  `json:"reason,omitempty" maxLength:"1000" doc:"With status rejected or suspended: mailed to the person."`
	}
}

type inviteInput struct {
	Body struct {
		Name  string `json:"name" minLength:"1" maxLength:"200" doc:"How others see the user."`
		Email string `json:"email" minLength:"3" maxLength:"254" doc:"Where the invitation goes; the address for signing in."`
		Role  Role   `json:"role,omitempty" default:"customer" doc:"What the user may do."`
	}
}

type invitedOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     UserBody
}

func registerUsers(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users", ID: "list-users", Tag: tagUsers, Allow: adminOnly, Scope: ScopePeopleRead,
		Summary:     "Users, newest first",
		Description: "Also those who wait for approval, are rejected or are suspended.", Example: exampleUsers,
		Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listUsersInput) (*httpapi.PageOutput[UserBody], error) {
		f := UserFilter{Role: in.Role, Status: in.Status, Q: in.Q}
		return httpapi.Pager[User, Position, UserBody]{
			Filters:  []any{"users", f},
			Fetch:    func(after *Position, n int) ([]User, error) { return s.Users(ctx, f, after, n) },
			Position: func(u User) Position { return Position{u.CreatedAt, u.ID} },
			View:     ViewUser,
		}.Page(ctx, in.PageParams)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users/{id}", ID: "get-user", Tag: tagUsers, Allow: adminOnly, Scope: ScopePeopleRead, Resource: true,
		Summary:     "One user",
		Description: "The ETag is for If-Match of a change.", Example: exampleErik,
		Errors: []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*userOutput, error) {
		return answerUser(s.User(ctx, in.ID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPatch, Path: "/v1/users/{id}", ID: "change-user", Tag: tagUsers, Allow: adminOnly, Scope: ScopeAdmin,
		Summary: "Change a user, from their very next request",
		Description: "Fields that are absent stay as they are. The steps of status are: pending to approved or rejected, approved to suspended or rejected, suspended to approved or rejected, rejected to approved. A user who is no longer approved is signed out at once; another role holds from the next request on; the active tickets of somebody who is no longer an engineer are assigned to others. The last approved admin can't be demoted, rejected or suspended. " +
			"With If-Match the change is refused when the user has changed since.",
		RequestExample: exampleSuspend, Example: exampleSuspended,
		Errors: []string{errs.CodeNotFound, errs.CodeLastAdmin, errs.CodeInvalidTransition, errs.CodeVersionMismatch, errs.CodeEmailTaken},
	}, func(ctx context.Context, in *changeUserInput) (*userOutput, error) {
		match, err := httpapi.ParseIfMatch(in.IfMatch)
		if err != nil {
			return nil, err
		}
		c := Change{
			Role: in.Body.Role, Status: in.Body.Status, Name: in.Body.Name,
			Email: in.Body.Email, Available: in.Body.Available, Reason: in.Body.Reason,
		}
		return answerUser(s.ChangeUser(ctx, PrincipalFrom(ctx), in.ID, c, func(version int32) bool { return match.Allows(int64(version)) }))
	})
}

func registerPeople(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/users", ID: "invite-user", Tag: tagUsers, Status: http.StatusCreated, Allow: adminOnly, Scope: ScopeAdmin,
		Summary:     "Invite a person",
		Description: "Makes an approved account without a password and mails a token that sets one with `POST /v1/auth/password/reset` within 7 days.", RequestExample: exampleInvite, Example: exampleSofia,
		Errors: []string{errs.CodeEmailTaken},
	}, func(ctx context.Context, in *inviteInput) (*invitedOutput, error) {
		u, err := answerUser(s.Invite(ctx, PrincipalFrom(ctx), NewUser{Name: in.Body.Name, Email: in.Body.Email, Role: in.Body.Role}))
		if err != nil {
			return nil, err
		}
		return &invitedOutput{Location: "/v1/users/" + u.Body.ID.String(), ETag: u.ETag, Body: u.Body}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/users/{id}", ID: "erase-user", Tag: tagUsers, Status: http.StatusNoContent, Allow: adminOnly,
		Summary: "Erase a person",
		Description: "Removes name, address, password, sessions, and the naming fields of the audit. Tickets and comments stay, by \"Erased user\"; " +
			"an engineer's active tickets are assigned to others; the address is free again. Mails that the person sent are deleted, with their files, and what is stored of the mails to the address is erased.",
		Errors: []string{errs.CodeNotFound, errs.CodeLastAdmin},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) {
		return nil, s.Erase(ctx, PrincipalFrom(ctx), in.ID)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users/{id}/sessions", ID: "list-user-sessions", Tag: tagUsers, Allow: adminOnly,
		Summary:     "A user's valid sessions, newest first",
		Description: "Where and with which program the user has signed in.", Example: exampleSessions,
		Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *userSessionsInput) (*httpapi.PageOutput[sessionBody], error) {
		if _, err := s.User(ctx, in.ID); err != nil {
			return nil, err
		}
		return listSessions(ctx, s, in.ID, in.PageParams)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/users/{id}/sessions", ID: "end-user-sessions", Tag: tagUsers, Status: http.StatusNoContent, Allow: adminOnly,
		Summary:     "End all sessions of a user",
		Description: "All tokens of the user are refused at once.",
		Errors:      []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) {
		return nil, s.EndSessions(ctx, PrincipalFrom(ctx), in.ID)
	})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users/{id}/export", ID: "export-user", Tag: tagUsers, Allow: adminOnly, Scope: ScopeAdmin,
		Summary: "All data stored about a person, as JSON", Description: exportDescription, Headers: []string{"Content-Disposition"}, Example: exampleExport,
		Errors: []string{errs.CodeNotFound},
	}, "application/json", func(ctx context.Context, in *idInput) (httpapi.Stream, error) {
		return exportStream(ctx, s, in.ID)
	})
}

type userSessionsInput struct {
	httpapi.PageParams
	ID uuid.UUID `path:"id" format:"uuid" doc:"The user's id."`
}

type applicantRole Role

type listRegistrationsInput struct {
	httpapi.PageParams
	Role   applicantRole `query:"role" doc:"Registrations for this role."`
	Status Status        `query:"status" doc:"Registrations with this status; pending waits for a decision."`
}

type registrationBody struct {
	UserBody
	DecidedBy *uuid.UUID                     `json:"decided_by" format:"uuid" nullable:"true" doc:"The admin who decided; null while pending."`
	DecidedAt httpapi.Nullable[httpapi.Time] `json:"decided_at" doc:"When it was decided; null while pending."`
	Reason    *string                        `json:"reason" nullable:"true" doc:"Why it was rejected; null if it was not, or without a reason."`
}

func viewRegistration(r Registration) registrationBody {
	return registrationBody{ViewUser(r.User), r.DecidedBy, httpapi.NullTime(r.DecidedAt), r.Reason}
}

type registrationOutput struct{ Body registrationBody }

func answerRegistrationBody(r Registration, err error) (*registrationOutput, error) {
	if err != nil {
		return nil, err
	}
	return &registrationOutput{viewRegistration(r)}, nil
}

type decideInput struct {
	UserID uuid.UUID `path:"user_id" format:"uuid" doc:"The applicant's user id."`
}

type rejectInput struct {
	UserID uuid.UUID `path:"user_id" format:"uuid" doc:"The applicant's user id."`
	Body   *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Mailed to the applicant."`
	}
}

func registerRegistrations(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/registrations", ID: "list-registrations", Tag: tagRegistrations, Allow: adminOnly, Scope: ScopePeopleRead,
		Summary:     "Registrations of engineers and admins, newest first",
		Description: "With status=pending those that wait for a decision.", Example: exampleRegistrations,
		Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listRegistrationsInput) (*httpapi.PageOutput[registrationBody], error) {
		f := UserFilter{Role: Role(in.Role), Status: in.Status}
		return httpapi.Pager[Registration, Position, registrationBody]{
			Filters:  []any{"registrations", f},
			Fetch:    func(after *Position, n int) ([]Registration, error) { return s.Registrations(ctx, f, after, n) },
			Position: func(r Registration) Position { return Position{r.CreatedAt, r.ID} },
			View:     viewRegistration,
		}.Page(ctx, in.PageParams)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/registrations/{user_id}/approve", ID: "approve-registration", Tag: tagRegistrations, Allow: adminOnly, Scope: ScopeAdmin,
		Summary: "Approve a registration", Status: http.StatusOK,
		Description: "The applicant may sign in from then on, and is mailed. Of two admins who decide at the same time one succeeds.", Example: exampleApproved,
		Errors: []string{errs.CodeNotFound, errs.CodeAlreadyDecided},
	}, func(ctx context.Context, in *decideInput) (*registrationOutput, error) {
		return answerRegistrationBody(s.Approve(ctx, PrincipalFrom(ctx), in.UserID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/registrations/{user_id}/reject", ID: "reject-registration", Tag: tagRegistrations, Allow: adminOnly, Scope: ScopeAdmin,
		Summary: "Reject a registration", Status: http.StatusOK,
		Description: "The applicant is mailed the reason.", RequestExample: exampleRefusal, Example: exampleRejected,
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
	Actor         uuid.UUID `query:"actor" format:"uuid" doc:"The user who acted."`
	Object        uuid.UUID `query:"object" format:"uuid" doc:"The user, session, API key or comment that was acted on."`
	Kind          AuditKind `query:"kind" doc:"What happened."`
	CreatedAfter  time.Time `query:"created_after" doc:"Events after this time (RFC 3339)." example:"2026-01-12T00:00:00Z"`
	CreatedBefore time.Time `query:"created_before" doc:"Events before this time (RFC 3339)." example:"2026-01-13T00:00:00Z"`
}

type auditEventBody struct {
	ID         uuid.UUID                        `json:"id" format:"uuid" doc:"The event's id."`
	Kind       AuditKind                        `json:"kind" doc:"What happened."`
	ActorID    *uuid.UUID                       `json:"actor_id" format:"uuid" nullable:"true" doc:"The user who acted; null for nobody who is known."`
	ActorName  *string                          `json:"actor_name" nullable:"true" doc:"That user's name now; null for nobody who is known."`
	ObjectID   *uuid.UUID                       `json:"object_id" format:"uuid" nullable:"true" doc:"The user, session, API key or comment that was acted on; null for none."`
	ObjectName *string                          `json:"object_name" nullable:"true" doc:"The name now of the user who was acted on; null for anything else."`
	Before     httpapi.Nullable[map[string]any] `json:"before" doc:"The facts before, by kind; never a secret. null for none."`
	After      httpapi.Nullable[map[string]any] `json:"after" doc:"The facts after, by kind; never a secret. null for none."`
	Address    *string                          `json:"address" nullable:"true" doc:"The client's network address; null when it is not known."`
	RequestID  string                           `json:"request_id" doc:"The X-Request-Id of the request."`
	CreatedAt  httpapi.Time                     `json:"created_at" doc:"When it happened."`
}

func viewAudit(e AuditEvent) auditEventBody {
	b := auditEventBody{
		ID: e.ID, Kind: AuditKind(e.Kind), ActorID: e.Actor, ActorName: e.ActorName, ObjectID: e.Object, ObjectName: e.ObjectName,
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
		Method: http.MethodGet, Path: "/v1/audit", ID: "list-audit-events", Tag: tagAudit, Allow: adminOnly, Scope: ScopeAdmin,
		Summary:     "Security events, newest first",
		Description: "Sign-ins, changes of accounts, decisions and refusals, each with who, whom and from where.", Example: exampleAudit,
		Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listAuditInput) (*httpapi.PageOutput[auditEventBody], error) {
		f := AuditFilter{
			Actor: idOrNil(in.Actor), Object: idOrNil(in.Object), Kind: string(in.Kind),
			CreatedAfter: timeOrNil(in.CreatedAfter), CreatedBefore: timeOrNil(in.CreatedBefore),
		}
		return httpapi.Pager[AuditEvent, Position, auditEventBody]{
			Filters:  []any{"audit", f},
			Fetch:    func(after *Position, n int) ([]AuditEvent, error) { return s.Audit(ctx, f, after, n) },
			Position: func(e AuditEvent) Position { return Position{e.CreatedAt, e.ID} },
			View:     viewAudit,
		}.Page(ctx, in.PageParams)
	})
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
