// Package ticketlist finds tickets: filters, search, totals, and tables for
// spreadsheets.
package ticketlist

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/ticket"
)

// Service reads lists of tickets.
type Service struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewService makes the service.
func NewService(pool *pgxpool.Pool, now func() time.Time) *Service {
	return &Service{pool: pool, now: now}
}

// Filter says which tickets are wanted; a zero field filters nothing.
type Filter struct {
	Statuses      []ticket.Status
	Active        *bool
	Priorities    []ticket.Priority
	Assignee      *uuid.UUID
	NoAssignee    bool
	Reporter      *uuid.UUID
	Query         string // words, each matched from its beginning, or #number
	CreatedAfter  *time.Time
	CreatedBefore *time.Time
	UpdatedAfter  *time.Time
}

// Sort is what a list is ordered by; ties are broken by id.
type Sort struct {
	Key        SortKey
	Descending bool
}

// SortKey names a sortable property.
type SortKey string

// The keys. ByRelevance needs a Query, ranks the newest matches (at least 200
// of them, if there are so many), and is always best first.
const (
	ByCreated   SortKey = "created_at"
	ByUpdated   SortKey = "updated_at"
	ByPriority  SortKey = "priority"
	ByRelevance SortKey = "relevance"
)

// Mark is the place in a sorted list behind which the next page begins.
type Mark struct {
	Value string    `json:"v"`
	ID    uuid.UUID `json:"id"`
}

// List returns the tickets that the viewer may see and that pass the filter, at
// most limit, and the mark of the next page; nil on the last.
func (s *Service) List(ctx context.Context, v ticket.Viewer, f Filter, by Sort, limit int, from *Mark) ([]ticket.Ticket, *Mark, error) {
	b := newStatement(v, f)
	if b.impossible {
		return []ticket.Ticket{}, nil, nil
	}
	sql, err := b.page(by, limit+1, from)
	if err != nil {
		return nil, nil, err
	}
	rows, err := s.pool.Query(ctx, sql, b.args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list tickets: %w", err)
	}
	var (
		row     crmdb.TicketGetRow
		mark    string
		last    Mark
		next    *Mark
		tickets = make([]ticket.Ticket, 0, min(limit, 100))
	)
	// Scanned by hand: by reflection it costs as much as all else here.
	_, err = pgx.ForEachRow(rows, append(ticket.Targets(&row), &mark), func() error {
		if len(tickets) == limit {
			next = &last
			return nil
		}
		tickets = append(tickets, ticket.FromRow(row))
		last = Mark{Value: mark, ID: row.ID}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list tickets: %w", err)
	}
	return tickets, next, nil
}

// Counts are the totals of a filtered list. Assignees counts each engineer's
// tickets; the entry without an engineer counts those that nobody has.
type Counts struct {
	Total int
	// Complete is false when a search matches more tickets than are counted.
	Complete   bool
	Statuses   map[ticket.Status]int
	Priorities map[ticket.Priority]int
	Assignees  []AssigneeCount
}

// AssigneeCount is how many of the tickets somebody has; nil is nobody.
type AssigneeCount struct {
	Assignee *ticket.Person
	Count    int
}

// Count totals the tickets that List would return over all pages; of a search the
// newest 1,000 at most.
func (s *Service) Count(ctx context.Context, v ticket.Viewer, f Filter) (Counts, error) {
	counts := Counts{Complete: true, Statuses: map[ticket.Status]int{}, Priorities: map[ticket.Priority]int{}, Assignees: []AssigneeCount{}}
	b := newStatement(v, f)
	if b.impossible {
		return counts, nil
	}
	rows, err := s.pool.Query(ctx, b.counts(), b.args...)
	if err != nil {
		return counts, fmt.Errorf("count tickets: %w", err)
	}
	var (
		status, priority, name *string
		assignee               *uuid.UUID
		group, n               int
	)
	_, err = pgx.ForEachRow(rows, []any{&status, &priority, &assignee, &name, &group, &n}, func() error {
		switch group {
		case groupedByStatus:
			counts.Statuses[ticket.Status(*status)] = n
			counts.Total += n
		case groupedByPriority:
			counts.Priorities[ticket.Priority(*priority)] = n
		case groupedByAssignee:
			c := AssigneeCount{Count: n}
			if assignee != nil && name != nil {
				c.Assignee = &ticket.Person{ID: *assignee, Name: *name}
			}
			counts.Assignees = append(counts.Assignees, c)
		}
		return nil
	})
	if err != nil {
		return counts, fmt.Errorf("count tickets: %w", err)
	}
	counts.Complete = b.search == "" || counts.Total < countedMatches
	return counts, nil
}

// Each calls fn for every ticket of the filtered list, in order, reading them
// in pages so that neither memory nor a transaction grows with the list.
func (s *Service) Each(ctx context.Context, v ticket.Viewer, f Filter, by Sort, fn func(ticket.Ticket) error) error {
	const page = 500
	var from *Mark
	for {
		tickets, next, err := s.List(ctx, v, f, by, page, from)
		if err != nil {
			return err
		}
		for _, t := range tickets {
			if err := fn(t); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		from = next
	}
}

// decodeValue checks a mark's value against the sort key, so that a forged
// cursor never reaches the database.
func (k SortKey) decodeValue(value string) (any, error) {
	switch k {
	case ByCreated, ByUpdated:
		if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
			return at, nil
		}
	case ByPriority:
		switch ticket.Priority(value) {
		case ticket.Low, ticket.Normal, ticket.High, ticket.Urgent:
			return value, nil
		}
	case ByRelevance:
		if _, err := strconv.ParseFloat(value, 64); err == nil && len(value) <= 20 && strings.Trim(value, "0123456789.") == "" {
			return value, nil
		}
	}
	return nil, errs.New(errs.BadRequest, errs.CodeInvalidCursor, "The cursor is not one of this list's.")
}
