package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

// KeyLifetime is how long an Idempotency-Key is stored.
const KeyLifetime = 24 * time.Hour

// Once makes a request take effect a single time for a caller and key
// (draft-ietf-httpapi-idempotency-key-header). The same key with another request
// is idempotency_mismatch; while the first use is still under way it is
// idempotency_in_flight.
type Once struct {
	Key  string
	Hash [sha256.Size]byte

	// Replayed is set when the answer is the stored one of the first request.
	Replayed bool
}

// replayed is the header Idempotency-Replayed: "true" for a stored answer, else "".
func (o *Once) replayed() string {
	if o == nil || !o.Replayed {
		return ""
	}
	return "true"
}

// NewOnce binds the key to the operation and its input. It is nil without a key.
func NewOnce(key, operation string, input any) (*Once, error) {
	if key == "" {
		return nil, nil
	}
	data, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("encode input: %w", err)
	}
	return &Once{Key: key, Hash: sha256.Sum256(append([]byte(operation+"\n"), data...))}, nil
}

var errKeyExpired = errors.New("the key was used long ago and is free again")

const (
	keysIndex        = "idempotency_keys_pkey"
	lockNotAvailable = "55P03"
)

// spent reports whether err means that the key has been used, or that the wait
// for a concurrent use of it timed out. PostgreSQL names the index in the context
// of such a timeout; the timeout of any other lock has another context.
func (o *Once) spent(err error) bool {
	if errs.As(err) != nil {
		return false
	}
	var pgErr *pgconn.PgError
	return pg.IsUnique(err, keysIndex) ||
		errors.As(err, &pgErr) && pgErr.Code == lockNotAvailable && strings.Contains(pgErr.Where, `"`+keysIndex+`"`)
}

// firstAnswer returns the stored answer to the first use of the key. cause is the
// error of the caller's insertion, which has waited for a concurrent use up to the
// lock timeout.
func (s *Service) firstAnswer(ctx context.Context, v Viewer, once *Once, cause error) (crmdb.IdempotencyGetRow, error) {
	q := crmdb.New(s.pool)
	row, err := q.IdempotencyGet(ctx, crmdb.IdempotencyGetParams{UserID: v.ID, Key: once.Key})
	if errors.Is(err, pgx.ErrNoRows) {
		return row, errs.New(errs.Conflict, errs.CodeIdempotencyInFlight,
			"A request with this Idempotency-Key is in progress. Try again soon.").Because(cause).After(time.Second)
	}
	if err != nil {
		return row, fmt.Errorf("read idempotency key: %w", err)
	}
	if expiry := s.now().Add(-KeyLifetime); row.CreatedAt.Before(expiry) {
		if err := q.IdempotencyForget(ctx, crmdb.IdempotencyForgetParams{UserID: v.ID, Key: once.Key, Before: expiry}); err != nil {
			return row, fmt.Errorf("forget idempotency key: %w", err)
		}
		return row, errKeyExpired
	}
	if string(row.RequestHash) != string(once.Hash[:]) {
		return row, errs.New(errs.Invalid, errs.CodeIdempotencyMismatch,
			"This Idempotency-Key was used for another request. Use a new key for each new request.")
	}
	once.Replayed = true
	return row, nil
}

// known reports whether the key has been used.
func (s *Service) known(ctx context.Context, v Viewer, once *Once) (bool, error) {
	_, err := crmdb.New(s.pool).IdempotencyGet(ctx, crmdb.IdempotencyGetParams{UserID: v.ID, Key: once.Key})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read idempotency key: %w", err)
	}
	return true, nil
}

// PurgeKeys deletes keys that are older than KeyLifetime, at most limit of them,
// and returns how many. See pg.Purge.
func (s *Service) PurgeKeys(ctx context.Context, limit int32) (int64, error) {
	n, err := crmdb.New(s.pool).IdempotencyPurge(ctx, crmdb.IdempotencyPurgeParams{Before: s.now().Add(-KeyLifetime), Most: limit})
	if err != nil {
		return 0, fmt.Errorf("purge idempotency keys: %w", err)
	}
	return n, nil
}
