package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

// inlineBytes is the largest content that a claim returns. A worker fetches
// larger content itself, so that a batch stays small in memory.
const inlineBytes = 16 << 10

// task is one leased recipient.
type task struct {
	mail           email.Mail
	notificationID uuid.UUID
	token          uuid.UUID
	place          time.Time // in the queue
	priority       int16     // as Rank returns it
	large          bool      // Text and HTML are still to be fetched
	files          int16     // the number of attachments, which are still to be fetched
	traceparent    *string   // of the trace that the mail belongs to; nil for none
	history        History
	extra          bool          // claimed beyond the most that may be claimed
	beginBy        time.Time     // no conversation begins later
	done           chan struct{} // closed when a probe has ended; nil for other mails
}

// settlement is a task with its result.
type settlement struct {
	*task
	result email.Result
	at     time.Time
	// waitUntil is when a mail that was not tried may be tried again; zero for
	// at once.
	waitUntil time.Time
}

// callTimeout bounds every call of the database, including the wait for a
// connection. The statement timeout is shorter, but a frozen server does not
// enforce it.
const callTimeout = 10 * time.Second

type store struct {
	db       *pgxpool.Pool
	contents *contents
}

// Interval is a duration as a parameter of a query.
func Interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}

// claimed is the result of a claim.
type claimed struct {
	tasks      []*task
	suppressed int       // recipients that ended instead, since their address is suppressed
	last       time.Time // the last place among them
}

// size is how many recipients left the queue.
func (c claimed) size() int { return len(c.tasks) + c.suppressed }

// claim leases up to max recipients in fair order, of those with the given places,
// except those with the skipped addresses. It ends those with a suppressed address.
func (s store) claim(ctx context.Context, max int, now time.Time, of places, lease time.Duration, skipped ...string) (claimed, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	token, err := uuid.NewRandom()
	if err != nil {
		return claimed{}, fmt.Errorf("make a lease token: %w", err)
	}
	known := s.contents.known()
	rows, err := byIndex(s.db).DeliveryClaim(ctx, notificationdb.DeliveryClaimParams{
		Token: token, Lease: Interval(lease), InlineBytes: inlineBytes, Max: int32(max), PlacedFrom: of.from, PlacedBefore: of.before, Now: now,
		Known:   idsOf(known),
		Skipped: append([]string{}, skipped...), // nil would be NULL
	})
	if err != nil {
		return claimed{}, fmt.Errorf("claim recipients: %w", err)
	}
	s.contents.complete(rows, known)
	c := claimed{tasks: make([]*task, 0, len(rows))}
	for i := range rows {
		r := &rows[i]
		if r.QueueAt.After(c.last) {
			c.last = *r.QueueAt
		}
		if r.Suppressed {
			c.suppressed++
			continue
		}
		c.tasks = append(c.tasks, newTask(r, token))
	}
	return c, nil
}

func newTask(r *notificationdb.DeliveryClaimRow, token uuid.UUID) *task {
	t := &task{
		mail: email.Mail{
			ID: r.ID, To: r.Email, Subject: r.Subject, Text: r.Text, HTML: r.Html,
			RequestID: r.RequestID, Domain: r.MessageDomain, Date: r.Date, Shared: r.Shared,
		},
		notificationID: r.NotificationID, traceparent: r.Traceparent, token: token, place: *r.QueueAt, priority: r.Priority, large: r.Bytes > inlineBytes, files: r.Files,
		history: History{DueAt: r.EnqueuedAt, Failures: int(r.Attempts - r.AttemptsBefore), Uncertain: int(r.Uncertain)},
	}
	if r.Thread != nil {
		t.mail.Thread = *r.Thread
	}
	if r.ReplyTo != nil {
		t.mail.ReplyTo = *r.ReplyTo
	}
	if r.UnsubscribeUrl != nil {
		t.mail.Unsubscribe = *r.UnsubscribeUrl
	}
	if r.ExpiresAt != nil {
		t.mail.ExpiresAt, t.history.ExpiresAt = *r.ExpiresAt, *r.ExpiresAt
	}
	return t
}

func (s store) content(ctx context.Context, id uuid.UUID) (text, html string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := notificationdb.New(s.db).DeliveryContent(ctx, id)
	if err != nil {
		return "", "", fmt.Errorf("fetch content: %w", err)
	}
	if c.Html != nil {
		html = *c.Html
	}
	return c.Text, html, nil
}

// attachments fetches the files of a notification's mails.
func (s store) attachments(ctx context.Context, id uuid.UUID) ([]email.Attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := notificationdb.New(s.db).DeliveryFiles(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("fetch attachments: %w", err)
	}
	list := make([]email.Attachment, 0, len(rows))
	for _, row := range rows {
		list = append(list, email.Attachment(row))
	}
	return list, nil
}

// renew extends the leases given by recipient, and returns the recipients whose
// lease is still held.
func (s store) renew(ctx context.Context, held map[uuid.UUID]uuid.UUID, lease, timeout time.Duration) ([]uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, min(timeout, callTimeout))
	defer cancel()
	p := notificationdb.DeliveryRenewParams{Lease: Interval(lease)}
	for id, token := range held {
		p.Ids = append(p.Ids, id)
		p.Tokens = append(p.Tokens, token)
	}
	renewed, err := byIndex(s.db).DeliveryRenew(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return renewed, nil
}

// settle stores the results of tried recipients and returns the number of those
// whose lease had been lost.
func (s store) settle(ctx context.Context, policy Policy, batch []settlement) (lost int, err error) {
	if len(batch) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := len(batch)
	p := notificationdb.DeliverySettleParams{
		Ids: make([]uuid.UUID, 0, n), Tokens: make([]uuid.UUID, 0, n), Statuses: make([]string, 0, n), Finished: make([]bool, 0, n),
		NextAttemptsAt: make([]time.Time, 0, n), Ats: make([]time.Time, 0, n), Servers: make([]string, 0, n), Codes: make([]int16, 0, n),
		Replies: make([]string, 0, n), Outcomes: make([]string, 0, n),
	}
	for _, b := range batch {
		step := policy.After(b.result.Outcome, b.history, b.at)
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
	err = pg.Retry(ctx, func() (err error) {
		settled, err = byIndex(s.db).DeliverySettle(ctx, p)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("settle recipients: %w", err)
	}
	return len(batch) - len(settled), nil
}

// release returns untried recipients to their places in the queue, or has them
// wait.
func (s store) release(ctx context.Context, now time.Time, batch []settlement) error {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p := notificationdb.DeliveryReleaseParams{Now: now, Block: Block, Quantum: Interval(Quantum), PriorityStep: Interval(PriorityStep)}
	for _, b := range batch {
		p.Ids = append(p.Ids, b.mail.ID)
		p.Tokens = append(p.Tokens, b.token)
		p.WaitUntil = append(p.WaitUntil, b.waitUntil)
	}
	err := pg.Retry(ctx, func() error {
		_, err := byIndex(s.db).DeliveryRelease(ctx, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("release recipients: %w", err)
	}
	return nil
}

// queueDue queues some of the recipients that became due, and returns how many.
func (s store) queueDue(ctx context.Context, now time.Time) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return notificationdb.New(s.db).DeliveryPromote(ctx, notificationdb.DeliveryPromoteParams{
		Block: Block, Quantum: Interval(Quantum), PriorityStep: Interval(PriorityStep), Now: now, Max: queueBatch,
	})
}

// expire ends some of the waiting recipients that are not sent any more, and returns
// how many.
func (s store) expire(ctx context.Context, now time.Time) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return byIndex(s.db).DeliveryExpire(ctx, notificationdb.DeliveryExpireParams{Now: now, Max: queueBatch})
}

// queueExpired queues some of the recipients whose lease has expired, and
// returns how many.
func (s store) queueExpired(ctx context.Context, now time.Time) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return notificationdb.New(s.db).DeliveryReclaim(ctx, notificationdb.DeliveryReclaimParams{
		Now: now, Block: Block, Quantum: Interval(Quantum), PriorityStep: Interval(PriorityStep), Max: queueBatch,
	})
}
