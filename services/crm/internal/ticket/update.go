package ticket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// Update edits a ticket. matches decides, from the ticket's version, whether
// the caller's If-Match holds (RFC 9110 section 13.1.1). An edit that changes
// nothing writes nothing. Errors: not_found, forbidden, version_mismatch,
// invalid_transition, conflict, validation_failed.
func (s *Service) Update(ctx context.Context, v Viewer, id uuid.UUID, e Edit, matches func(version int) bool) (Ticket, error) {
	return s.change(ctx, v, id, func(q *crmdb.Queries, before Ticket) (Ticket, error) {
		p := partyOf(v, before)
		if p&(AsReporter|AsAssignee|AsAdmin) == 0 {
			return Ticket{}, refused(NotYours, before, p)
		}
		if !matches(before.Version) {
			return Ticket{}, errs.New(errs.PreconditionFailed, errs.CodeVersionMismatch,
				"The ticket has changed since you read it. Read it again and repeat your change if it is still wanted.")
		}
		if err := refused(e.check(before, p), before, p); err != nil {
			return Ticket{}, err
		}
		after := e.apply(before, s.now())
		if after.Version == before.Version {
			return before, nil
		}
		return s.write(ctx, q, v, before, after)
	})
}

func (s *Service) write(ctx context.Context, q *crmdb.Queries, v Viewer, before, after Ticket) (Ticket, error) {
	now := after.UpdatedAt
	audience, err := q.TicketAudience(ctx, before.ID)
	if err != nil {
		return Ticket{}, fmt.Errorf("list audience: %w", err)
	}
	offer := false
	if reopens(before, after) {
		if offer, err = withoutEngineer(ctx, q, before); err != nil {
			return Ticket{}, err
		}
	}
	if err := save(ctx, q, before.Version, after); err != nil {
		return Ticket{}, err
	}
	if err := saveSearch(ctx, q, before, after); err != nil {
		return Ticket{}, err
	}
	changes := diff(before, after)
	if err := addEvent(ctx, q, after.ID, eventKind(before, after), v.ID, false, changesJSON(changes), now); err != nil {
		return Ticket{}, err
	}
	var given *notice.Person
	if offer {
		if given, err = offerReopened(ctx, q, v, before, after, now); err != nil {
			return Ticket{}, err
		}
	}
	if err := tellChange(ctx, q, v, after, changes, audience, given, now); err != nil {
		return Ticket{}, err
	}
	return read(ctx, q, after.ID)
}

func save(ctx context.Context, q *crmdb.Queries, version int, t Ticket) error {
	n, err := q.TicketUpdate(ctx, crmdb.TicketUpdateParams{
		ID: t.ID, Version: int32(version), //nolint:gosec // a version is far below 2^31
		Title: t.Title, Description: t.Description,
		Priority: crmdb.TicketPriority(t.Priority), Status: crmdb.TicketStatus(t.Status), Resolution: t.Resolution,
		AcceptedAt: t.AcceptedAt, ResolvedAt: t.ResolvedAt, ClosedAt: t.ClosedAt, UpdatedAt: t.UpdatedAt,
	})
	if pg.IsForeignKey(err, "tickets_assignee_is_engineer") {
		return refused(AssigneeGone, t, 0)
	}
	if err != nil {
		return fmt.Errorf("update ticket: %w", err)
	}
	if n != 1 {
		return errs.New(errs.Conflict, errs.CodeConflict, "Somebody changed the ticket at the same moment. Read it again.")
	}
	return nil
}

// saveSearch writes the words by which a ticket is found, when its texts changed.
func saveSearch(ctx context.Context, q *crmdb.Queries, before, after Ticket) error {
	if before.Title == after.Title && before.Description == after.Description {
		return nil
	}
	if err := q.TicketSearchPut(ctx, crmdb.TicketSearchPutParams{
		TicketID: after.ID, TitleWords: text.Words(after.Title), DescriptionWords: text.Words(after.Description), Folding: Folding,
	}); err != nil {
		return fmt.Errorf("update search: %w", err)
	}
	return nil
}

// withoutEngineer reports whether a ticket about to be reopened needs a new
// engineer, and removes an assignee who is no engineer any more. One who still is
// gets locked until the ticket counts for them; no lock is kept on one who isn't,
// since the offer that follows locks engineers in their own order.
func withoutEngineer(ctx context.Context, q *crmdb.Queries, t Ticket) (bool, error) {
	if t.Assignee == nil {
		return true, nil
	}
	_, err := q.EngineerGet(ctx, t.Assignee.ID)
	if err == nil {
		engineer, err := q.EngineerLock(ctx, t.Assignee.ID)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && engineer.Leaving {
			return false, fmt.Errorf("the assignee has just left: %w", pg.ErrRetry)
		}
		if err != nil {
			return false, fmt.Errorf("lock engineer: %w", err)
		}
		return false, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("read engineer: %w", err)
	}
	if err := q.TicketClearAssignee(ctx, t.ID); err != nil {
		return false, fmt.Errorf("take engineer off: %w", err)
	}
	return true, nil
}

func offerReopened(ctx context.Context, q *crmdb.Queries, v Viewer, before, after Ticket, now time.Time) (*notice.Person, error) {
	m := move(after, v, assignment.Reopened, "", now)
	m.FormerGone = true
	if before.Assignee != nil {
		m.Ticket.Assignee = &notice.Person{ID: before.Assignee.ID, Name: before.Assignee.Name}
	}
	return assignment.Offer(ctx, q, m)
}

func move(t Ticket, v Viewer, cause assignment.Cause, reason string, now time.Time) assignment.Move {
	return assignment.Move{
		Ticket: assignment.Ticket{
			ID: t.ID, Number: t.Number, Title: t.Title, Description: t.Description,
			Status: string(t.Status), Priority: string(t.Priority),
			ReporterID: t.Reporter.ID, ReporterName: t.Reporter.Name,
		},
		Cause: cause, Reason: reason, Actor: v.person(), Now: now,
	}
}

// tellChange writes to reporter and assignee, each once, never to whoever made
// the change nor to an engineer who is told of the assignment in the same breath.
func tellChange(ctx context.Context, q *crmdb.Queries, v Viewer, t Ticket, changes []Change, audience []crmdb.TicketAudienceRow, given *notice.Person, now time.Time) error {
	told := make([]notice.Change, len(changes))
	for i, c := range changes {
		told[i] = notice.Change{Field: c.Field, From: deref(c.From), To: deref(c.To)}
	}
	for _, p := range audience {
		if p.ID == v.ID || given != nil && p.ID == given.ID {
			continue
		}
		comment, err := latestComment(ctx, q, t.ID, p.Role != "customer")
		if err != nil {
			return err
		}
		if err := outbox.Add(ctx, q, now, t.ID, notice.TicketChanged{
			Ticket: about(t), To: notice.Person{ID: p.ID, Name: p.Name, Email: p.Email},
			ActorName: v.Name, Changes: told, Resolution: deref(t.Resolution), LatestComment: comment,
		}); err != nil {
			return err
		}
	}
	return nil
}

func latestComment(ctx context.Context, q *crmdb.Queries, id uuid.UUID, withInternal bool) (string, error) {
	row, err := q.CommentLatest(ctx, crmdb.CommentLatestParams{TicketID: id, WithInternal: withInternal})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read latest comment: %w", err)
	}
	return row.Body, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
