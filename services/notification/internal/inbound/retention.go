package inbound

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	purgeBatch    = 100
	purgeInterval = 10 * time.Minute
	purgeTimeout  = 10 * time.Minute
	// abandonedAfter is when the bytes of a mail that was never stored are deleted. It
	// is longer than any transfer.
	abandonedAfter = 24 * time.Hour
)

// Loops are the jobs of the service: reading, gauges, and the purge of mails that are
// acknowledged or handled and older than the retention; 0 keeps them without limit. Their
// bytes are dropped with their month.
func (s *Service) Loops(retention time.Duration) []*background.Loop {
	purge := background.New(background.Config{
		Name: "inbound purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: purgeTimeout,
		RunOnce: background.All(func(ctx context.Context) error { return s.purge(ctx, retention) }), Exclusive: pg.Exclusive(s.DB), Log: s.Log, Metrics: s.Metrics,
	})
	return []*background.Loop{s.reading, s.gaugeLoop(), purge}
}

// Partitions are the months of the bytes of mails.
func Partitions(db *pgxpool.Pool, now func() time.Time) pg.Partitions {
	return pg.Partitions{Table: "inbound_raw", Make: notificationdb.New(db).InboundPartitionsMake, Now: now}
}

// purge deletes what is older than the retention, and the bytes of mails that were never
// stored.
func (s *Service) purge(ctx context.Context, retention time.Duration) error {
	before := s.Now().Add(-retention)
	if old := delivery.FirstID(before); retention > 0 && bytes.Compare(s.piecesSeen[:], old[:]) < 0 {
		s.piecesSeen = old // what is older goes with its month
	}
	var err error
	s.piecesSeen, err = s.purgePieces(ctx, s.piecesSeen, delivery.FirstID(s.Now().Add(-abandonedAfter)))
	if err != nil || retention <= 0 {
		return err
	}
	if err := s.purgeMails(ctx, delivery.FirstID(before)); err != nil {
		return err
	}
	keptBefore, err := notificationdb.New(s.DB).InboundPartitionsDrop(ctx, notificationdb.InboundPartitionsDropParams{
		Before: before, LongBefore: before.Add(-pg.PartitionGrace),
	})
	if err != nil {
		return fmt.Errorf("drop old partitions of mails' bytes: %w", err)
	}
	_, err = s.purgePieces(ctx, uuid.Nil, keptBefore)
	return err
}

// purgePieces deletes the bytes of mails that are not stored, between two ids. It returns
// up to where it came.
func (s *Service) purgePieces(ctx context.Context, after, before uuid.UUID) (uuid.UUID, error) {
	to, err := pg.PurgeInOrder(ctx, purgeBatch, after, func(ctx context.Context, after uuid.UUID, limit int32) (uuid.UUID, int64, error) {
		row, err := notificationdb.New(s.DB).InboundPurgePieces(ctx, notificationdb.InboundPurgePiecesParams{AfterID: after, BeforeID: before, Max: limit})
		return row.LastID, row.Examined, err
	})
	if err != nil {
		return to, fmt.Errorf("purge the bytes of mails that are not stored: %w", err)
	}
	return to, nil
}

// purgeMails deletes the mails before an id that are done.
func (s *Service) purgeMails(ctx context.Context, before uuid.UUID) error {
	_, err := pg.PurgeInOrder(ctx, purgeBatch, uuid.Nil, func(ctx context.Context, after uuid.UUID, limit int32) (uuid.UUID, int64, error) {
		row, err := notificationdb.New(s.DB).InboundPurge(ctx, notificationdb.InboundPurgeParams{AfterID: after, BeforeID: before, Max: limit})
		s.metrics.purged.Add(float64(row.Deleted))
		return row.LastID, row.Examined, err
	})
	if err != nil {
		return fmt.Errorf("purge mails: %w", err)
	}
	return nil
}
