package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// Comment is what somebody wrote on a ticket. An internal one is for engineers
// and admins alone.
type Comment struct {
	ID        uuid.UUID `json:"id"`
	TicketID  uuid.UUID `json:"ticket_id"`
	Author    Person    `json:"author"`
	Body      string    `json:"body"`
	Internal  bool      `json:"internal"`
	CreatedAt time.Time `json:"created_at"`
}

// AddComment writes a comment on a ticket that the viewer may see, in any
// status. Customers don't write internal ones: forbidden. With a key, the same
// comment again returns the first answer; see Once for the errors.
func (s *Service) AddComment(ctx context.Context, v Viewer, id uuid.UUID, body string, internal bool, once *Once) (Comment, error) {
	c := Comment{
		ID: uuid.Must(uuid.NewV7()), TicketID: id, Author: Person{ID: v.ID, Name: v.Name},
		Body: body, Internal: internal, CreatedAt: s.now(),
	}
	_, err := s.change(ctx, v, id, func(q *crmdb.Queries, t Ticket) (Ticket, error) {
		if internal && !v.Staff() {
			return t, errs.New(errs.Forbidden, errs.CodeForbidden, "Only engineers and admins write internal comments.")
		}
		if err := remember(ctx, q, v, c, once); err != nil {
			return t, err
		}
		return t, writeComment(ctx, q, v, t, c)
	})
	if once == nil || !once.spent(err) {
		return c, err
	}
	first, err := s.firstAnswer(ctx, v, once, err)
	if errors.Is(err, errKeyExpired) {
		return s.AddComment(ctx, v, id, body, internal, once)
	}
	if err != nil {
		return Comment{}, err
	}
	if err := json.Unmarshal(first.Response, &c); err != nil {
		return Comment{}, fmt.Errorf("read first answer: %w", err)
	}
	return c, nil
}

func remember(ctx context.Context, q *crmdb.Queries, v Viewer, c Comment, once *Once) error {
	if once == nil {
		return nil
	}
	answer, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if err := q.IdempotencyAdd(ctx, crmdb.IdempotencyAddParams{
		UserID: v.ID, Key: once.Key, RequestHash: once.Hash[:], ObjectID: c.ID, Response: answer, CreatedAt: c.CreatedAt,
	}); err != nil {
		return fmt.Errorf("remember answer: %w", err)
	}
	return nil
}

func writeComment(ctx context.Context, q *crmdb.Queries, v Viewer, t Ticket, c Comment) error {
	if err := q.CommentAdd(ctx, crmdb.CommentAddParams{
		ID: c.ID, TicketID: t.ID, AuthorID: v.ID, Body: c.Body, Words: text.Words(c.Body), Folding: Folding, Internal: c.Internal, CreatedAt: c.CreatedAt,
	}); err != nil {
		return fmt.Errorf("add comment: %w", err)
	}
	if !c.Internal {
		if err := q.TicketTouch(ctx, crmdb.TicketTouchParams{ID: t.ID, Now: c.CreatedAt}); err != nil {
			return fmt.Errorf("touch ticket: %w", err)
		}
	}
	changes := map[string]any{"comment": map[string]any{"id": c.ID, "internal": c.Internal}}
	if err := addEvent(ctx, q, t.ID, EventCommented, v.ID, c.Internal, changes, c.CreatedAt); err != nil {
		return err
	}
	audience, err := q.TicketAudience(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("list audience: %w", err)
	}
	for _, p := range audience {
		if p.ID == v.ID || c.Internal && p.Role == "customer" {
			continue
		}
		if err := outbox.Add(ctx, q, c.CreatedAt, t.ID, notice.TicketCommented{
			Ticket: about(t), To: notice.Person{ID: p.ID, Name: p.Name, Email: p.Email},
			ActorName: v.Name, Body: c.Body, Internal: c.Internal,
		}); err != nil {
			return err
		}
	}
	return nil
}

// Position is a place in a list that is ordered by time and id; the zero value
// is its beginning.
type Position struct {
	At time.Time
	ID uuid.UUID
}

// Comments lists the comments on a ticket that the viewer may read, newest
// first, at most limit, and where the next page begins; nil on the last.
func (s *Service) Comments(ctx context.Context, v Viewer, id uuid.UUID, limit int, from *Position) ([]Comment, *Position, error) {
	if _, err := s.Get(ctx, v, id); err != nil {
		return nil, nil, err
	}
	if from == nil {
		from = &Position{At: s.now().AddDate(100, 0, 0), ID: uuid.Max}
	}
	rows, err := crmdb.New(s.pool).CommentList(ctx, crmdb.CommentListParams{
		TicketID: id, WithInternal: v.Staff(), BeforeCreatedAt: from.At, BeforeID: from.ID, Most: int32(limit + 1), //nolint:gosec // limit is at most 100
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list comments: %w", err)
	}
	comments := make([]Comment, 0, len(rows))
	for _, r := range rows {
		comments = append(comments, Comment{
			ID: r.ID, TicketID: r.TicketID, Author: Person{ID: r.AuthorID, Name: r.AuthorName},
			Body: r.Body, Internal: r.Internal, CreatedAt: r.CreatedAt,
		})
	}
	if len(comments) <= limit {
		return comments, nil, nil
	}
	last := comments[limit-1]
	return comments[:limit], &Position{At: last.CreatedAt, ID: last.ID}, nil
}

// Event is one thing that happened to a ticket. Changes maps each field to its
// value before and after; Actor is nil for what the system did itself.
type Event struct {
	ID        uuid.UUID
	TicketID  uuid.UUID
	Kind      string
	Actor     *Person
	Internal  bool
	Changes   json.RawMessage
	CreatedAt time.Time
}

// Events tells the life of a ticket as far as the viewer may know it, oldest
// first, at most limit, and where the next page begins; nil on the last.
func (s *Service) Events(ctx context.Context, v Viewer, id uuid.UUID, limit int, from *Position) ([]Event, *Position, error) {
	if _, err := s.Get(ctx, v, id); err != nil {
		return nil, nil, err
	}
	if from == nil {
		from = &Position{}
	}
	rows, err := crmdb.New(s.pool).TicketEventList(ctx, crmdb.TicketEventListParams{
		TicketID: id, WithInternal: v.Staff(), AfterCreatedAt: from.At, AfterID: from.ID, Most: int32(limit + 1), //nolint:gosec // limit is at most 100
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list events: %w", err)
	}
	events := make([]Event, 0, len(rows))
	for _, r := range rows {
		e := Event{ID: r.ID, TicketID: r.TicketID, Kind: r.Kind, Internal: r.Internal, Changes: r.Changes, CreatedAt: r.CreatedAt}
		if r.ActorID != nil {
			e.Actor = &Person{ID: *r.ActorID, Name: r.ActorName}
		}
		if e, err = e.ForViewer(v); err != nil {
			return nil, nil, err
		}
		events = append(events, e)
	}
	if len(events) <= limit {
		return events, nil, nil
	}
	last := events[limit-1]
	return events[:limit], &Position{At: last.CreatedAt, ID: last.ID}, nil
}

// ForViewer takes out what is for engineers and admins alone: why an engineer
// was chosen, or declined.
func (e Event) ForViewer(v Viewer) (Event, error) {
	if v.Staff() {
		return e, nil
	}
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(e.Changes, &changes); err != nil {
		return Event{}, fmt.Errorf("read changes: %w", err)
	}
	if _, ok := changes["why"]; !ok {
		return e, nil
	}
	delete(changes, "why")
	data, err := json.Marshal(changes)
	if err != nil {
		return Event{}, fmt.Errorf("encode changes: %w", err)
	}
	e.Changes = data
	return e, nil
}
