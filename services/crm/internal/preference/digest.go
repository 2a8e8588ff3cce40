package preference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

const (
	digestInterval = time.Minute
	// peoplePage is how many people one query lists.
	peoplePage = 1000
	// itemsPage is the most items of a digest; the rest is in the next one.
	itemsPage = 1000
)

// DigestLoop is the job that writes the digests that are due, on one replica at a
// time.
func (s *Service) DigestLoop(metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "digests", Interval: digestInterval, Jitter: digestInterval / 10, Timeout: 10 * digestInterval,
		RunOnce: s.runDigests, Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
	})
}

// runDigests writes the digests of all people for whom one is due. A failure for
// one of them doesn't keep the others waiting.
func (s *Service) runDigests(ctx context.Context) (again bool, err error) {
	var problems []error
	written := 0
	for after, more := uuid.Nil, true; more && ctx.Err() == nil; {
		people, err := crmdb.New(s.Pool).DigestWaiting(ctx, crmdb.DigestWaitingParams{After: after, Most: peoplePage})
		if err != nil {
			return false, fmt.Errorf("list people who wait for a digest: %w", err)
		}
		for _, p := range people {
			after = p.UserID
			wants := Preferences{Digest: Interval(p.Digest), Hour: int(p.DigestHour), TimeZone: p.TimeZone}
			if s.Now().Before(wants.due(p.Since)) {
				continue
			}
			done, err := s.writeDigest(ctx, p.UserID)
			if err != nil {
				problems = append(problems, err)
			}
			written += done
		}
		more = len(people) == peoplePage
	}
	if written > 0 {
		s.Log.InfoContext(ctx, "digests written", "digests", written)
		s.Wake()
	}
	return false, errors.Join(problems...)
}

// writeDigest moves what waits for a person into one entry of the outbox, in one
// transaction, and returns how many entries it wrote: none when there is nothing
// that they still may see and want. What a concurrent call has taken is not taken
// again.
func (s *Service) writeDigest(ctx context.Context, user uuid.UUID) (written int, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		q := crmdb.New(tx)
		items, err := q.DigestTake(ctx, crmdb.DigestTakeParams{UserID: user, Most: itemsPage})
		if err != nil || len(items) == 0 {
			return err
		}
		d, err := digest(ctx, q, user, items)
		if err != nil || len(d.Tickets) == 0 {
			return err
		}
		written = 1
		return outbox.Add(ctx, q, s.Now(), user, d)
	})
	if err != nil {
		return 0, fmt.Errorf("write a digest: %w", err)
	}
	return written, nil
}

// digest makes the notice from the items, oldest first, with the tickets as they
// are now. It leaves out kinds that the person has refused since, and tickets that
// they may not see any more.
func digest(ctx context.Context, q *crmdb.Queries, user uuid.UUID, items []crmdb.DigestTakeRow) (notice.Digest, error) {
	wants, err := get(ctx, q, user)
	if err != nil {
		return notice.Digest{}, err
	}
	to, err := q.DigestRecipient(ctx, user)
	if err != nil {
		return notice.Digest{}, fmt.Errorf("read recipient: %w", err)
	}
	visible, err := tickets(ctx, q, user, items)
	if err != nil {
		return notice.Digest{}, err
	}
	d := notice.Digest{To: notice.Person{ID: to.ID, Name: to.Name, Email: to.Email}}
	slices.SortFunc(items, func(a, b crmdb.DigestTakeRow) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for _, item := range items {
		about, ok := visible[item.Reference]
		if !ok || !wants.Mailed(item.Kind) {
			continue
		}
		n, err := notice.Decode(item.Kind, item.Data)
		if err != nil {
			return notice.Digest{}, err
		}
		if err := d.Add(n, about); err != nil {
			return notice.Digest{}, err
		}
	}
	return d, nil
}

// tickets are those of the items that the person may see now, by id.
func tickets(ctx context.Context, q *crmdb.Queries, user uuid.UUID, items []crmdb.DigestTakeRow) (map[uuid.UUID]notice.DigestTicket, error) {
	ids := make([]uuid.UUID, len(items))
	for i, item := range items {
		ids[i] = item.Reference
	}
	rows, err := q.DigestTickets(ctx, crmdb.DigestTicketsParams{UserID: user, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("read the tickets of a digest: %w", err)
	}
	visible := make(map[uuid.UUID]notice.DigestTicket, len(rows))
	for _, r := range rows {
		visible[r.ID] = notice.DigestTicket{Ticket: notice.Ticket{ID: r.ID, Number: r.Number, Title: r.Title}, Status: r.Status}
	}
	return visible, nil
}
