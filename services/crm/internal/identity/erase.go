package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmdb"
)

// erasedName is shown in place of a person who was erased.
const erasedName = "Erased user"

// Erase removes a person's data: name, address, password, sessions, keys, tokens,
// undelivered mails, mails that they sent, and the naming fields of the audit. Tickets and comments
// stay, by "Erased user"; an engineer's active tickets are assigned to others;
// the address can be registered again. The account can't be used or found any
// more. The error is errs.CodeLastAdmin when no approved admin would remain.
func (s *Service) Erase(ctx context.Context, actor Principal, id uuid.UUID) error {
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		before, err := lockUser(ctx, q, id)
		if err != nil {
			return err
		}
		if before.isApproved(RoleAdmin) {
			if err := requireAnotherAdmin(ctx, q, id); err != nil {
				return err
			}
		}
		now, after := s.now(), before
		after.Status = StatusSuspended
		// Addresses of this domain can't receive mail (RFC 2606).
		if err := q.UserErase(ctx, crmdb.UserEraseParams{
			ID: id, Name: erasedName, Email: "erased-" + id.String() + "@erased.invalid", Now: now,
		}); err != nil {
			return fmt.Errorf("erase user: %w", err)
		}
		if err := moveEngineer(ctx, q, userChange{actor: actor, before: before, after: after}); err != nil {
			return err
		}
		return eraseTraces(ctx, q, actor, before, now)
	})
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	s.Wake()
	return nil
}

// eraseAttachments removes the files that a person uploaded.
func eraseAttachments(q *crmdb.Queries, now time.Time) func(context.Context, uuid.UUID) error {
	return func(ctx context.Context, id uuid.UUID) error {
		_, err := q.UserEraseAttachments(ctx, crmdb.UserEraseAttachmentsParams{OwnerID: id, Now: now})
		return err
	}
}

func eraseTraces(ctx context.Context, q *crmdb.Queries, actor Principal, u User, now time.Time) error {
	for _, erase := range []func(context.Context, uuid.UUID) error{
		q.UserEraseAuditFacts, q.UserEraseAuditAddresses, q.UserEraseSessions, q.UserEraseKeys, q.UserEraseResets,
		eraseAttachments(q, now), q.UserEraseVerifications, q.UserEraseRegistration, q.UserEraseIdempotencyKeys, q.UserEraseNotices,
		q.UserErasePreferences, q.UserEraseDigest, eraseMails(q, u.Email, now), eraseMailsTo(q, u.Email, now), q.UserEraseFollows,
	} {
		if err := erase(ctx, u.ID); err != nil {
			return fmt.Errorf("erase traces: %w", err)
		}
	}
	return record(ctx, q, now, audit{kind: auditErased, actor: actor.UserID, object: u.ID})
}

// eraseMails removes what the CRM keeps of a person's mails. Package inbound then has
// the notification service delete the mails themselves.
func eraseMails(q *crmdb.Queries, email string, now time.Time) func(context.Context, uuid.UUID) error {
	return func(ctx context.Context, id uuid.UUID) error {
		return q.UserEraseMails(ctx, crmdb.UserEraseMailsParams{UserID: id, Email: email, Now: now})
	}
}

// eraseMailsTo removes what the notification service keeps of the mails to a person, by
// the dispatcher of the outbox, once those that are being posted are there.
func eraseMailsTo(q *crmdb.Queries, email string, now time.Time) func(context.Context, uuid.UUID) error {
	return func(ctx context.Context, _ uuid.UUID) error {
		hash := sha256.Sum256([]byte(email))
		return q.UserEraseMailsTo(ctx, crmdb.UserEraseMailsToParams{EmailHash: hash[:], DueAt: now.Add(time.Minute)})
	}
}
