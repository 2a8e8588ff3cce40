package preference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// Config is what a Service needs; all fields are required.
type Config struct {
	Pool *pgxpool.Pool
	Now  func() time.Time
	Wake func() // after a digest was written to the outbox
	Log  *slog.Logger
}

// Service reads and changes preferences, and makes digests.
type Service struct{ Config }

// NewService makes a Service.
func NewService(c Config) *Service { return &Service{c} }

// Get returns a person's preferences.
func (s *Service) Get(ctx context.Context, user uuid.UUID) (Preferences, error) {
	return get(ctx, crmdb.New(s.Pool), user)
}

func get(ctx context.Context, q *crmdb.Queries, user uuid.UUID) (Preferences, error) {
	row, err := q.PreferenceGet(ctx, user)
	if errors.Is(err, pgx.ErrNoRows) {
		return Default(), nil
	}
	if err != nil {
		return Preferences{}, fmt.Errorf("read preferences: %w", err)
	}
	return Preferences{Refused: row.Refused, Digest: Interval(row.Digest), Hour: int(row.DigestHour), TimeZone: row.TimeZone}, nil
}

// Put replaces a person's preferences. They hold for every notice that is written
// afterwards. The errors are errs.CodeValidationFailed for an unknown time zone.
func (s *Service) Put(ctx context.Context, user uuid.UUID, p Preferences) (Preferences, error) {
	if err := checkTimeZone(p.TimeZone); err != nil {
		return Preferences{}, errs.Validation(errs.Field{Location: "body.time_zone", Message: err.Error()})
	}
	refused := append([]string{}, p.Refused...) // the caller's stays as it is
	slices.Sort(refused)
	p.Refused = slices.Compact(refused)
	if err := crmdb.New(s.Pool).PreferencePut(ctx, crmdb.PreferencePutParams{
		UserID: user, Refused: p.Refused, Digest: string(p.Digest), DigestHour: int16(p.Hour), TimeZone: p.TimeZone, UpdatedAt: s.Now(),
	}); err != nil {
		return Preferences{}, fmt.Errorf("store preferences: %w", err)
	}
	return p, nil
}

// Subscription is what a link in a mail ends. Mailed is false when it has ended.
type Subscription struct {
	Kind   string
	Mailed bool
}

// Subscription returns what the token of a link ends, without ending it. The error
// is errs.CodeNotFound for a token that this service did not make, and for one of
// an erased person.
func (s *Service) Subscription(ctx context.Context, token string) (Subscription, error) {
	q := crmdb.New(s.Pool)
	subscription, err := read(ctx, q, token)
	if err != nil {
		return Subscription{}, err
	}
	refuses, err := q.PreferenceRefuses(ctx, crmdb.PreferenceRefusesParams{
		UserID: subscription.User, Kinds: notice.RefusedBy(subscription.Kind),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Subscription{}, errs.Missing()
	}
	if err != nil {
		return Subscription{}, fmt.Errorf("read subscription: %w", err)
	}
	return Subscription{Kind: subscription.Kind, Mailed: !refuses}, nil
}

// Unsubscribe ends what the token of a link names; again, it changes nothing. The
// errors are those of Subscription.
func (s *Service) Unsubscribe(ctx context.Context, token string) error {
	q := crmdb.New(s.Pool)
	subscription, err := read(ctx, q, token)
	if err != nil {
		return err
	}
	n, err := q.PreferenceRefuse(ctx, crmdb.PreferenceRefuseParams{
		UserID: subscription.User, Kinds: notice.RefusedBy(subscription.Kind), Now: s.Now(),
	})
	switch {
	case err != nil:
		return fmt.Errorf("unsubscribe: %w", err)
	case n == 0:
		return errs.Missing()
	}
	s.Log.InfoContext(ctx, "unsubscribed by a link in a mail", "kind", subscription.Kind)
	return nil
}

func read(ctx context.Context, q *crmdb.Queries, token string) (notice.Subscription, error) {
	secret, err := q.SecretGet(ctx, notice.UnsubscribeSecret)
	if err != nil {
		return notice.Subscription{}, fmt.Errorf("read secret: %w", err)
	}
	subscription, err := notice.ReadSubscription(secret, token)
	if err != nil {
		return notice.Subscription{}, errs.Missing()
	}
	return subscription, nil
}
