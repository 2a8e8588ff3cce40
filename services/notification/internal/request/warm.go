package request

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

// Warm returns a function that runs the statements that store a notification once on a
// connection, in a transaction that is rolled back.
func Warm(now func() time.Time) func(context.Context, pgx.Tx) error {
	s := &Service{now: now}
	return func(ctx context.Context, tx pgx.Tx) error {
		p, _ := s.rows(notifyapi.Request{Recipients: []string{"warm@example.com"}, Subject: "warm", Text: "warm"})
		p.IdempotencyKey, p.BodyHash = p.ID.String(), make([]byte, sha256.Size)
		q := notificationdb.New(tx)
		if _, err := q.NotificationInsert(ctx, p); err != nil {
			return fmt.Errorf("store a notification: %w", err)
		}
		_, err := q.NotificationByKey(ctx, notificationdb.NotificationByKeyParams{Caller: p.Caller, IdempotencyKey: p.IdempotencyKey})
		return err
	}
}
