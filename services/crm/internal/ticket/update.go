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
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// Update edits a ticket. matches decides, from the ticket's version, whether
// the caller's If-Match holds (RFC 9110 section 13.1.1). An edit that changes
// nothing writes nothing. The errors are not_found, forbidden, version_mismatch,
// invalid_transition, conflict and validation_failed.
func (s *Service) Update(ctx context.Context, v Viewer, id uuid.UUID, e Edit, matches func(version int) bool) (Ticket, error) {
	return s.change(ctx, v, id, func(u unit, before Ticket, now time.Time) (Ticket, error) {
		p := partyOf(v, before)
		if p&(AsReporter|AsAssignee|AsAdmin) == 0 {
			return Ticket{}, refused(NotYours, before, p)
		}
		if !matches(before.Version) {
			return Ticket{}, errs.New(errs.PreconditionFailed, errs.CodeVersionMismatch,
				"The ticket has changed since it was read. Read it again and repeat the change if needed.")
		}
		if err := refused(e.check(before, p), before, p); err != nil {
			return Ticket{}, err
		}
		after := e.apply(before, now)
		if after.Version == before.Version {
			return before, nil
		}
		audience, err := u.audience(ctx, before.ID)
		if err != nil {
			return Ticket{}, err
		}
		offeredTo, err := write(ctx, u, v, before, after)
		if err != nil {
			return Ticket{}, err
		}
		if err := notifyOfChange(ctx, u, v, after, diff(before, after), audience, offeredTo, now); err != nil {
			return Ticket{}, err
		}
		if reopens(before, after) { // the assignee may be another one
			return read(ctx, u.q, after.ID)
		}
		return after, nil
	})
}

// write stores a change with its event, and offers a reopened ticket without an
// engineer to the next one, whom it returns.
func write(ctx context.Context, u unit, v Viewer, before, after Ticket) (offeredTo *notice.Person, err error) {
	offer := false
	if reopens(before, after) {
		if offer, err = withoutEngineer(ctx, u.q, before); err != nil {
			return nil, err
		}
	}
	if err := save(ctx, u.q, before.Version, after); err != nil {
		return nil, err
	}
	if err := saveSearch(ctx, u.later, before, after); err != nil {
		return nil, err
	}
	changes := changesJSON(diff(before, after))
	if err := addEvent(ctx, u.later, after.ID, eventKind(before, after), v.ID, false, changes, after.UpdatedAt); err != nil || !offer {
		return nil, err
	}
	return offerReopened(ctx, u.q, v, before, after, after.UpdatedAt)
}

// withoutEngineer reports whether a ticket that is to be reopened needs a new
// engineer, and removes an assignee who is no longer one. It locks an assignee who
// is still an engineer until the ticket counts for them. It keeps no lock on one
// who is not, since the following offer locks engineers in the order of their ids.
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
			ReporterID: t.Reporter.ID, ReporterName: t.Reporter.Name, HasFiles: t.HasFiles,
		},
		Cause: cause, Reason: reason, Actor: v.person(), Now: now,
	}
}

// notifyOfChange notifies reporter and assignee, each once, except the actor and
// the engineer whom the same change notifies of an assignment.
func notifyOfChange(ctx context.Context, u unit, v Viewer, t Ticket, changes []Change, audience []crmdb.TicketAudienceRow, offeredTo *notice.Person, now time.Time) error {
	reported := make([]notice.Change, len(changes))
	for i, c := range changes {
		reported[i] = notice.Change{Field: c.Field, From: deref(c.From), To: deref(c.To)}
	}
	for _, p := range audience {
		if p.ID == v.ID || offeredTo != nil && p.ID == offeredTo.ID {
			continue
		}
		comment, err := u.latestComment(ctx, t.ID, seesInternal(p))
		if err != nil {
			return err
		}
		if err := outbox.Add(ctx, u.later, now, t.ID, notice.TicketChanged{
			Ticket: about(t), To: notice.Person{ID: p.ID, Name: p.Name, Email: p.Email}, Audience: audienceOf(p),
			ActorName: v.Name, Changes: reported, Resolution: deref(t.Resolution), LatestComment: comment,
		}); err != nil {
			return err
		}
	}
	return nil
}

// audienceOf is as whom a person of a ticket's audience gets its mails.
func audienceOf(p crmdb.TicketAudienceRow) notice.Audience {
	switch {
	case p.IsReporter:
		return notice.ToReporter
	case p.IsFollower:
		return notice.ToFollower
	}
	return notice.ToStaff
}

// seesInternal reports whether somebody of the audience is mailed internal comments.
func seesInternal(p crmdb.TicketAudienceRow) bool { return p.Role != "customer" && !p.IsFollower }

// latestComment is the text of the latest comment; "" when there is none.
func (u unit) latestComment(ctx context.Context, id uuid.UUID, withInternal bool) (string, error) {
	row, err := u.latest(ctx, id, withInternal)
	if row == nil || err != nil {
		return "", err
	}
	return row.Body, nil
}

// latest is the latest comment, as it was before the change; nil when there is none.
func (u unit) latest(ctx context.Context, id uuid.UUID, withInternal bool) (*crmdb.CommentLatestRow, error) {
	if u.ahead != nil && !withInternal {
		return u.ahead.comment, nil
	}
	row, err := u.q.CommentLatest(ctx, crmdb.CommentLatestParams{TicketID: id, WithInternal: withInternal})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read latest comment: %w", err)
	}
	return &row, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
