// Package ticketlist finds tickets: filters, search, totals, and the export as CSV.
package ticketlist

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// Service reads lists of tickets.
type Service struct {
	pool  *pgxpool.Pool
	now   func() time.Time
	check func(context.Context, identity.Principal) error
	state *pg.SharedRows[struct{}, string] // of the database; see databaseState
}

// NewService makes the service. reads is of the pool, for what is read together with the
// session; nil for one of its own. check reports whether a caller may still read; a long
// export calls it between its pages.
func NewService(pool *pgxpool.Pool, reads *pg.Shared, now func() time.Time, check func(context.Context, identity.Principal) error) *Service {
	return &Service{
		pool: pool, now: now, check: check,
		state: pg.NewSharedRows(cmp.Or(reads, pg.NewShared(pool, now)), databaseState),
	}
}

// databaseState names the changes that a statement sees which begins now: what two of them
// read is the same when it is. Each transaction that changes something in the cluster makes
// another. A server that took over may have lost transactions, and use their ids again, so
// it has other states than the one before.
func databaseState(ctx context.Context, db pg.DBTX, _ []struct{}) (map[struct{}]string, error) {
	state, err := crmdb.New(db).DatabaseState(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of the database: %w", err)
	}
	return map[struct{}]string{{}: state}, nil
}

// Filter selects tickets; a zero field selects all.
type Filter struct {
	Statuses      []ticket.Status
	Active        *bool
	Priorities    []ticket.Priority
	Assignee      *uuid.UUID
	NoAssignee    bool
	Reporter      *uuid.UUID
	Follower      *uuid.UUID // customers see the tickets that they follow only with their own id
	Query         string     // words, each matched from its beginning, or #number
	CreatedAfter  *time.Time
	CreatedBefore *time.Time
	UpdatedAfter  *time.Time
}

// Sort is the order of a list; ties are broken by id.
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

// Mark is the place in a sorted list after which the next page begins.
type Mark struct {
	Value string    `json:"v"`
	ID    uuid.UUID `json:"id"`
}

// Row is a ticket of a list.
type Row struct {
	ticket.Ticket
	LastComment *LastComment // nil for none
	key         SortKey      // of the list
	rank        string       // in a list by relevance
}

// List returns the first n tickets after a mark that the viewer may see and that
// pass the filter, each with its last comment; nil is the beginning.
func (s *Service) List(ctx context.Context, v ticket.Viewer, f Filter, by Sort, n int, after *Mark) ([]Row, error) {
	return s.read(ctx, newList(v, f, by), by, n, after)
}

func (s *Service) read(ctx context.Context, b *statement, by Sort, n int, after *Mark) ([]Row, error) {
	if b.impossible {
		return []Row{}, nil
	}
	by = b.order(by)
	sql, err := b.page(by, n, after)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, sql, b.args...)
	if err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	var (
		row  crmdb.TicketGetRow
		rank pgtype.Text // null but in an order by relevance
		last pgtype.UndecodedBytes
		list = make([]Row, 0, min(n, 101))
	)
	// Rows are scanned without reflection, which would double the cost of a list.
	_, err = pgx.ForEachRow(rows, append(ticket.Targets(&row), &rank, &last), func() error {
		comment, err := readLastComment(last)
		list = append(list, Row{Ticket: ticket.FromRow(row), LastComment: comment, key: by.Key, rank: rank.String})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	return list, nil
}

// Counts are the totals of a filtered list. Assignees counts each engineer's
// tickets; the entry without an engineer counts the unassigned.
type Counts struct {
	Total int
	// Complete is false when a search matches more tickets than are counted.
	Complete   bool
	Statuses   map[ticket.Status]int
	Priorities map[ticket.Priority]int
	Assignees  []AssigneeCount
}

// AssigneeCount is how many of the tickets an engineer has; nil is none.
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

// markTime is the layout of times in marks: UTC in microseconds, PostgreSQL's precision.
const markTime = "2006-01-02T15:04:05.000000Z"

// Mark is the row's place in its list.
func (r Row) Mark() Mark {
	m := Mark{ID: r.ID}
	switch r.key {
	case ByCreated:
		m.Value = r.CreatedAt.UTC().Format(markTime)
	case ByUpdated:
		m.Value = r.UpdatedAt.UTC().Format(markTime)
	case ByPriority:
		m.Value = string(r.Priority)
	case ByRelevance:
		m.Value = r.rank
	}
	return m
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
	return nil, errs.New(errs.BadRequest, errs.CodeInvalidCursor, "The cursor does not belong to this list.")
}
