package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/address"
	"fixdesk/services/crm/internal/crmdb"
)

// EnsureCustomer returns the user with the address, of any role and status, or
// creates a customer without a password, who gets one by ForgotPassword. It runs
// in the caller's transaction; of many callers with one new address one creates
// the customer and the others get the same id. actor is the user who asks. An
// empty or invalid name is replaced by the part of the address before the @. The
// error wraps address.ErrInvalid for an invalid address.
func EnsureCustomer(ctx context.Context, q *crmdb.Queries, now time.Time, actor uuid.UUID, email, name string) (uuid.UUID, error) {
	email, err := address.Parse(email)
	if err != nil {
		return uuid.Nil, err
	}
	u := User{ID: newID(), Name: customerName(name, email), Email: email, Role: RoleCustomer, Status: StatusApproved}
	id, err := q.CustomerEnsure(ctx, crmdb.CustomerEnsureParams{
		ID: u.ID, Name: u.Name, Email: email, Search: searchText(u.Name, email), Now: now,
	})
	if err == nil {
		return id, record(ctx, q, now, audit{kind: auditRegistered, actor: actor, object: id, after: stateOf(u)})
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, fmt.Errorf("make a customer: %w", err)
	}
	if id, err = q.UserIDByEmail(ctx, email); err != nil {
		return uuid.Nil, fmt.Errorf("find the customer: %w", err)
	}
	return id, nil
}

// customerName is the given name, else the part of the address before the @, else
// "Customer".
func customerName(name, email string) string {
	local, _, _ := strings.Cut(email, "@")
	for _, candidate := range []string{name, local} {
		if clean, err := cleanName(candidate); err == nil {
			return clean
		}
	}
	return "Customer"
}
