package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
)

// The kinds of audit event.
const (
	auditAdminCreated   = "admin_created"
	auditRegistered     = "registered"
	auditLoginSucceeded = "login_succeeded"
	auditLoginFailed    = "login_failed"
	auditLoginRefused   = "login_refused" // right password, but not approved
	auditRefreshReused  = "refresh_reused"
	auditLoggedOut      = "logged_out"
	auditSessionEnded   = "session_ended"
	auditPasswordSet    = "password_changed"
	auditResetRequested = "password_reset_requested"
	auditReset          = "password_reset"
	auditVerified       = "email_verified"
	auditUserChanged    = "user_changed"
	auditInvited        = "user_invited"
	auditErased         = "user_erased"
	auditExported       = "user_exported"
	auditSessionsEnded  = "sessions_ended"
	auditApproved       = "registration_approved"
	auditRejected       = "registration_rejected"
	auditRefused        = "access_refused" // wrong role, or a key without the scope
	auditCommentRemoved = "comment_removed"
	auditKeyCreated     = "key_created"
	auditKeyRotated     = "key_rotated"
	auditKeyRevoked     = "key_revoked"
	auditKeyRefused     = "key_refused" // used outside its networks
)

// AuditKind is what an audit event records.
type AuditKind string

// AuditKinds are all kinds. Don't modify.
var AuditKinds = []AuditKind{
	auditAdminCreated, auditRegistered, auditLoginSucceeded, auditLoginFailed, auditLoginRefused,
	auditRefreshReused, auditLoggedOut, auditSessionEnded, auditPasswordSet, auditResetRequested, auditReset,
	auditVerified, auditUserChanged, auditInvited, auditErased, auditExported, auditSessionsEnded,
	auditApproved, auditRejected, auditRefused, auditCommentRemoved,
	auditKeyCreated, auditKeyRotated, auditKeyRevoked, auditKeyRefused,
}

// audit is one event to be recorded. before and after are facts for admins; they
// never hold a password, a token or an e-mail address.
type audit struct {
	kind          string
	actor, object uuid.UUID // Nil for none
	before, after any
}

// record writes an event in the transaction of the change that it describes, with
// the client address and the id of the request.
func record(ctx context.Context, q *crmdb.Queries, now time.Time, a audit) error {
	before, err := encodeFacts(a.before)
	if err != nil {
		return err
	}
	after, err := encodeFacts(a.after)
	if err != nil {
		return err
	}
	if err := q.AuditInsert(ctx, crmdb.AuditInsertParams{
		ID: newID(), Kind: a.kind, ActorID: idOrNil(a.actor), ObjectID: idOrNil(a.object),
		Before: before, After: after, Address: clientOf(ctx), RequestID: obs.RequestID(ctx), Now: now,
	}); err != nil {
		return fmt.Errorf("record %s: %w", a.kind, err)
	}
	return nil
}

// RecordCommentRemoved records that actor removed a comment of a ticket, in the
// transaction that does so.
func RecordCommentRemoved(ctx context.Context, q *crmdb.Queries, now time.Time, actor, comment, ticket uuid.UUID) error {
	return record(ctx, q, now, audit{kind: auditCommentRemoved, actor: actor, object: comment, before: map[string]uuid.UUID{"ticket_id": ticket}})
}

func encodeFacts(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode audit facts: %w", err)
	}
	return b, nil
}

func decodeFacts(b []byte, to *map[string]any) error {
	if b == nil {
		return nil
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("decode audit facts: %w", err)
	}
	return nil
}

// userState has the facts about a user before and after a change.
type userState struct {
	Name   string `json:"name"`
	Role   Role   `json:"role"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	// EmailChanged replaces the addresses, which the audit does not store.
	EmailChanged bool `json:"email_changed,omitempty"`
}

func stateOf(u User) userState { return userState{Name: u.Name, Role: u.Role, Status: u.Status} }

// AuditFilter selects audit events; a zero field selects all.
type AuditFilter struct {
	Actor, Object               *uuid.UUID
	Kind                        string
	CreatedAfter, CreatedBefore *time.Time // exclusive
}

// AuditEvent is one entry of the audit.
type AuditEvent struct {
	ID            uuid.UUID
	Kind          string
	Actor, Object *uuid.UUID
	ActorName     *string // as it is now; nil when it is no user
	ObjectName    *string
	Before, After map[string]any
	Address       *netip.Addr
	RequestID     string
	CreatedAt     time.Time
}

// Audit lists events, newest first, at most n after the given position.
func (s *Service) Audit(ctx context.Context, f AuditFilter, after *Position, n int) ([]AuditEvent, error) {
	at, id := after.args()
	rows, err := s.q.AuditList(ctx, crmdb.AuditListParams{
		Actor: f.Actor, Object: f.Object, Kind: f.Kind, CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore,
		BeforeAt: at, BeforeID: id, MaxRows: int32(n),
	})
	if err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	events := make([]AuditEvent, 0, len(rows))
	for _, r := range rows {
		e := AuditEvent{
			ID: r.ID, Kind: r.Kind, Actor: r.ActorID, ActorName: r.ActorName, Object: r.ObjectID, ObjectName: r.ObjectName,
			Address: r.Address, RequestID: r.RequestID, CreatedAt: r.CreatedAt,
		}
		if err := errors.Join(decodeFacts(r.Before, &e.Before), decodeFacts(r.After, &e.After)); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}
