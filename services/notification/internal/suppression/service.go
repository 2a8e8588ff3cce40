package suppression

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

// Service has the use cases of the suppression list.
type Service struct {
	db  *pgxpool.Pool
	now func() time.Time
	log *slog.Logger
}

// NewService makes a service.
func NewService(db *pgxpool.Pool, now func() time.Time, log *slog.Logger) *Service {
	return &Service{db: db, now: now, log: log}
}

// Add puts an address, which must be canonical, on the list within the caller's
// transaction. It reports whether the address was not on it: the first entry stays.
func Add(ctx context.Context, q *notificationdb.Queries, s Suppression) (added bool, err error) {
	n, err := q.SuppressionInsert(ctx, notificationdb.SuppressionInsertParams{
		ID: s.ID, Email: s.Email, Source: s.Source, Reason: s.Reason, CreatedAt: s.CreatedAt,
	})
	if err != nil {
		return false, fmt.Errorf("suppress an address: %w", err)
	}
	return n > 0, nil
}

// List returns up to max entries whose address contains text, newest first, before
// the one with the given id; nil means from the newest.
func (s *Service) List(ctx context.Context, text string, before *uuid.UUID, max int) ([]Suppression, error) {
	p := notificationdb.SuppressionListParams{BeforeID: uuid.Max, Max: int32(max)}
	if text = strings.ToLower(strings.TrimSpace(text)); text != "" {
		p.Q = &text
	}
	if before != nil {
		p.BeforeID = *before
	}
	rows, err := notificationdb.New(s.db).SuppressionList(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list suppressions: %w", err)
	}
	list := make([]Suppression, 0, len(rows))
	for _, row := range rows {
		list = append(list, entry(row))
	}
	return list, nil
}

func entry(row notificationdb.Suppression) Suppression {
	return Suppression{ID: row.ID, Email: row.Email, Source: row.Source, Reason: row.Reason, CreatedAt: row.CreatedAt}
}

// Get returns the entry of an address in any spelling.
func (s *Service) Get(ctx context.Context, email string) (Suppression, error) {
	email, fields := canonical("path.email", email)
	if fields != nil {
		return Suppression{}, errs.Validation(fields...)
	}
	return s.get(ctx, email)
}

func (s *Service) get(ctx context.Context, email string) (Suppression, error) {
	row, err := notificationdb.New(s.db).SuppressionGet(ctx, email)
	if errors.Is(err, pgx.ErrNoRows) {
		return Suppression{}, errs.Missing()
	}
	if err != nil {
		return Suppression{}, fmt.Errorf("get suppression: %w", err)
	}
	return entry(row), nil
}

// Suppress puts an address on the list and returns its entry. The first entry of an
// address stays, so that a repetition changes nothing.
func (s *Service) Suppress(ctx context.Context, r notifyapi.SuppressionRequest) (Suppression, error) {
	email, fields := canonical("body.email", r.Email)
	if fields = append(fields, checkReason(r.Reason)...); len(fields) > 0 {
		return Suppression{}, errs.Validation(fields...)
	}
	added, err := Add(ctx, notificationdb.New(s.db), Suppression{
		ID: uuid.Must(uuid.NewV7()), Email: email, Source: notifyapi.SourceManual,
		Reason: strings.TrimSpace(r.Reason), CreatedAt: s.now(),
	})
	if err != nil {
		return Suppression{}, err
	}
	if added {
		s.log.InfoContext(ctx, "address suppressed", "source", notifyapi.SourceManual, "addresses", 1)
	}
	return s.get(ctx, email)
}

// Unsuppress takes an address from the list, if it is there.
func (s *Service) Unsuppress(ctx context.Context, email string) error {
	email, fields := canonical("path.email", email)
	if fields != nil {
		return errs.Validation(fields...)
	}
	n, err := notificationdb.New(s.db).SuppressionDelete(ctx, email)
	if err != nil {
		return fmt.Errorf("remove suppression: %w", err)
	}
	if n > 0 {
		s.log.InfoContext(ctx, "address taken from the suppression list", "addresses", n)
	}
	return nil
}
