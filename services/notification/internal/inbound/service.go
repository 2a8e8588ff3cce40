package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

// Config has the dependencies and settings of a Service. All are required save
// Reports and Rules.
type Config struct {
	DB    *pgxpool.Pool
	Rules Rules
	// Reports applies delivery reports; nil leaves them to the consumer.
	Reports  Reports
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
	Metrics  *background.Metrics
}

// Reports applies delivery reports and complaints to what they are about. Apply is
// called for each mail within the transaction that stores what it says; handled
// mails don't go to the consumer. to are the envelope's recipients.
type Reports interface {
	Apply(ctx context.Context, tx pgx.Tx, to []string, raw []byte) (handled bool, err error)
}

// Service has the use cases of mail that comes in. Make it with New.
type Service struct {
	Config
	metrics  *metrics
	inserter inserter
	reading  *background.Loop
	arrived  *signal       // pending mail
	slots    chan struct{} // mails that are taken apart at a time
	// piecesSeen is the last mail whose bytes the purge looked at: what is stored once
	// stays stored until it is purged.
	piecesSeen uuid.UUID
}

// New makes a service. Its jobs start with those of Loops.
func New(c Config) *Service {
	s := &Service{Config: c, metrics: newMetrics(c.Registry), inserter: inserter{db: c.DB}, arrived: newSignal(), slots: make(chan struct{}, readers)}
	s.reading = s.readingLoop()
	return s
}

func (s *Service) wake() { s.reading.Wake() }

var (
	errOtherResult = errs.New(errs.Conflict, errs.CodeConflict, "This mail was acknowledged with another result.")
	errNotRead     = errs.New(errs.Conflict, errs.CodeConflict, "This mail can't be acknowledged: it isn't pending.")
	errNotDone     = errs.New(errs.Conflict, errs.CodeConflict, "This mail can't be deleted: its consumer has not acknowledged it.")
)

// Filter narrows a list; the zero value lists all.
type Filter struct {
	Status notifyapi.InboundStatus
}

// pollInterval is how often a waiting list looks for mail that another replica read.
const pollInterval = time.Second

// pageSize bounds the text and HTML of one page.
const pageSize = 8 << 20

// List returns up to max mails after the given id, oldest first; nil starts at the
// oldest. When there is none it waits for the first one. It ends a page before max
// when the mails are large; more is true when others follow. The end of ctx ends the
// wait.
func (s *Service) List(ctx context.Context, f Filter, after *uuid.UUID, max int, wait time.Duration) (mails []Mail, more bool, err error) {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		arrived := s.arrived.next()
		mails, more, err = s.list(ctx, f, after, max)
		if len(mails) > 0 || err != nil || wait <= 0 {
			return mails, more, err
		}
		poll := time.NewTimer(pollInterval)
		select {
		case <-arrived:
		case <-poll.C:
		case <-limit.C:
			wait = 0
		case <-ctx.Done():
			poll.Stop()
			return nil, false, nil
		}
		poll.Stop()
		if wait <= 0 {
			return nil, false, nil
		}
	}
}

func (s *Service) list(ctx context.Context, f Filter, after *uuid.UUID, max int) (mails []Mail, more bool, err error) {
	q := notificationdb.New(s.DB)
	p := notificationdb.InboundListParams{Max: int32(max) + 1, MaxSize: pageSize}
	if after != nil {
		p.AfterID = *after
	}
	var rows []notificationdb.InboundListRow
	if f.Status == notifyapi.InboundPending {
		var pending []notificationdb.InboundListPendingRow
		pending, err = q.InboundListPending(ctx, notificationdb.InboundListPendingParams{AfterID: p.AfterID, Max: p.Max, MaxSize: p.MaxSize})
		for _, row := range pending {
			rows = append(rows, notificationdb.InboundListRow(row))
		}
	} else {
		if f.Status != "" {
			p.Status = &f.Status
		}
		rows, err = q.InboundList(ctx, p)
	}
	if err != nil {
		return nil, false, fmt.Errorf("list mail that came in: %w", err)
	}
	size := 0
	for _, row := range rows {
		if len(mails) == max {
			return mails, true, nil
		}
		m, err := mailOf(notificationdb.InboundGetRow(row))
		if err != nil {
			return nil, false, err
		}
		mails, size = append(mails, m), size+len(row.Content)
	}
	// A page that was cut for its size may have none left behind it.
	return mails, size >= pageSize, nil
}

// Get returns one mail.
func (s *Service) Get(ctx context.Context, id uuid.UUID) (Mail, error) {
	row, err := notificationdb.New(s.DB).InboundGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Mail{}, errs.Missing()
	}
	if err != nil {
		return Mail{}, fmt.Errorf("get a mail that came in: %w", err)
	}
	return mailOf(row)
}

func mailOf(row notificationdb.InboundGetRow) (Mail, error) {
	m := Mail{
		ID: row.ID, ReceivedAt: row.ReceivedAt, Source: row.Source, Status: row.Status,
		Envelope: notifyapi.Envelope{From: row.EnvelopeFrom, To: row.EnvelopeTo},
		Size:     row.Size, Arrivals: int(row.Arrivals), Result: row.Result, Reference: row.Reference, AcknowledgedAt: row.AcknowledgedAt,
	}
	if err := json.Unmarshal(row.Content, &m.Content); err != nil {
		return Mail{}, fmt.Errorf("read the content of a stored mail: %w", err)
	}
	return m, nil
}

// Ack stores what became of a pending mail. The same result again changes nothing.
func (s *Service) Ack(ctx context.Context, id uuid.UUID, result string, reference *string) (Mail, error) {
	_, err := notificationdb.New(s.DB).InboundAck(ctx, notificationdb.InboundAckParams{
		ID: id, Result: &result, Reference: reference, Now: s.Now(),
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Mail{}, fmt.Errorf("acknowledge a mail: %w", err)
	}
	m, getErr := s.Get(ctx, id)
	switch {
	case getErr != nil:
		return Mail{}, getErr
	case err == nil:
		return m, nil
	case m.Status == notifyapi.InboundAcknowledged:
		return Mail{}, errOtherResult
	}
	return Mail{}, errNotRead
}

// Reset has a mail read again, by this version's rules, whatever became of it. Unless
// it is a report, its consumer gets it once more.
func (s *Service) Reset(ctx context.Context, id uuid.UUID) (Mail, error) {
	_, err := notificationdb.New(s.DB).InboundReset(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Mail{}, errs.Missing()
	}
	if err != nil {
		return Mail{}, fmt.Errorf("reset a mail: %w", err)
	}
	s.wake()
	return s.Get(ctx, id)
}

// Delete deletes a mail that is acknowledged or handled, with its bytes. Any other one
// has still to take effect, and is refused.
func (s *Service) Delete(ctx context.Context, id uuid.UUID) error {
	_, err := notificationdb.New(s.DB).InboundDelete(ctx, id)
	if err == nil {
		return nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("delete a mail: %w", err)
	}
	if _, err := s.Get(ctx, id); err != nil {
		return err
	}
	return errNotDone
}

// EachPiece passes the bytes of a mail to do, in order.
func (s *Service) EachPiece(ctx context.Context, id uuid.UUID, do func([]byte) error) error {
	for ordinal := int32(0); ; ordinal++ {
		data, err := notificationdb.New(s.DB).InboundPiece(ctx, notificationdb.InboundPieceParams{MailID: id, Ordinal: ordinal})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a mail's bytes: %w", err)
		}
		if err := do(data); err != nil {
			return err
		}
	}
}

// Attachment returns the bytes of a mail's n-th attachment, from 0.
func (s *Service) Attachment(ctx context.Context, id uuid.UUID, n int) ([]byte, notifyapi.InboundAttachment, error) {
	m, err := s.Get(ctx, id)
	if err != nil {
		return nil, notifyapi.InboundAttachment{}, err
	}
	if n < 0 || n >= len(m.Content.Attachments) {
		return nil, notifyapi.InboundAttachment{}, errs.Missing()
	}
	want := m.Content.Attachments[n]
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, want, ctx.Err()
	}
	raw, err := readAll(ctx, notificationdb.New(s.DB), id, m.Size)
	if err != nil {
		return nil, want, err
	}
	p := s.Rules.parse(raw, m.Envelope.From)
	if n < len(p.files) && p.content.Attachments[n].SHA256 == want.SHA256 {
		return p.files[n], want, nil
	}
	for i, a := range p.content.Attachments { // another version read the mail before
		if a.SHA256 == want.SHA256 {
			return p.files[i], want, nil
		}
	}
	return nil, want, errs.Missing()
}

func readAll(ctx context.Context, q *notificationdb.Queries, id uuid.UUID, size int64) ([]byte, error) {
	pieces, err := q.InboundPieces(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read a mail's bytes: %w", err)
	}
	if len(pieces) == 1 {
		return pieces[0], nil
	}
	raw := make([]byte, 0, size)
	for _, piece := range pieces {
		raw = append(raw, piece...)
	}
	return raw, nil
}
