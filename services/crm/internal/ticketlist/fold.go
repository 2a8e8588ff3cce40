package ticketlist

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/background"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	foldInterval = time.Minute
	foldGap      = 50 * time.Millisecond // between two batches, so that requests are not delayed
	foldTimeout  = 30 * time.Second
	foldBatch    = 200
)

// FoldLoop updates search words of tickets and comments that were made by older
// rules than text.Words: those of earlier releases, including words that an older
// binary writes while it still serves.
func (s *Service) FoldLoop(log *slog.Logger, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "search folding", Interval: foldInterval, Jitter: foldInterval / 10, MinInterval: foldGap, Timeout: foldTimeout,
		RunOnce: s.foldOnce, Log: log, Metrics: metrics,
	})
}

// foldOnce updates one batch of tickets and one of comments, and reports whether
// more may remain.
func (s *Service) foldOnce(ctx context.Context) (again bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := crmdb.New(tx)
		tickets, err := foldTickets(ctx, q)
		if err != nil {
			return err
		}
		comments, err := foldComments(ctx, q)
		again = tickets == foldBatch || comments == foldBatch
		return err
	})
	return again, err
}

func foldTickets(ctx context.Context, q *crmdb.Queries) (int, error) {
	ids, err := q.SearchFoldTicketsLock(ctx, foldBatch)
	if err != nil || len(ids) == 0 {
		return 0, wrap("lock tickets to fold", err)
	}
	rows, err := q.SearchFoldTicketsRead(ctx, ids)
	if err != nil {
		return 0, wrap("read tickets to fold", err)
	}
	arg := crmdb.SearchFoldTicketsParams{Ids: make([]uuid.UUID, len(rows)), TitleWords: make([]string, len(rows)), DescriptionWords: make([]string, len(rows))}
	for i, r := range rows {
		arg.Ids[i], arg.TitleWords[i], arg.DescriptionWords[i] = r.ID, text.Words(r.Title), text.Words(r.Description)
	}
	return len(ids), wrap("fold tickets", q.SearchFoldTickets(ctx, arg))
}

func foldComments(ctx context.Context, q *crmdb.Queries) (int, error) {
	rows, err := q.SearchFoldCommentsRead(ctx, foldBatch)
	if err != nil || len(rows) == 0 {
		return 0, wrap("read comments to fold", err)
	}
	arg := crmdb.SearchFoldCommentsParams{Ids: make([]uuid.UUID, len(rows)), Words: make([]string, len(rows))}
	for i, r := range rows {
		arg.Ids[i], arg.Words[i] = r.ID, text.Words(r.Body)
	}
	return len(rows), wrap("fold comments", q.SearchFoldComments(ctx, arg))
}

func wrap(operation string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}
