package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

// inlineBytes is the largest content that comes with a claim; a larger one is
// fetched when its turn has come, so that a batch stays small in memory.
const inlineBytes = 16 << 10

// task is one leased recipient.
type task struct {
	mail           email.Mail
	notificationID uuid.UUID
	token          uuid.UUID
	large          bool // Text and HTML are still to be fetched
	failures       int  // since it was due
	dueAt          time.Time
	startBy        time.Time // no conversation begins later than this allows
}

// settlement is a task that is over, for now.
type settlement struct {
	task
	result email.Result
	at     time.Time
}

type store struct{ db *pgxpool.Pool }

// byIndex runs fn in a transaction whose statements find rows by index. A
// connection keeps the plan it made when the tables were still small, and by
// that one every claim and settlement would read all recipients.
func (s store) byIndex(ctx context.Context, fn func(*notificationdb.Queries) error) error {
	return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		q := notificationdb.New(tx)
		if err := q.DeliveryPlanByIndex(ctx); err != nil {
			return err
		}
		return fn(q)
	})
}

func interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}

// claim leases up to max recipients in fair order.
func (s store) claim(ctx context.Context, max int, lease time.Duration) ([]task, error) {
	token, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make a lease token: %w", err)
	}
	var rows []notificationdb.DeliveryClaimRow
	err = s.byIndex(ctx, func(q *notificationdb.Queries) (err error) {
		rows, err = q.DeliveryClaim(ctx, notificationdb.DeliveryClaimParams{
			Token: &token, Lease: interval(lease), InlineBytes: inlineBytes, Max: int32(max),
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim recipients: %w", err)
	}
	sortByPlace(rows)
	tasks := make([]task, 0, len(rows))
	for _, r := range rows {
		tasks = append(tasks, newTask(r, token))
	}
	return tasks, nil
}

func newTask(r notificationdb.DeliveryClaimRow, token uuid.UUID) task {
	t := task{
		mail: email.Mail{
			ID: r.ID, To: r.Email, Subject: r.Subject, Text: r.Text, HTML: r.Html,
			RequestID: r.RequestID, Domain: r.MessageDomain, Date: r.DueAt,
		},
		notificationID: r.NotificationID, token: token, large: r.Bytes > inlineBytes,
		failures: int(r.Attempts - r.AttemptsBefore), dueAt: r.EnqueuedAt,
	}
	if r.Thread != nil {
		t.mail.Thread = *r.Thread
	}
	return t
}

func (s store) content(ctx context.Context, id uuid.UUID) (text, html string, err error) {
	c, err := notificationdb.New(s.db).DeliveryContent(ctx, id)
	if err != nil {
		return "", "", fmt.Errorf("fetch content: %w", err)
	}
	if c.Html != nil {
		html = *c.Html
	}
	return c.Text, html, nil
}

// settle writes down what became of tried recipients and gives the number of
// those whose lease had been lost.
func (s store) settle(ctx context.Context, policy Policy, batch []settlement) (lost int, err error) {
	if len(batch) == 0 {
		return 0, nil
	}
	var p notificationdb.DeliverySettleParams
	for _, b := range batch {
		step := policy.After(b.result.Outcome, b.failures+1, b.dueAt, b.at)
		p.Ids = append(p.Ids, b.mail.ID)
		p.Tokens = append(p.Tokens, b.token)
		p.Statuses = append(p.Statuses, string(step.Status))
		p.Finished = append(p.Finished, step.Finished)
		p.NextAttemptsAt = append(p.NextAttemptsAt, step.NextAttemptAt)
		p.Ats = append(p.Ats, b.at)
		p.Servers = append(p.Servers, b.result.Server)
		p.Codes = append(p.Codes, int16(b.result.Code))
		p.Replies = append(p.Replies, b.result.Reply)
		p.Outcomes = append(p.Outcomes, string(b.result.Outcome))
	}
	var settled []uuid.UUID
	err = pg.Retry(ctx, func() error {
		return s.byIndex(ctx, func(q *notificationdb.Queries) (err error) {
			settled, err = q.DeliverySettle(ctx, p)
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("settle recipients: %w", err)
	}
	return len(batch) - len(settled), nil
}

// release gives untried recipients back to their places.
func (s store) release(ctx context.Context, now time.Time, batch []settlement) error {
	if len(batch) == 0 {
		return nil
	}
	p := notificationdb.DeliveryReleaseParams{Now: now, Quantum: interval(Quantum)}
	for _, b := range batch {
		p.Ids = append(p.Ids, b.mail.ID)
		p.Tokens = append(p.Tokens, b.token)
	}
	err := pg.Retry(ctx, func() error {
		return s.byIndex(ctx, func(q *notificationdb.Queries) error {
			_, err := q.DeliveryRelease(ctx, p)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("release recipients: %w", err)
	}
	return nil
}
