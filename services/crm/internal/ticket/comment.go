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
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// Comment is a person's comment on a ticket. Only engineers and admins see an
// internal one. A removed one has RemovedAt and no Body.
type Comment struct {
	ID        uuid.UUID    `json:"id"`
	TicketID  uuid.UUID    `json:"ticket_id"`
	Author    Person       `json:"author"`
	Body      string       `json:"body"`
	Internal  bool         `json:"internal"`
	CreatedAt time.Time    `json:"created_at"`
	RemovedAt *time.Time   `json:"removed_at,omitempty"`
	HasFiles  bool         `json:"has_files,omitempty"` // see attachment.OfComments
	Mail      *CommentMail `json:"mail,omitempty"`      // nil when it did not come by mail
}

// NewComment is a comment to be written. AttachmentIDs are files that the author
// uploaded and that belong to nothing yet.
type NewComment struct {
	Body          string
	Internal      bool
	AttachmentIDs []uuid.UUID
}

// AddComment writes a comment on a ticket that the viewer may see. A public
// comment by the reporter takes a ticket that waits for the customer back to
// in_progress, and reopens one that is done. With a key, the same comment again
// returns the first answer; see Once for the errors. Other errors are forbidden
// for an internal comment by a customer, conflict on a ticket that was closed
// longer than ReopenWithin ago, rate_limited beyond PerHour, and validation_failed
// for a file that can't be attached.
func (s *Service) AddComment(ctx context.Context, v Viewer, id uuid.UUID, in NewComment, once *Once) (Comment, error) {
	c := Comment{
		ID: uuid.Must(uuid.NewV7()), TicketID: id, Author: Person{ID: v.ID, Name: v.Name},
		Body: in.Body, Internal: in.Internal, HasFiles: len(in.AttachmentIDs) > 0,
	}
	_, err := s.change(ctx, v, id, func(u unit, t Ticket, now time.Time) (Ticket, error) {
		if in.Internal && !v.Staff() {
			return t, errs.New(errs.Forbidden, errs.CodeForbidden, "Only engineers and admins may write internal comments.")
		}
		c.CreatedAt = now
		if err := remember(ctx, u.q, v, c, once); err != nil {
			return t, err
		}
		if err := s.hitLimit(ctx, u.q, v, commentsPerHour, now); err != nil {
			return t, err
		}
		if err := attachment.Lock(ctx, u.q, v.ID, in.AttachmentIDs); err != nil {
			return t, err
		}
		files, err := attachment.Names(ctx, u.q, in.AttachmentIDs)
		if err != nil {
			return t, err
		}
		after, err := s.writeComment(ctx, u, v, t, c, files)
		if err != nil {
			return t, err
		}
		return after, attachment.Attach(ctx, u.q, t.ID, &c.ID, in.AttachmentIDs)
	})
	if once == nil || !once.spent(err) {
		return c, err
	}
	first, err := s.firstAnswer(ctx, v, once, err)
	if errors.Is(err, errKeyExpired) {
		return s.AddComment(ctx, v, id, in, once)
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

// writeComment stores a comment with its event, its effect on the ticket, and the
// notices.
func (s *Service) writeComment(ctx context.Context, u unit, v Viewer, before Ticket, c Comment, files []notice.File) (Ticket, error) {
	after, err := s.afterComment(v, before, c)
	if err != nil {
		return Ticket{}, err
	}
	earlier, err := u.messageBefore(ctx, before, c.Internal)
	if err != nil {
		return Ticket{}, err
	}
	if err := storeComment(ctx, u.later, v, before, c); err != nil {
		return Ticket{}, err
	}
	return after, publishComment(ctx, u, v, before, after, notice.TicketCommented{Body: c.Body, Internal: c.Internal, Earlier: earlier, Files: files}, c.CreatedAt)
}

// afterComment is the ticket with the status that it has after the comment.
func (s *Service) afterComment(v Viewer, before Ticket, c Comment) (Ticket, error) {
	if v.ID != before.Reporter.ID || c.Internal {
		return before, nil
	}
	to, refusal := before.afterCommentOfReporter(c.CreatedAt, s.reopenWithin)
	if err := refused(refusal, before, 0); err != nil {
		return Ticket{}, err
	}
	if to == before.Status {
		return before, nil
	}
	return Edit{Status: &to}.apply(before, c.CreatedAt), nil
}

// publishComment writes the effect of a comment on the ticket, and the notices. n has
// what they say of the comment.
func publishComment(ctx context.Context, u unit, v Viewer, before, after Ticket, n notice.TicketCommented, now time.Time) error {
	audience, err := u.audience(ctx, before.ID)
	if err != nil {
		return err
	}
	var offeredTo *notice.Person
	switch {
	case after.Status != before.Status:
		offeredTo, err = write(ctx, u, v, before, after)
	case !n.Internal:
		err = u.later.TicketTouch(ctx, crmdb.TicketTouchParams{ID: before.ID, Now: now})
	}
	if err != nil {
		return fmt.Errorf("update ticket: %w", err)
	}
	n.Ticket, n.ActorName = about(after), v.Name
	if after.Status != before.Status {
		n.Status = string(after.Status)
	}
	return notifyOfComment(ctx, u.later, v, n, audience, offeredTo, now)
}

// messageBefore is what a new comment follows: the latest comment, or the
// description. For a public one it is public, too, since customers read both.
func (u unit) messageBefore(ctx context.Context, t Ticket, internal bool) (*notice.Earlier, error) {
	comment, err := u.latest(ctx, t.ID, internal)
	switch {
	case err != nil:
		return nil, err
	case comment != nil:
		return &notice.Earlier{AuthorName: comment.AuthorName, At: comment.CreatedAt, Body: comment.Body}, nil
	}
	return &notice.Earlier{AuthorName: t.Reporter.Name, At: t.CreatedAt, Body: t.Description}, nil
}

func storeComment(ctx context.Context, q *crmdb.Queries, v Viewer, t Ticket, c Comment) error {
	if err := q.CommentAdd(ctx, crmdb.CommentAddParams{
		ID: c.ID, TicketID: t.ID, AuthorID: v.ID, Body: c.Body, Words: text.Words(c.Body), Folding: Folding, Internal: c.Internal, CreatedAt: c.CreatedAt,
		HasFiles: c.HasFiles, ByMail: c.Mail != nil,
	}); err != nil {
		return fmt.Errorf("add comment: %w", err)
	}
	return addEvent(ctx, q, t.ID, EventCommented, v.ID, c.Internal, changesOfComment(c), c.CreatedAt)
}

func changesOfComment(c Comment) map[string]any {
	return map[string]any{"comment": map[string]any{"id": c.ID, "internal": c.Internal}}
}

// notifyOfComment notifies reporter, assignee and followers, except the author, of an
// internal comment those who don't see it, and the engineer to whom the ticket was just offered.
func notifyOfComment(ctx context.Context, q *crmdb.Queries, v Viewer, n notice.TicketCommented, audience []crmdb.TicketAudienceRow, offeredTo *notice.Person, now time.Time) error {
	for _, p := range audience {
		if p.ID == v.ID || n.Internal && !seesInternal(p) || offeredTo != nil && p.ID == offeredTo.ID {
			continue
		}
		n.To, n.Audience = notice.Person{ID: p.ID, Name: p.Name, Email: p.Email}, audienceOf(p)
		if err := outbox.Add(ctx, q, now, n.ID, n); err != nil {
			return err
		}
	}
	return nil
}

// RemoveComment deletes a comment's text and files for an admin: from the comment, its
// search words, the answers stored for Idempotency-Keys and the outbox. Mails
// that were posted before keep it. The comment stays in the list as removed; an
// event and the audit log record who removed it. Removing it again changes
// nothing.
func (s *Service) RemoveComment(ctx context.Context, v Viewer, ticketID, commentID uuid.UUID) error {
	_, err := s.change(ctx, v, ticketID, func(u unit, t Ticket, now time.Time) (Ticket, error) {
		row, err := u.q.CommentGet(ctx, crmdb.CommentGetParams{ID: commentID, TicketID: ticketID})
		if err != nil {
			return t, missing("get comment", err)
		}
		if row.RemovedAt != nil {
			return t, nil
		}
		if err := u.q.CommentRemove(ctx, crmdb.CommentRemoveParams{ID: commentID, RemovedAt: now}); err != nil {
			return t, fmt.Errorf("remove comment: %w", err)
		}
		if err := redact(ctx, u.q, ticketID, row, now); err != nil {
			return t, err
		}
		if err := attachment.RemoveOfComment(ctx, u.q, crmdb.AttachmentRemoveOfCommentParams{CommentID: commentID, Now: now}); err != nil {
			return t, err
		}
		if err := u.q.InboundEraseOfComment(ctx, &commentID); err != nil {
			return t, fmt.Errorf("erase the mail: %w", err)
		}
		if !row.Internal {
			if err := u.q.TicketTouch(ctx, crmdb.TicketTouchParams{ID: t.ID, Now: now}); err != nil {
				return t, fmt.Errorf("touch ticket: %w", err)
			}
		}
		changes := changesOfComment(Comment{ID: commentID, Internal: row.Internal})
		if err := addEvent(ctx, u.q, ticketID, EventCommentRemoved, v.ID, row.Internal, changes, now); err != nil {
			return t, err
		}
		return t, identity.RecordCommentRemoved(ctx, u.q, now, v.ID, commentID, ticketID)
	})
	return err
}

// redact removes the text of a comment from stored answers and notices.
func redact(ctx context.Context, q *crmdb.Queries, ticketID uuid.UUID, c crmdb.CommentGetRow, now time.Time) error {
	if err := q.IdempotencyRedact(ctx, crmdb.IdempotencyRedactParams{CreatedAt: c.CreatedAt, ObjectID: c.ID, RemovedAt: now}); err != nil {
		return fmt.Errorf("redact answers: %w", err)
	}
	if err := q.OutboxRedact(ctx, crmdb.OutboxRedactParams{
		Body: c.Body, Reference: ticketID, FromID: firstIDAt(c.CreatedAt.Add(-time.Hour)), ToID: uuid.Max,
	}); err != nil {
		return fmt.Errorf("redact notices: %w", err)
	}
	return nil
}

// firstIDAt is the lowest UUIDv7 of a millisecond (RFC 9562, section 5.7).
func firstIDAt(at time.Time) uuid.UUID {
	var id uuid.UUID
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // one byte of the time each
	}
	return id
}

// Position is a place in a list that is ordered by time and id; the zero value
// is its beginning.
type Position struct {
	At time.Time
	ID uuid.UUID
}

// Comments lists the comments on a ticket that the viewer may read, newest
// first, at most n that follow the position; nil is the beginning.
func (s *Service) Comments(ctx context.Context, v Viewer, id uuid.UUID, after *Position, n int) ([]Comment, error) {
	if _, err := s.Get(ctx, v, id); err != nil {
		return nil, err
	}
	if after == nil {
		after = &Position{At: s.now().AddDate(100, 0, 0), ID: uuid.Max}
	}
	rows, err := crmdb.New(s.pool).CommentList(ctx, crmdb.CommentListParams{
		TicketID: id, WithInternal: v.Staff(), BeforeCreatedAt: after.At, BeforeID: after.ID, Most: int32(n), //nolint:gosec // a page has at most 100
	})
	if err != nil {
		return nil, fmt.Errorf("list comments: %w", err)
	}
	comments := make([]Comment, len(rows))
	for i, r := range rows {
		comments[i] = Comment{
			ID: r.ID, TicketID: r.TicketID, Author: Person{ID: r.AuthorID, Name: r.AuthorName},
			Body: r.Body, Internal: r.Internal, CreatedAt: r.CreatedAt, RemovedAt: r.RemovedAt, HasFiles: r.HasFiles,
		}
		if comments[i].Mail, err = mailOf(r); err != nil {
			return nil, err
		}
	}
	return comments, nil
}

// Event is one event of a ticket. Changes maps each field to its value before and
// after; Actor is nil for an automatic change.
type Event struct {
	ID        uuid.UUID
	TicketID  uuid.UUID
	Number    int64 // of the ticket
	Kind      string
	Actor     *Person
	Internal  bool
	Changes   json.RawMessage
	CreatedAt time.Time
}

// Events lists the events of a ticket that the viewer may read, oldest first, at
// most n that follow the position; nil is the beginning.
func (s *Service) Events(ctx context.Context, v Viewer, id uuid.UUID, after *Position, n int) ([]Event, error) {
	t, err := s.Get(ctx, v, id)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = &Position{}
	}
	rows, err := crmdb.New(s.pool).TicketEventList(ctx, crmdb.TicketEventListParams{
		TicketID: id, WithInternal: v.Staff(), AfterCreatedAt: after.At, AfterID: after.ID, Most: int32(n), //nolint:gosec // a page has at most 100
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	events := make([]Event, len(rows))
	for i, r := range rows {
		e := Event{ID: r.ID, TicketID: r.TicketID, Number: t.Number, Kind: r.Kind, Internal: r.Internal, Changes: r.Changes, CreatedAt: r.CreatedAt}
		if r.ActorID != nil {
			e.Actor = &Person{ID: *r.ActorID, Name: r.ActorName}
		}
		if events[i], err = e.ForViewer(v); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// ForViewer removes the facts that only engineers and admins may read: why an
// engineer was chosen, or declined.
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
