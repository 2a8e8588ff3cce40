package reports

import (
	"time"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
	"fixdesk/services/crm/internal/ticket"
)

// exampleReport is the day on which the ticket of the examples was resolved.
func exampleReport() ticketReportView {
	day := example.At("00:00:00")
	figures := viewFigures(Figures{
		Accepted: 1, Resolved: 1,
		TimeToAccept: Spread{Median: 720, P90: 720, Count: 1}, TimeToResolve: Spread{Median: 6300, P90: 6300, Count: 1},
	})
	all := figures
	all.Created = 1
	return ticketReportView{
		From: httpapi.NewTime(day), To: httpapi.NewTime(day.AddDate(0, 0, 1)), Total: all,
		Days:      []dayReportView{{Date: day.Format(time.DateOnly), FiguresView: all}},
		Engineers: []engineerReportView{{Engineer: ticket.ExamplePerson(example.Erik), FiguresView: figures}},
	}
}
