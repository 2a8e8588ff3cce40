package reports

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	daysInterval = 10 * time.Minute
	daysGap      = 50 * time.Millisecond // between two days, for the others
	daysTimeout  = 30 * time.Second
	// daysMargin is how long after its end a day is stored. It is far more than
	// the clocks of replicas differ and a transaction takes, and events are never
	// changed, so that a stored day is complete.
	daysMargin = time.Hour
)

// DaysLoop stores the figures of the days that are over, the last one first, on one
// replica at a time.
func (s *Service) DaysLoop(log *slog.Logger, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "report days", Interval: daysInterval, Jitter: daysInterval / 60, MinInterval: daysGap, Timeout: daysTimeout,
		RunOnce:   s.storeDay,
		Exclusive: pg.Exclusive(s.pool, "report days"),
		Log:       log, Metrics: metrics,
	})
}

// storeDay stores one day and reports whether it found one to store. Of two
// replicas that store the same day at the same time, one fails and stores nothing.
func (s *Service) storeDay(ctx context.Context) (again bool, err error) {
	q := crmdb.New(s.pool)
	last := startOfDay(s.now().Add(-daysMargin)).AddDate(0, 0, -1)
	date, err := q.ReportDayMissing(ctx, last.Format(time.DateOnly))
	if err != nil {
		return false, fmt.Errorf("find a day to store: %w", err)
	}
	if date == "" {
		return false, nil
	}
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return false, fmt.Errorf("find a day to store: %w", err)
	}
	rows, err := q.ReportFigures(ctx, crmdb.ReportFiguresParams{Since: day, Until: day.AddDate(0, 0, 1)})
	if err != nil {
		return false, fmt.Errorf("compute a day: %w", err)
	}
	if err := q.ReportDayStore(ctx, columns(date, rows)); err != nil {
		return false, fmt.Errorf("store a day: %w", err)
	}
	return true, nil
}

// columns adds a row without a person, which marks the day as stored, unless there
// is one.
func columns(date string, rows []row) crmdb.ReportDayStoreParams {
	marked := false
	c := crmdb.ReportDayStoreParams{Day: date}
	add := func(r row) {
		marked = marked || r.PersonID == uuid.Nil
		c.PersonIds = append(c.PersonIds, r.PersonID)
		c.Created = append(c.Created, r.Created)
		c.Accepted = append(c.Accepted, r.Accepted)
		c.Resolved = append(c.Resolved, r.Resolved)
		c.Reopened = append(c.Reopened, r.Reopened)
		c.ToAccept = append(c.ToAccept, r.ToAccept)
		c.ToResolve = append(c.ToResolve, r.ToResolve)
	}
	for _, r := range rows {
		add(r)
	}
	if !marked {
		add(row{ToAccept: []byte{}, ToResolve: []byte{}})
	}
	return c
}

// read gives the figures of a period: of the stored days that lie in it, and the rest
// from events. A day that is stored meanwhile is computed all the same.
func (s *Service) read(ctx context.Context, from, to time.Time) (*grouped, error) {
	first, end := startOfDay(from.Add(24*time.Hour-time.Microsecond)), startOfDay(to)
	all := &grouped{days: map[string]*tally{}, people: map[uuid.UUID]*tally{}}
	if err := s.readStored(ctx, first, end, all); err != nil {
		return nil, fmt.Errorf("read stored days: %w", err)
	}
	var stored []time.Time
	for day := first; day.Before(end); day = day.AddDate(0, 0, 1) {
		if all.days[day.Format(time.DateOnly)] != nil {
			stored = append(stored, day)
		}
	}
	since := from // what is neither stored nor computed yet begins here
	for _, day := range stored {
		if err := s.readEvents(ctx, since, day, all); err != nil {
			return nil, err
		}
		since = day.AddDate(0, 0, 1)
	}
	return all, s.readEvents(ctx, since, to, all)
}

// storedDays are the rows of the days from one, inclusive, to another, exclusive, each
// with how many days it is after the first. A stored day has at least one row.
const storedDays = `select d.day - $1::date, coalesce(d.person_id, '00000000-0000-0000-0000-000000000000'),
	d.created, d.accepted, d.resolved, d.reopened, d.to_accept, d.to_resolve
from ticket_report_days d
where d.day >= $1::date and d.day < $2::date`

// readStored adds the stored days. A year of them has some ten thousand rows, so that
// the durations are copied into few blocks of memory.
func (s *Service) readStored(ctx context.Context, first, end time.Time, all *grouped) error {
	if !first.Before(end) {
		return nil
	}
	var names []string
	for day := first; day.Before(end); day = day.AddDate(0, 0, 1) {
		names = append(names, day.Format(time.DateOnly))
	}
	rows, err := s.pool.Query(ctx, storedDays, first, end)
	if err != nil {
		return err
	}
	var (
		r                   row
		day                 int
		toAccept, toResolve pgtype.DriverBytes
		kept                blocks
	)
	_, err = pgx.ForEachRow(rows, []any{&day, &r.PersonID, &r.Created, &r.Accepted, &r.Resolved, &r.Reopened, &toAccept, &toResolve}, func() error {
		r.Day, r.ToAccept, r.ToResolve = names[day], kept.copy(toAccept), kept.copy(toResolve)
		all.add(r)
		return nil
	})
	return err
}

// readEvents adds what is computed from the events of a period, which may be empty.
func (s *Service) readEvents(ctx context.Context, since, until time.Time, all *grouped) error {
	if !since.Before(until) {
		return nil
	}
	rows, err := crmdb.New(s.pool).ReportFigures(ctx, crmdb.ReportFiguresParams{Since: since, Until: until})
	if err != nil {
		return fmt.Errorf("compute figures: %w", err)
	}
	for _, r := range rows {
		all.add(r)
	}
	return nil
}

// blocks is memory for many small copies.
type blocks struct{ free []byte }

const blockSize = 64 << 10

func (b *blocks) copy(data []byte) []byte {
	if len(data) > len(b.free) {
		b.free = make([]byte, max(blockSize, len(data)))
	}
	n := copy(b.free, data)
	copied := b.free[:n:n]
	b.free = b.free[n:]
	return copied
}
