package inbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	// consumeInterval is the pause after a failure, and of a replica that waits while
	// another one reads.
	consumeInterval = time.Second
	// batch is how many mails are read at once.
	batch = 20

	purgeInterval = time.Hour
	purgeBatch    = 500
	// keptWithoutEffect is how long mails without an effect are remembered.
	keptWithoutEffect = 90 * 24 * time.Hour
)

// Jobs are the background work of this package, each on one replica at a time: the
// consumer of mail, and the removal of what is remembered of ignored mails.
func (s *Service) Jobs(metrics *background.Metrics) []*background.Loop {
	purger := &pg.Purge{Max: purgeBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		return crmdb.New(s.Pool).InboundPurge(ctx, crmdb.InboundPurgeParams{Before: s.Now().Add(-keptWithoutEffect), Most: limit})
	}}
	return []*background.Loop{
		background.New(background.Config{
			Name: "inbound mail", Interval: consumeInterval, Jitter: consumeInterval / 10, RunOnce: s.Consume, Remote: true,
			Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
		}),
		background.New(background.Config{
			Name: "inbound mail purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: purgeInterval,
			RunOnce: purger.RunOnce, Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
		}),
	}
}

// Consume waits for mail, gives each its effect, and acknowledges it after the commit: a
// mail whose acknowledgement is lost is read again, found known, and acknowledged. One
// that can't be processed is held, so that those behind it go on. again is whether
// more may be waiting.
func (s *Service) Consume(ctx context.Context) (again bool, err error) {
	began := s.Now()
	page, err := s.Client.Inbound(ctx, notifyapi.InboundParams{Status: notifyapi.InboundPending, Wait: notifyapi.MaxInboundWait, Limit: batch})
	if err != nil {
		return false, fmt.Errorf("wait for mail: %w", err)
	}
	for _, m := range page.Items {
		r, err := s.processOrHold(ctx, m)
		if err != nil {
			return false, err
		}
		if err := s.acknowledge(ctx, m.ID, r); err != nil {
			return false, err
		}
		s.processed.WithLabelValues(string(r.outcome)).Inc()
		s.Log.InfoContext(ctx, "mail processed", "inbound_id", m.ID, "outcome", string(r.outcome), "reason", string(r.reason), "ticket_id", r.ticket)
	}
	return len(page.Items) > 0 || s.Now().Sub(began) > consumeInterval, nil
}

// processOrHold returns an error only if another try may succeed.
func (s *Service) processOrHold(ctx context.Context, m notifyapi.InboundMail) (result, error) {
	r, err := s.processSafely(ctx, m)
	if err == nil || isTemporary(ctx, err) {
		return r, err
	}
	s.Log.ErrorContext(ctx, "a mail can't be processed and is held", "inbound_id", m.ID, "error", err)
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		q := crmdb.New(tx)
		first, err := s.begin(ctx, q, notifyapi.InboundMail{ID: m.ID, ReceivedAt: m.ReceivedAt})
		if err != nil || !first {
			return err
		}
		r = result{outcome: Held, reason: HeldFailed}
		return finish(ctx, q, m.ID, r)
	})
	return r, err
}

func (s *Service) processSafely(ctx context.Context, m notifyapi.InboundMail) (r result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.process(ctx, m)
}

// isTemporary reports whether the cause is not the mail.
func isTemporary(ctx context.Context, err error) bool {
	var answer *notifyapi.Error
	if errors.As(err, &answer) {
		return answer.Temporary() || answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden
	}
	return ctx.Err() != nil || pg.Unavailable(err)
}

// acknowledge reports what became of a mail. One that the notification service no longer
// has, or that was acknowledged with another result, is done.
func (s *Service) acknowledge(ctx context.Context, id uuid.UUID, r result) error {
	reference := ""
	if r.ticket != uuid.Nil {
		reference = r.ticket.String()
	}
	_, err := s.Client.InboundAck(ctx, id, string(r.outcome), reference)
	var answer *notifyapi.Error
	if errors.As(err, &answer) && (answer.Status == http.StatusNotFound || answer.Status == http.StatusConflict) {
		s.Log.WarnContext(ctx, "a mail was acknowledged already", "inbound_id", id, "status", answer.Status)
		return nil
	}
	if err != nil {
		return fmt.Errorf("acknowledge mail: %w", err)
	}
	return nil
}
