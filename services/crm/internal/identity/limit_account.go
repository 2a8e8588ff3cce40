package identity

import (
	"context"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmdb"
)

// AccountLimit allows an account an action Max times in any Span, across all
// replicas. It is for the actions of other packages.
type AccountLimit struct{ limit limit }

// NewAccountLimit makes a limit with the given name.
func NewAccountLimit(name string, most int, span time.Duration) AccountLimit {
	return AccountLimit{limit{name, most, span}}
}

// Key is the key of an account's row in the table rate_limits, for statements
// that count by the SQL function rate_limit_hit.
func (l AccountLimit) Key(account uuid.UUID) string { return l.limit.key(account.String()) }

// Max is how often the action is allowed within Span.
func (l AccountLimit) Max() int32 { return int32(l.limit.max) } //nolint:gosec // a configured number of actions

// Span is the length of its window.
func (l AccountLimit) Span() time.Duration { return l.limit.span }

// Hit counts one action in the caller's transaction; errs.CodeRateLimited where
// the limit is reached.
func (l AccountLimit) Hit(ctx context.Context, q *crmdb.Queries, account uuid.UUID, now time.Time) error {
	u, ok, err := l.limit.hit(ctx, q, account.String(), now)
	if err != nil || ok {
		return err
	}
	return u.refusal(now)
}

// Refusal is the error of an account that has reached the limit, with the time
// after which one more is allowed.
func (l AccountLimit) Refusal(ctx context.Context, q *crmdb.Queries, account uuid.UUID, now time.Time) error {
	u, err := l.limit.read(ctx, q, account.String(), now)
	if err != nil {
		return err
	}
	return u.refusal(now)
}
