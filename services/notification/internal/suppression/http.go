package suppression

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

const tag = "suppressions"

// suppressionRequest is notifyapi.SuppressionRequest under its name in the document.
type suppressionRequest notifyapi.SuppressionRequest

type suppressionBody struct {
	Email     string                      `json:"email" doc:"The address in its canonical form: lower case, the domain in ASCII."`
	Source    notifyapi.SuppressionSource `json:"source"`
	Reason    string                      `json:"reason" doc:"The words of the delivery report, the kind of complaint, or why a client added the address."`
	CreatedAt httpapi.Time                `json:"created_at" doc:"Since when it is suppressed."`
}

func view(s Suppression) suppressionBody {
	return suppressionBody{Email: s.Email, Source: s.Source, Reason: s.Reason, CreatedAt: httpapi.NewTime(s.CreatedAt)}
}

type listInput struct {
	httpapi.PageParams
	Q string `query:"q" minLength:"1" maxLength:"254" doc:"Those whose address contains this, in any case."`
}

type addInput struct{ Body suppressionRequest }

type emailInput struct {
	Email string `path:"email" minLength:"3" maxLength:"1016" doc:"The address, in any spelling." example:"ada@example.com"`
}

type output struct{ Body suppressionBody }

var example = view(Suppression{
	Email: "ada@example.com", Source: notifyapi.SourceBounce, Reason: "550 5.1.1 The user does not exist",
	CreatedAt: time.Date(2026, 1, 12, 9, 30, 26, 0, time.UTC),
})

// Register adds the routes of the suppression list to the API.
func Register(api *httpapi.API, s *Service) {
	httpapi.Enum(api, "SuppressionSource",
		"Why an address is suppressed. bounce: a delivery report said that mails to it fail for good. complaint: its owner called a mail unwanted. manual: a client added it.",
		notifyapi.SourceBounce, notifyapi.SourceComplaint, notifyapi.SourceManual)
	registerRead(api, s)
	registerManage(api, s)
}

func registerRead(api *httpapi.API, s *Service) {
	read := []string{notifyapi.ScopeRead}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/suppressions", ID: "list-suppressions", Tag: tag, Allow: read,
		Summary: "List the suppressed addresses", Description: "Newest first.",
		Errors: []string{errs.CodeInvalidCursor}, Example: httpapi.NewPage([]suppressionBody{example}, ""),
	}, func(ctx context.Context, in *listInput) (*httpapi.PageOutput[suppressionBody], error) {
		return httpapi.Pager[Suppression, uuid.UUID, suppressionBody]{
			Filters:  []any{"suppressions", in.Q},
			Fetch:    func(before *uuid.UUID, n int) ([]Suppression, error) { return s.List(ctx, in.Q, before, n) },
			Position: func(s Suppression) uuid.UUID { return s.ID }, View: view,
		}.Page(ctx, in.PageParams)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/suppressions/{email}", ID: "get-suppression", Tag: tag, Allow: read, Resource: true,
		Summary: "Get the entry of an address", Description: "404 when the address is not suppressed.",
		Errors: []string{errs.CodeNotFound}, Example: example,
	}, func(ctx context.Context, in *emailInput) (*output, error) {
		found, err := s.Get(ctx, in.Email)
		if err != nil {
			return nil, err
		}
		return &output{view(found)}, nil
	})
}

func registerManage(api *httpapi.API, s *Service) {
	manage := []string{notifyapi.ScopeManage}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/suppressions", ID: "add-suppression", Tag: tag, Allow: manage, Status: http.StatusOK,
		Summary: "Suppress an address",
		Description: "No mail is sent to it any more: its recipients end as suppressed, those of stored notifications, too. " +
			"Only an urgent mail is still tried, once. An address that is on the list keeps its first entry, which is answered.",
		RequestExample: suppressionRequest{Email: "ada@example.com", Reason: "The mailbox was closed, says its owner"},
		Example: view(Suppression{
			Email: "ada@example.com", Source: notifyapi.SourceManual, Reason: "The mailbox was closed, says its owner",
			CreatedAt: time.Date(2026, 1, 12, 9, 30, 26, 0, time.UTC),
		}),
	}, func(ctx context.Context, in *addInput) (*output, error) {
		added, err := s.Suppress(ctx, notifyapi.SuppressionRequest(in.Body))
		if err != nil {
			return nil, err
		}
		return &output{view(added)}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/suppressions/{email}", ID: "delete-suppression", Tag: tag, Allow: manage,
		Summary:     "Take an address from the suppression list",
		Description: "It is mailed again from now on. Recipients that ended as suppressed or bounced can be queued again by a retry of their notification. 204 also when the address is not on the list.",
	}, func(ctx context.Context, in *emailInput) (*struct{}, error) {
		return nil, s.Unsuppress(ctx, in.Email)
	})
}
