package ticket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
)

// Warm runs the statements of creating and reading tickets once on a connection, in a
// transaction that is rolled back. It locks nothing that others wait for: the statement
// itself meets a limit that is reached, no engineer may be chosen, and the rows of
// tickets have numbers below zero.
func Warm(ctx context.Context, tx pgx.Tx) error {
	q := crmdb.New(tx)
	nobody, second := Viewer{ID: uuid.New()}, time.Second
	arg, err := createParams(ctx, nobody, New{Priority: Normal}.by(Person{ID: nobody.ID}, time.Unix(0, 0).UTC()), nil, nil)
	if err != nil {
		return err
	}
	arg.LimitKey, arg.LimitSeconds, arg.LimitMost = "warm:"+nobody.ID.String(), second.Seconds(), 1
	spent := crmdb.RateLimitHitParams{Key: arg.LimitKey, At: arg.Now, ExpiresAt: arg.Now.Add(second), Since: arg.Now.Add(-second), MaxHits: 1}
	if _, err := q.RateLimitHit(ctx, spent); err != nil {
		return fmt.Errorf("reach a limit: %w", err)
	}
	if _, err := q.TicketCreate(ctx, arg); !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("create a ticket beyond the limit: %w", err)
	}
	if err := q.EngineerChooseNone(ctx); err != nil {
		return fmt.Errorf("choose no engineer: %w", err)
	}
	if err := q.TicketWarm(ctx, crmdb.TicketWarmParams{ID: nobody.ID, Number: -1 - rand.Int64N(1<<62)}); err != nil {
		return fmt.Errorf("write the rows of a ticket: %w", err)
	}
	_, err = q.TicketGetMany(ctx, []uuid.UUID{nobody.ID})
	return err
}
