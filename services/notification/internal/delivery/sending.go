package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/services/notification/internal/notificationdb"
)

// heldUntil is what a recipient waits for that is held back until Release.
var heldUntil = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// releaseBatch is how many recipients one statement of Release makes due.
const releaseBatch = 10_000

// SendingState is whether mails are sent.
type SendingState struct {
	PausedAt *time.Time // nil while mails are sent
	PausedBy string
	Held     int64 // recipients that are held back
}

// Sending pauses and resumes the sending of mails by all replicas.
type Sending struct {
	db   *pgxpool.Pool
	now  func() time.Time
	log  *slog.Logger
	wake func(urgent bool)
}

// NewSending makes a Sending. wake is called when mails may be sent again.
func NewSending(db *pgxpool.Pool, now func() time.Time, log *slog.Logger, wake func(urgent bool)) *Sending {
	return &Sending{db: db, now: now, log: log, wake: wake}
}

// State reads whether mails are sent.
func (s *Sending) State(ctx context.Context) (SendingState, error) {
	row, err := notificationdb.New(s.db).SendingGet(ctx, heldUntil)
	if err != nil {
		return SendingState{}, fmt.Errorf("read whether mails are sent: %w", err)
	}
	return SendingState{PausedAt: row.PausedAt, PausedBy: row.PausedBy, Held: row.Held}, nil
}

// Pause stops every replica from beginning another mail. Those that a worker has are
// finished: at most a batch for each connection. Requests are accepted as before.
func (s *Sending) Pause(ctx context.Context, by string) (SendingState, error) {
	if err := notificationdb.New(s.db).SendingPause(ctx, notificationdb.SendingPauseParams{Now: new(s.now()), By: by}); err != nil {
		return SendingState{}, fmt.Errorf("pause sending: %w", err)
	}
	s.log.WarnContext(ctx, "sending is paused", "by", by)
	return s.State(ctx)
}

// Resume ends a pause: on this replica at once, on others within the poll interval.
func (s *Sending) Resume(ctx context.Context, by string) (SendingState, error) {
	if err := notificationdb.New(s.db).SendingResume(ctx); err != nil {
		return SendingState{}, fmt.Errorf("resume sending: %w", err)
	}
	s.log.WarnContext(ctx, "sending is resumed", "by", by)
	s.wake(false)
	return s.State(ctx)
}

// Hold holds back every mail that was due before a moment and is not finished, until
// Release. After a restore these may have been sent after the moment of the backup. It
// is for a service that does not run: a mail that is being sent is sent all the same.
func (s *Sending) Hold(ctx context.Context, before time.Time) (held int64, err error) {
	err = pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local statement_timeout = 0"); err != nil {
			return err
		}
		held, err = notificationdb.New(tx).SendingHold(ctx, notificationdb.SendingHoldParams{HeldUntil: heldUntil, Before: before})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("hold back mails: %w", err)
	}
	s.log.WarnContext(ctx, "mails are held back until they are released", "recipients", held, "before", before)
	return held, nil
}

// Release makes every mail due that is held back.
func (s *Sending) Release(ctx context.Context, by string) (SendingState, error) {
	var released int64
	for {
		n, err := notificationdb.New(s.db).SendingRelease(ctx, notificationdb.SendingReleaseParams{HeldUntil: heldUntil, Now: s.now(), Max: releaseBatch})
		if err != nil {
			return SendingState{}, fmt.Errorf("release held mails: %w", err)
		}
		if released += n; n < releaseBatch {
			break
		}
	}
	s.log.WarnContext(ctx, "held mails are released", "recipients", released, "by", by)
	return s.State(ctx)
}
