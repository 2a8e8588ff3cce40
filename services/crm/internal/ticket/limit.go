package ticket

import (
	"context"
	"fmt"
	"time"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
)

// The names of the limits per customer; staff have none.
const (
	ticketsPerHour  = "tickets-account"
	commentsPerHour = "comments-account"
)

// limit returns the viewer's limit of that name; ok is false for none.
func (s *Service) limit(v Viewer, name string) (_ identity.AccountLimit, ok bool) {
	return identity.NewAccountLimit(name, s.perHour, time.Hour), s.perHour > 0 && !v.Staff()
}

// hitLimit counts one towards the viewer's limit, in the caller's transaction. The
// error is rate_limited when the limit is reached.
func (s *Service) hitLimit(ctx context.Context, q *crmdb.Queries, v Viewer, name string, now time.Time) error {
	l, ok := s.limit(v, name)
	if !ok {
		return nil
	}
	if err := l.Hit(ctx, q, v.ID, now); err != nil {
		return fmt.Errorf("limit %s: %w", name, err)
	}
	return nil
}
