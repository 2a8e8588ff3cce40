package ticketlist

import (
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
	"fixdesk/services/crm/internal/ticket"
)

type ticketCountsView struct {
	Total    int                 `json:"total" doc:"All tickets of the list."`
	Complete bool                `json:"complete" doc:"false when q matches 1,000 tickets or more: the totals are then those of the newest 1,000."`
	Status   map[string]int      `json:"status" doc:"Tickets per status; statuses without a ticket are 0."`
	Priority map[string]int      `json:"priority" doc:"Tickets per priority; priorities without a ticket are 0."`
	Assignee []assigneeCountView `json:"assignee" doc:"Tickets per engineer, most first."`
}

type assigneeCountView struct {
	Assignee httpapi.Nullable[ticket.PersonView] `json:"assignee" doc:"The engineer; null for unassigned tickets."`
	Count    int                                 `json:"count" doc:"Tickets assigned to the engineer."`
}

func viewCounts(c Counts) ticketCountsView {
	v := ticketCountsView{Total: c.Total, Complete: c.Complete, Status: map[string]int{}, Priority: map[string]int{}, Assignee: []assigneeCountView{}}
	for _, s := range ticket.Statuses {
		v.Status[string(s)] = c.Statuses[s]
	}
	for _, p := range ticket.Priorities {
		v.Priority[string(p)] = c.Priorities[p]
	}
	for _, a := range c.Assignees {
		v.Assignee = append(v.Assignee, assigneeCountView{Assignee: ticket.ViewPersonOrNull(a.Assignee), Count: a.Count})
	}
	return v
}

var exampleCounts = ticketCountsView{
	Total: 3, Complete: true,
	Status:   map[string]int{"open": 1, "in_progress": 1, "blocked": 0, "resolved": 1, "closed": 0},
	Priority: map[string]int{"low": 0, "normal": 2, "high": 1, "urgent": 0},
	Assignee: []assigneeCountView{{Assignee: httpapi.Nullable[ticket.PersonView]{Value: &exampleEngineer}, Count: 3}},
}

var exampleEngineer = ticket.ExamplePerson(example.Erik)

const exampleCSV = "number,id,title,status,priority,reporter,assignee,created_at,updated_at,accepted_at,resolved_at,closed_at,resolution,description\r\n" +
	"42,019bb1a3-3740-7c3a-9d4e-2f6a8b1c0d42,Printer on the second floor smokes,resolved,high,Ada Moreno,Erik Lind,2026-01-12T09:30:00Z,2026-01-12T11:15:00Z,2026-01-12T09:42:00Z,2026-01-12T11:15:00Z,,The fuser unit was worn out and is replaced.,It smokes when it prints in colour. We have switched it off.\r\n"
