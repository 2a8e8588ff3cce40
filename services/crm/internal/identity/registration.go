package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
)

// Registration is the request of an engineer or admin for approval, with its
// latest decision. DecidedBy and DecidedAt are nil while it is pending.
type Registration struct {
	User
	DecidedBy *uuid.UUID
	DecidedAt *time.Time
	Reason    *string
}

// Registrations lists them, newest first, at most n after the given position.
// Q of the filter isn't used.
func (s *Service) Registrations(ctx context.Context, f UserFilter, after *Position, n int) ([]Registration, error) {
	at, id := after.args()
	role, status := f.args()
	rows, err := s.q.RegistrationList(ctx, crmdb.RegistrationListParams{
		Role: role, Status: status, BeforeAt: at, BeforeID: id, MaxRows: int32(n),
	})
	if err != nil {
		return nil, fmt.Errorf("list registrations: %w", err)
	}
	list := make([]Registration, 0, len(rows))
	for _, r := range rows {
		list = append(list, registrationOf(crmdb.RegistrationGetRow(r)))
	}
	return list, nil
}

func registrationOf(r crmdb.RegistrationGetRow) Registration {
	return Registration{
		User: userOf(crmdb.UserGetRow{
			ID: r.ID, Name: r.Name, Email: r.Email, Role: r.Role, Status: r.Status,
			Version: r.Version, EmailVerifiedAt: r.EmailVerifiedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		}),
		DecidedBy: r.DecidedBy, DecidedAt: r.DecidedAt, Reason: r.Reason,
	}
}

// Approve approves a registration. Of concurrent decisions one succeeds, the
// others get errs.CodeAlreadyDecided.
func (s *Service) Approve(ctx context.Context, actor Principal, userID uuid.UUID) (Registration, error) {
	return s.decide(ctx, userChange{actor: actor, auditKind: auditApproved}, userID, StatusApproved)
}

// Reject rejects a registration, with a reason that may be empty; for concurrent
// decisions see Approve.
func (s *Service) Reject(ctx context.Context, actor Principal, userID uuid.UUID, reason string) (Registration, error) {
	reason, err := cleanReason(reason)
	if err != nil {
		return Registration{}, invalid("body.reason", err)
	}
	return s.decide(ctx, userChange{actor: actor, reason: reason, auditKind: auditRejected}, userID, StatusRejected)
}

func (s *Service) decide(ctx context.Context, d userChange, userID uuid.UUID, status Status) (Registration, error) {
	var decided Registration
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		before, err := lockUser(ctx, q, userID)
		if err != nil {
			return err
		}
		if _, err := registration(ctx, q, userID); err != nil {
			return err
		}
		if before.Status != StatusPending {
			return errDecided
		}
		d.before, d.after = before, before
		d.after.Status = status
		if _, err := s.writeChange(ctx, q, d); err != nil {
			return err
		}
		decided, err = registration(ctx, q, userID)
		return err
	})
	if err != nil {
		return Registration{}, fmt.Errorf("decide registration: %w", err)
	}
	s.Wake()
	return decided, nil
}

func registration(ctx context.Context, q *crmdb.Queries, userID uuid.UUID) (Registration, error) {
	row, err := q.RegistrationGet(ctx, userID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Registration{}, errs.Missing()
	}
	if err != nil {
		return Registration{}, fmt.Errorf("read registration: %w", err)
	}
	return registrationOf(row), nil
}
