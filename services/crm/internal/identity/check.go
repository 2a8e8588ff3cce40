package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
)

// Check tells whether p may still come in as it did, for what goes on after
// its request was let in: nil while the session lives and the user is approved
// and has the same role. errs.CodeInvalidToken or errs.CodeForbidden otherwise.
func (s *Service) Check(ctx context.Context, p Principal) error {
	row, err := s.q.SessionPrincipal(ctx, crmdb.SessionPrincipalParams{ID: p.SessionID, UserID: p.UserID, Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return errInvalidToken
	}
	if err != nil {
		return fmt.Errorf("read session: %w", err)
	}
	if Role(row.Role) != p.Role {
		return errForbidden
	}
	return nil
}
