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
	readBatch    = 20
	// readers is how many mails are taken apart at a time; each takes several times
	// its size of memory.
	readers = 2
	// maxTries is how often reading a mail may fail before it is left unparsed.
	maxTries = 5
)

// readingLoop reads the mails that were stored. Every replica runs it.
func (s *Service) readingLoop() *background.Loop {
	return background.New(background.Config{
		Name: "inbound mail reading", Interval: readInterval, Jitter: readInterval / 10,
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
	var group errgroup.Group
	group.SetLimit(readers)
	failures := make([]error, len(claimed))
	for i, m := range claimed {
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
	return pgx.BeginFunc(ctx, s.DB, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local synchronous_commit = off"); err != nil {
			return fmt.Errorf("relax the commit: %w", err)
		}
		return do(tx)
	})
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
	var said notifyapi.InboundContent
	handled := false
	if tries > maxTries {
		said = s.Rules.headerOnly(raw[:max(0, headerEnd(raw[:min(len(raw), maxHeader)]))], row.EnvelopeFrom, unparsedCrashed).content
	} else if said, handled, err = s.understand(ctx, tx, row, raw); err != nil {
		return "", false, err
	}
	content, err := json.Marshal(said)
	if err != nil {
		return "", false, fmt.Errorf("marshal what the mail says: %w", err)
	}
	status = notifyapi.InboundPending
	if handled {
		status = notifyapi.InboundHandled
	}
	return status, said.Unparsed != nil, q.InboundRead(ctx, notificationdb.InboundReadParams{
		ID: id, Status: status, Content: content, ContentSize: int32(len(content)),
	})
}

// understand takes the mail apart and applies it if it is a report. A panic is an
// error.
func (s *Service) understand(ctx context.Context, tx pgx.Tx, row notificationdb.InboundLockRow, raw []byte) (said notifyapi.InboundContent, handled bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	said = s.parse(raw, row.EnvelopeFrom)
	if s.Reports == nil {
		return said, false, nil
	}
	if handled, err = s.Reports.Apply(ctx, tx, row.EnvelopeTo, raw); err != nil {
		return said, false, fmt.Errorf("apply a report: %w", err)
	}
	return said, handled, nil
}

// parse takes a mail apart when one of the slots is free.
func (s *Service) parse(raw []byte, envelopeFrom string) notifyapi.InboundContent {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return s.Rules.Parse(raw, envelopeFrom)
}
