// Package erasure removes what is kept of the mails to an address.
package erasure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/background"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	interval = time.Minute
	timeout  = 10 * time.Minute // of one run; the next one goes on where it ended
	batch    = 2000             // recipients
	// again is when a search that met mails that are still to be sent begins anew.
	again = time.Hour
)

// Service erases mails. Make it with New.
type Service struct {
	db   *pgxpool.Pool
	now  func() time.Time
	log  *slog.Logger
	loop *background.Loop
}

// New makes a service, whose job is Loop.
func New(db *pgxpool.Pool, now func() time.Time, log *slog.Logger, metrics *background.Metrics) *Service {
	s := &Service{db: db, now: now, log: log}
	s.loop = background.New(background.Config{
		Name: "erasure", Interval: interval, Jitter: interval / 10, Timeout: timeout,
		RunOnce: s.runOnce, Exclusive: pg.Exclusive(db), Log: log, Metrics: metrics,
	})
	return s
}

// Loop searches all recipients for the addresses that are to be erased, on one replica at
// a time.
func (s *Service) Loop() *background.Loop { return s.loop }

// Add has the mails erased that were stored until now for the address with this SHA-256,
// in hexadecimal, of its canonical form.
func (s *Service) Add(ctx context.Context, hash string) error {
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != sha256.Size {
		return errs.Validation(errs.Field{Location: "body.email_sha256", Message: "must be 64 hexadecimal digits"})
	}
	now := s.now()
	err = notificationdb.New(s.db).ErasureAdd(ctx, notificationdb.ErasureAddParams{
		EmailHash: sum, BeforeID: delivery.FirstID(now.Add(time.Millisecond)), Now: now,
	})
	if err != nil {
		return fmt.Errorf("store an erasure: %w", err)
	}
	s.loop.Wake()
	return nil
}

// runOnce does the erasure that is due first.
func (s *Service) runOnce(ctx context.Context) (more bool, err error) {
	q := notificationdb.New(s.db)
	next, err := q.ErasureNext(ctx, s.now())
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the next erasure: %w", err)
	}
	erased := int64(0)
	steps := pg.Purge{Max: batch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		row, err := s.step(ctx, next.EmailHash, next.BeforeID, limit)
		erased += row.Erased
		return row.Examined, err
	}}
	if _, err := steps.Run(ctx); err != nil {
		return false, fmt.Errorf("erase mails: %w", err)
	}
	err = q.ErasureEnd(ctx, notificationdb.ErasureEndParams{EmailHash: next.EmailHash, BeforeID: next.BeforeID, AgainAt: s.now().Add(again)})
	if err != nil {
		return false, fmt.Errorf("end an erasure: %w", err)
	}
	s.log.InfoContext(ctx, "mails to an address erased", "recipients", erased)
	return true, nil
}

func (s *Service) step(ctx context.Context, hash []byte, before uuid.UUID, limit int32) (notificationdb.ErasureStepRow, error) {
	return notificationdb.New(s.db).ErasureStep(ctx, notificationdb.ErasureStepParams{EmailHash: hash, BeforeID: before, Max: limit})
}
