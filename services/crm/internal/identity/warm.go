package identity

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
)

// Warm runs the statement of every request once on a connection, without an effect.
func Warm(ctx context.Context, tx pgx.Tx) error {
	_, err := crmdb.New(tx).SessionPrincipals(ctx, crmdb.SessionPrincipalsParams{SessionIds: []uuid.UUID{uuid.New()}, Now: time.Unix(0, 0)})
	return err
}
