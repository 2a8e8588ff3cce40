package inbound

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

// maxReadTogether bounds the bytes of the mails that are read by one transaction.
const maxReadTogether = 4 << 20

// readSmall reads the mails of one piece that were never tried before, many by one
// transaction, and returns those that have to be read alone: the others, and those of
// a transaction that failed.
func (s *Service) readSmall(ctx context.Context, claimed []notificationdb.InboundClaimRow) (alone []notificationdb.InboundClaimRow) {
	var together []notificationdb.InboundClaimRow
	var size int64
	read := func() {
		if len(together) > 1 && s.readTogether(ctx, together) == nil {
			together = nil
		}
		alone = append(alone, together...)
		together, size = nil, 0
	}
	for _, m := range claimed {
		if m.Tries > 1 || m.Size >= pieceSize {
			alone = append(alone, m)
			continue
		}
		if size += m.Size; size > maxReadTogether {
			read()
			size = m.Size
		}
		together = append(together, m)
	}
	read()
	return alone
}

func (s *Service) readTogether(ctx context.Context, mails []notificationdb.InboundClaimRow) error {
	ids := make([]uuid.UUID, len(mails))
	for i, m := range mails {
		ids[i] = m.ID
	}
	var readings []reading
	err := s.relaxed(ctx, func(tx pgx.Tx) error {
		q := notificationdb.New(tx)
		rows, err := q.InboundLockSmall(ctx, ids)
		if err != nil {
			return err
		}
		readings = make([]reading, len(rows))
		for i, row := range rows {
			readings[i].id = row.ID
			if err := s.understand(ctx, tx, &readings[i], row.EnvelopeFrom, row.EnvelopeTo, row.Data); err != nil {
				return err
			}
		}
		return storeReadings(ctx, q, readings...)
	})
	if err != nil {
		return err
	}
	for _, r := range readings {
		s.metrics.countRead(r.status, r.unparsed)
		if r.status == notifyapi.InboundPending {
			s.arrived.raise()
		}
	}
	return nil
}
