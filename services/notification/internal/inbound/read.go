package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	readInterval = 5 * time.Second
	readBatch    = 100
	// readPause is the pause between two batches, so that those of a busy time are large.
	readPause = 20 * time.Millisecond
	// readers is how many mails are taken apart at a time; each takes several times
	// its size of memory.
	readers = 2
	// maxTries is how often reading a mail may fail before it is left unparsed.
	maxTries = 5
)

// readingLoop reads the mails that were stored. Every replica runs it.
func (s *Service) readingLoop() *background.Loop {
	return background.New(background.Config{
		Name: "inbound mail reading", Interval: readInterval, Jitter: readInterval / 10, MinInterval: readPause,
		RunOnce: s.readOnce, Log: s.Log, Metrics: s.Metrics,
	})
}

// readOnce reads the next mails.
func (s *Service) readOnce(ctx context.Context) (again bool, err error) {
	var claimed []notificationdb.InboundClaimRow
	err = s.relaxed(ctx, func(tx pgx.Tx) (err error) {
		claimed, err = notificationdb.New(tx).InboundClaim(ctx, readBatch)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim mails to read: %w", err)
	}
	alone := s.readSmall(ctx, claimed)
	var group errgroup.Group
	group.SetLimit(readers)
	failures := make([]error, len(alone))
	for i, m := range alone {
		group.Go(func() error {
			failures[i] = s.readMail(ctx, m.ID, m.Tries)
			return nil
		})
	}
	_ = group.Wait()
	return len(claimed) == readBatch, errors.Join(failures...)
}

// readMail reads one mail, unless another replica does.
func (s *Service) readMail(ctx context.Context, id uuid.UUID, tries int16) error {
	var status notifyapi.InboundStatus
	unparsed := false
	err := s.relaxed(ctx, func(tx pgx.Tx) (err error) {
		status, unparsed, err = s.readLocked(ctx, tx, id, tries)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows): // another replica
		return nil
	case pg.Unavailable(err):
		s.untry(ctx, id)
		return fmt.Errorf("read a mail: %w", err)
	case err != nil:
		return fmt.Errorf("read mail %s, try %d of %d: %w", id, tries, maxTries, err)
	}
	s.metrics.countRead(status, unparsed)
	if status == notifyapi.InboundPending {
		s.arrived.raise()
	}
	return nil
}

// relaxed runs a transaction whose commit doesn't wait for the disk. What a crash of
// PostgreSQL loses of it is done again, since the mail is then as it was stored; an
// acknowledgement, which waits for the disk, makes what was read before it durable.
func (s *Service) relaxed(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.DB, pgx.TxOptions{BeginQuery: "begin; set local synchronous_commit = off"}, do)
}

// untry uncounts a try that the database ended.
func (s *Service) untry(ctx context.Context, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	_ = notificationdb.New(s.DB).InboundUntry(ctx, id)
}

func (s *Service) readLocked(ctx context.Context, tx pgx.Tx, id uuid.UUID, tries int16) (status notifyapi.InboundStatus, unparsed bool, err error) {
	q := notificationdb.New(tx)
	row, err := q.InboundLock(ctx, id)
	if err != nil {
		return "", false, err
	}
	raw, err := readAll(ctx, q, id, row.Size)
	if err != nil {
		return "", false, err
	}
	r := reading{id: id}
	if tries > maxTries {
		err = r.say(s.Rules.headerOnly(raw[:max(0, headerEnd(raw[:min(len(raw), maxHeader)]))], row.EnvelopeFrom, unparsedCrashed).content, false)
	} else {
		err = s.understand(ctx, tx, &r, row.EnvelopeFrom, row.EnvelopeTo, raw)
	}
	if err != nil {
		return "", false, err
	}
	return r.status, r.unparsed, storeReadings(ctx, q, r)
}

// reading is what a mail says.
type reading struct {
	id       uuid.UUID
	status   notifyapi.InboundStatus
	unparsed bool
	content  string
}

func (r *reading) say(said notifyapi.InboundContent, handled bool) error {
	content, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("marshal what the mail says: %w", err)
	}
	r.status, r.unparsed, r.content = notifyapi.InboundPending, said.Unparsed != nil, string(content)
	if handled {
		r.status = notifyapi.InboundHandled
	}
	return nil
}

func storeReadings(ctx context.Context, q *notificationdb.Queries, readings ...reading) error {
	var p notificationdb.InboundReadParams
	for _, r := range readings {
		p.Ids, p.Statuses, p.Contents = append(p.Ids, r.id), append(p.Statuses, string(r.status)), append(p.Contents, r.content)
	}
	return q.InboundRead(ctx, p)
}

// understand takes the mail apart and applies it if it is a report. A panic is an
// error.
func (s *Service) understand(ctx context.Context, tx pgx.Tx, r *reading, from string, to []string, raw []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	said, handled := s.parse(raw, from), false
	if s.Reports != nil {
		if handled, err = s.Reports.Apply(ctx, tx, to, raw); err != nil {
			return fmt.Errorf("apply a report: %w", err)
		}
	}
	return r.say(said, handled)
}

// parse takes a mail apart when one of the slots is free.
func (s *Service) parse(raw []byte, envelopeFrom string) notifyapi.InboundContent {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return s.Rules.Parse(raw, envelopeFrom)
}
