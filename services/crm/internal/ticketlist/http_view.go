package ticketlist

import (
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/ticket"
)

type ticketCountsView struct {
	Total    int                 `json:"total"`
	Complete bool                `json:"complete" doc:"false when q matches 1,000 tickets or more: the totals are then those of the newest 1,000."`
	Status   map[string]int      `json:"status" doc:"Tickets per status; statuses without a ticket are 0."`
	Priority map[string]int      `json:"priority" doc:"Tickets per priority; priorities without a ticket are 0."`
	Assignee []assigneeCountView `json:"assignee" doc:"Tickets per engineer, most first."`
}

type assigneeCountView struct {
	Assignee httpapi.Nullable[ticket.PersonView] `json:"assignee" doc:"null for unassigned tickets"`
	Count    int                                 `json:"count"`
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
