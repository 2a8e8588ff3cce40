package reports

import (
	"context"
	"net/http"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// Register mounts the reports.
func Register(api *httpapi.API, s *Service) {
	h := handlers{s}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/reports/tickets", ID: "report-tickets", Tag: "reports", Allow: ticket.Admins, Scope: identity.ScopeTicketsRead,
		Summary: "Figures of tickets, per day and per engineer",
		Description: "Each change counts on its day (UTC) and for the person who made it. " +
			"created: a ticket was created. accepted: it went from open to in_progress. resolved: it became resolved. " +
			"reopened: it went from resolved or closed back to an active status; it counts for the person who had resolved it last. " +
			"time_to_accept: from the creation to the first acceptance. time_to_resolve: from the creation, or the last reopening, to the resolution. " +
			"Times are in seconds; medians and 90th percentiles are interpolated between neighbours, differ from the exact ones by at most 0.05 % and 1 ms, and are null where nothing was measured. " +
			"Days without changes are listed with zeros. engineers lists all who made such a change, including admins; " +
			"what a customer created counts for the day and the total alone, also after the customer became an engineer.",
		Example: exampleReport(),
	}, h.report)
}

type handlers struct{ s *Service }

type reportInput struct {
	From string `query:"from" maxLength:"40" doc:"A date (from its beginning, UTC) or an RFC 3339 time. Default: the last 30 days of the period. At most 366 days before the end."`
	To   string `query:"to" maxLength:"40" doc:"A date (including that day) or an RFC 3339 time (exclusive). Default: now."`
}

type reportAnswer struct {
	Body ticketReportView
}

type ticketReportView struct {
	From      httpapi.Time         `json:"from" doc:"The beginning of the period, inclusive."`
	To        httpapi.Time         `json:"to" doc:"The end of the period, exclusive."`
	Days      []dayReportView      `json:"days" nullable:"false" doc:"Each day of the period, oldest first."`
	Engineers []engineerReportView `json:"engineers" nullable:"false" doc:"By name."`
	Total     FiguresView          `json:"total" doc:"The whole period."`
}

type dayReportView struct {
	Date string `json:"date" format:"date" doc:"The day, in UTC."`
	FiguresView
}

type engineerReportView struct {
	Engineer ticket.PersonView `json:"engineer" doc:"Who made the changes."`
	FiguresView
}

// FiguresView is exported for huma, which reads the fields of an embedded
// struct only then.
type FiguresView struct {
	Created       int        `json:"created" doc:"Tickets created."`
	Accepted      int        `json:"accepted" doc:"Tickets that went from open to in_progress."`
	Resolved      int        `json:"resolved" doc:"Tickets that became resolved."`
	Reopened      int        `json:"reopened" doc:"Tickets that went from resolved or closed back to an active status."`
	TimeToAccept  spreadView `json:"time_to_accept" doc:"From the creation to the first acceptance."`
	TimeToResolve spreadView `json:"time_to_resolve" doc:"From the creation, or the last reopening, to the resolution."`
}

type spreadView struct {
	MedianSeconds *float64 `json:"median_seconds" doc:"Half of the times are shorter; null where nothing was measured."`
	P90Seconds    *float64 `json:"p90_seconds" doc:"Nine of ten times are shorter; null where nothing was measured."`
	Count         int      `json:"count" doc:"How many times were measured."`
}

func viewFigures(f Figures) FiguresView {
	return FiguresView{
		Created: f.Created, Accepted: f.Accepted, Resolved: f.Resolved, Reopened: f.Reopened,
		TimeToAccept: viewSpread(f.TimeToAccept), TimeToResolve: viewSpread(f.TimeToResolve),
	}
}

func viewSpread(s Spread) spreadView {
	if s.Count == 0 {
		return spreadView{}
	}
	return spreadView{MedianSeconds: &s.Median, P90Seconds: &s.P90, Count: s.Count}
}

func (h handlers) report(ctx context.Context, in *reportInput) (*reportAnswer, error) {
	from, to, wrong := period(in.From, in.To, h.s.now())
	if len(wrong) > 0 {
		return nil, errs.Validation(wrong...)
	}
	r, err := h.s.Report(ctx, from, to)
	if err != nil {
		return nil, err
	}
	v := ticketReportView{
		From: httpapi.NewTime(r.From), To: httpapi.NewTime(r.To), Total: viewFigures(r.Total),
		Days: make([]dayReportView, len(r.Days)), Engineers: make([]engineerReportView, len(r.People)),
	}
	for i, d := range r.Days {
		v.Days[i] = dayReportView{Date: d.Date, FiguresView: viewFigures(d.Figures)}
	}
	for i, p := range r.People {
		v.Engineers[i] = engineerReportView{Engineer: ticket.ViewPerson(p.Person), FiguresView: viewFigures(p.Figures)}
	}
	return &reportAnswer{Body: v}, nil
}
