package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// limits are the parameters without which a session may hold locks for ever.
var limits = []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}

// CheckLimits returns an error that says what to do when the sessions of the pool have
// no time limits although they should: a pooler drops parameters of sessions, or can't
// take them, and the role has none.
func CheckLimits(ctx context.Context, pool *pgxpool.Pool) error {
	wanted := pool.Config().ConnConfig.RuntimeParams
	var role string
	var missing []string
	for _, name := range limits {
		var inForce string
		err := pool.QueryRow(ctx, "select current_user, current_setting($1)", name).Scan(&role, &inForce)
		if err != nil {
			return fmt.Errorf("read the limits of sessions: %w", explainPooler(err))
		}
		if inForce == "0" && wanted[name] != "0" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the database's sessions have no %s: behind a pooler the role needs them, as in alter role %s set statement_timeout = '5s' "+
		"(docs/operating.md, PgBouncer)", strings.Join(missing, ", no "), pgx.Identifier{role}.Sanitize())
}

// errPoolerRefuses is what PgBouncer answers to parameters of sessions.
var errPoolerRefuses = errors.New("a pooler refuses the parameters of sessions: with PgBouncer in transaction mode set …_DATABASE_POOLER=transaction (docs/operating.md, PgBouncer)")

// explainPooler adds what to do to the refusal of a pooler.
func explainPooler(err error) error {
	if !poolerRefuses(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errPoolerRefuses, err)
}

func poolerRefuses(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == protocolViolation && strings.Contains(pgErr.Message, "unsupported startup parameter")
}
