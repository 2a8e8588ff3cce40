package inbound

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/ticket"
)

var (
	errDecided = errs.New(errs.Conflict, errs.CodeAlreadyDecided, "This mail is not held any more.")
	errNotSent = errs.New(errs.Conflict, errs.CodeConflict, "This mail can't be let in: its sender's account is not approved, or it has no sender that can be read.")
)

// Release lets in a mail that is held or was ignored. A held comment becomes public; any
// other mail is processed as if it were to the support address, without the checks that
// held it. The errors are already_decided, conflict for a mail that can't be let in,
// not_found, and unavailable while the notification service does not answer.
func (s *Service) Release(ctx context.Context, v ticket.Viewer, id uuid.UUID) (Record, error) {
	r, err := s.undecided(ctx, id, Held, Ignored)
	if err != nil {
		return r, err
	}
	if r.CommentID != nil {
		if err := s.Tickets.DecideComment(ctx, v, *r.TicketID, *r.CommentID, true); err != nil {
			return r, err
		}
		return s.Record(ctx, id)
	}
	m, err := s.Client.InboundGet(ctx, id)
	if err != nil {
		return r, fmt.Errorf("read the mail: %w", away(err))
	}
	if err := s.letIn(ctx, v, m); err != nil {
		return r, err
	}
	s.Tickets.Changed()
	return s.Record(ctx, id)
}

func (s *Service) letIn(ctx context.Context, v ticket.Viewer, m notifyapi.InboundMail) error {
	files, err := s.filesOf(ctx, m)
	if err != nil {
		return fmt.Errorf("release mail: %w", away(err))
	}
	err = pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			q := crmdb.New(tx)
			if err := lockUndecided(ctx, q, m.ID, Held, Ignored); err != nil {
				return err
			}
			sit, err := s.situation(ctx, q, m)
			if err != nil {
				return err
			}
			sit.released = true
			r, err := s.apply(ctx, q, sit, sit.decide(), files)
			if err != nil {
				return err
			}
			if r.ticket == uuid.Nil {
				return errNotSent
			}
			return q.InboundDecide(ctx, crmdb.InboundDecideParams{
				ID: m.ID, Outcome: crmdb.InboundOutcome(r.outcome), TicketID: orNull(r.ticket), CommentID: orNull(r.comment), SenderID: orNull(r.sender),
				DecidedBy: v.ID, Now: s.Now(),
			})
		})
	})
	if err != nil {
		return fmt.Errorf("release mail: %w", err)
	}
	return nil
}

// Refuse decides against a held mail. A held comment stays internal.
func (s *Service) Refuse(ctx context.Context, v ticket.Viewer, id uuid.UUID) (Record, error) {
	r, err := s.undecided(ctx, id, Held)
	if err != nil {
		return r, err
	}
	if r.CommentID != nil {
		err = s.Tickets.DecideComment(ctx, v, *r.TicketID, *r.CommentID, false)
	} else {
		err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			q := crmdb.New(tx)
			if err := lockUndecided(ctx, q, id, Held); err != nil {
				return err
			}
			return q.InboundDecide(ctx, crmdb.InboundDecideParams{
				ID: id, Outcome: crmdb.InboundOutcomeRefused, TicketID: r.TicketID, DecidedBy: v.ID, Now: s.Now(),
			})
		})
	}
	if err != nil {
		return r, err
	}
	return s.Record(ctx, id)
}

func (s *Service) undecided(ctx context.Context, id uuid.UUID, allowed ...Outcome) (Record, error) {
	r, err := s.Record(ctx, id)
	if err == nil && !contains(allowed, r.Outcome) {
		err = errDecided
	}
	return r, err
}

func lockUndecided(ctx context.Context, q *crmdb.Queries, id uuid.UUID, allowed ...Outcome) error {
	if _, err := q.InboundLock(ctx, id); err != nil {
		return missing("lock mail", err)
	}
	o, err := read(ctx, q, id)
	if err == nil && (!contains(allowed, o.Outcome) || o.CommentID != nil) {
		err = errDecided
	}
	return err
}

func contains(list []Outcome, o Outcome) bool {
	for _, allowed := range list {
		if allowed == o {
			return true
		}
	}
	return false
}
