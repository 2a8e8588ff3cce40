package operations

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/identity"
)

var staff = []string{"engineer", "admin"}

type suppressionsInput struct {
	httpapi.PageParams
	Q string `query:"q" minLength:"1" maxLength:"254" doc:"Those whose address contains this, in any case."`
}

type suppressInput struct {
	Body struct {
		Email  string `json:"email" minLength:"3" maxLength:"254" doc:"The address, in any spelling."`
		Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why, in one line."`
	}
}

type addressInput struct {
	Email string `path:"email" minLength:"3" maxLength:"254" doc:"The address, in any spelling." example:"ada@example.com"`
}

type userInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The user's id."`
}

type suppressionView struct {
	Email     string                      `json:"email" format:"email" doc:"The address: lower case, the domain in ASCII."`
	Source    notifyapi.SuppressionSource `json:"source" doc:"Why it is suppressed."`
	Reason    string                      `json:"reason" doc:"The mail server's words, the kind of complaint, or why somebody added it."`
	CreatedAt httpapi.Time                `json:"created_at" doc:"Since when it is suppressed."`
}

type suppressionOutput struct{ Body suppressionView }

type userMailOutput struct{ Body userMailView }

// userMailView is whether mails to a user's address are sent.
type userMailView struct {
	Suppressed bool                                          `json:"suppressed" doc:"Whether mails to the user's address are not sent."`
	Source     httpapi.Nullable[notifyapi.SuppressionSource] `json:"source" doc:"Why; null when it is not suppressed."`
	Reason     httpapi.Nullable[string]                      `json:"reason" doc:"The mail server's words, the kind of complaint, or why somebody added it; null when it is not suppressed."`
	Since      httpapi.Nullable[httpapi.Time]                `json:"since" doc:"Since when; null when it is not suppressed."`
}

func viewSuppression(s notifyapi.Suppression) suppressionView {
	return suppressionView{Email: s.Email, Source: s.Source, Reason: s.Reason, CreatedAt: httpapi.NewTime(s.CreatedAt)}
}

func viewUserMail(s *notifyapi.Suppression) userMailView {
	if s == nil {
		return userMailView{}
	}
	return userMailView{
		Suppressed: true, Source: nullable(&s.Source), Reason: nullable(&s.Reason), Since: httpapi.NullTime(&s.CreatedAt),
	}
}

var exampleSuppression = notifyapi.Suppression{
	Email: "ada@example.com", Source: notifyapi.SourceBounce, Reason: "550 5.1.1 The user does not exist",
	CreatedAt: time.Date(2026, 1, 12, 9, 30, 26, 0, time.UTC),
}

func registerSuppressions(api *httpapi.API, s *Service) {
	httpapi.Enum(api, "SuppressionSource",
		"Why an address is suppressed. bounce: mails to it came back for good. complaint: its owner called a mail unwanted. manual: an admin or a client added it.",
		notifyapi.SourceBounce, notifyapi.SourceComplaint, notifyapi.SourceManual)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/suppressions", ID: "list-suppressions", Tag: tag, Allow: adminOnly,
		Summary:     "Addresses that are mailed no more, newest first",
		Description: "Mails to them came back for good, their owners complained, or somebody added them. 503 while the notification service does not answer.",
		Errors:      []string{errs.CodeInvalidCursor}, Example: httpapi.NewPage([]suppressionView{viewSuppression(exampleSuppression)}, ""),
	}, func(ctx context.Context, in *suppressionsInput) (*httpapi.PageOutput[suppressionView], error) {
		p, err := s.Suppressions(ctx, in.Q, in.Limit, in.Cursor)
		return page(ctx, p, err, viewSuppression)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/operations/suppressions", ID: "add-suppression", Tag: tag, Allow: adminOnly, Status: http.StatusOK,
		Summary:     "Suppress an address",
		Description: "No mail goes to it any more, save that mails with tokens are tried once. An address that is on the list keeps its first entry, which is answered.",
		Example:     viewSuppression(exampleSuppression),
	}, func(ctx context.Context, in *suppressInput) (*suppressionOutput, error) {
		added, err := s.Suppress(ctx, notifyapi.SuppressionRequest{Email: in.Body.Email, Reason: in.Body.Reason})
		if err != nil {
			return nil, err
		}
		return &suppressionOutput{viewSuppression(added)}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/operations/suppressions/{email}", ID: "delete-suppression", Tag: tag, Allow: adminOnly,
		Summary:     "Take an address from the suppression list",
		Description: "It is mailed again from now on. A retry of a notification queues its suppressed and bounced recipients again. 204 also when the address is not on the list.",
	}, func(ctx context.Context, in *addressInput) (*struct{}, error) {
		return nil, s.Unsuppress(ctx, in.Email)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/users/{id}/mail", ID: "get-user-mail", Tag: "users", Allow: staff, Scope: identity.ScopePeopleRead,
		Summary:     "Whether mails to a user are sent",
		Description: "Not when mails to the user's address came back for good, its owner complained, or an admin suppressed it. 503 while the notification service does not answer.",
		Errors:      []string{errs.CodeNotFound}, Example: viewUserMail(&exampleSuppression),
	}, func(ctx context.Context, in *userInput) (*userMailOutput, error) {
		found, err := s.SuppressionOf(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &userMailOutput{viewUserMail(found)}, nil
	})
}
