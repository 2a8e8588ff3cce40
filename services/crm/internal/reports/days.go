package reports

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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
	// daysMargin is how long after its end a day or an hour is stored. It is far more than
	// the clocks of replicas differ and a transaction takes, and events are never
	// changed, so that what is stored is complete.
	daysMargin = time.Hour
)

// DaysLoop stores the figures of the days that are over, the last one first, and then
// those of the hours after them, on one replica at a time.
func (s *Service) DaysLoop(log *slog.Logger, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "report days", Interval: daysInterval, Jitter: daysInterval / 60, MinInterval: daysGap, Timeout: daysTimeout,
		RunOnce: s.store, Exclusive: pg.Exclusive(s.pool), Log: log, Metrics: metrics,
	})
}

// store stores one day, or an hour when all days are stored, and reports whether it
// found one to store.
func (s *Service) store(ctx context.Context) (again bool, err error) {
	if again, err = s.storeDay(ctx); again || err != nil {
		return again, err
	}
	return s.storeHour(ctx)
}

// storeHour stores one hour of the days that are not stored, and deletes hours of those
// that are.
func (s *Service) storeHour(ctx context.Context) (again bool, err error) {
	q := crmdb.New(s.pool)
	over := s.now().Add(-daysMargin)
	first, end := startOfDay(over), over.UTC().Truncate(time.Hour)
	stored, err := q.ReportHoursStored(ctx, first)
	if err != nil {
		return false, fmt.Errorf("find an hour to store: %w", err)
	}
	for hour := first; hour.Before(end); hour = hour.Add(time.Hour) {
		if slices.ContainsFunc(stored, hour.Equal) {
			continue
		}
		rows, err := q.ReportFigures(ctx, crmdb.ReportFiguresParams{Since: hour, Until: hour.Add(time.Hour)})
		if err != nil {
			return false, fmt.Errorf("compute an hour: %w", err)
		}
		c := columns("", rows)
		if err := q.ReportHourStore(ctx, crmdb.ReportHourStoreParams{
			Hour: hour, PersonIds: c.PersonIds, Created: c.Created, Accepted: c.Accepted, Resolved: c.Resolved, Reopened: c.Reopened,
			ToAccept: c.ToAccept, ToResolve: c.ToResolve,
		}); err != nil {
			return false, fmt.Errorf("store an hour: %w", err)
		}
		return true, nil
	}
	if err := q.ReportHoursDelete(ctx, first); err != nil {
		return false, fmt.Errorf("delete hours of stored days: %w", err)
	}
	return false, nil
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

// unit is a period whose figures are stored when it is over.
type unit struct {
	length time.Duration
	// stored are the rows of the units from one time, inclusive, to another,
	// exclusive, each with the beginning of its unit. A stored unit has at least one
	// row.
	stored string
}

// units are from the longest to the shortest.
var units = []unit{
	{24 * time.Hour, `select d.day::timestamp at time zone 'UTC', coalesce(d.person_id, '00000000-0000-0000-0000-000000000000'),
	d.created, d.accepted, d.resolved, d.reopened, d.to_accept, d.to_resolve
from ticket_report_days d
where d.day >= $1::date and d.day < $2::date`},
	{time.Hour, `select h.hour, coalesce(h.person_id, '00000000-0000-0000-0000-000000000000'),
	h.created, h.accepted, h.resolved, h.reopened, h.to_accept, h.to_resolve
from ticket_report_hours h
where h.hour >= $1::timestamptz and h.hour < $2::timestamptz`},
}

// read adds the figures of a period: of the stored units that lie in it, and of the
// rest by shorter units, at last from events. What is stored meanwhile is computed
// all the same.
func (s *Service) read(ctx context.Context, units []unit, from, to time.Time, all *grouped) error {
	if !from.Before(to) {
		return nil
	}
	if len(units) == 0 {
		return s.readEvents(ctx, from, to, all)
	}
	u := units[0]
	first, end := from.UTC().Add(u.length-time.Microsecond).Truncate(u.length), to.UTC().Truncate(u.length)
	stored, err := s.readStored(ctx, u, first, end, all)
	if err != nil {
		return fmt.Errorf("read stored figures: %w", err)
	}
	since := from // what is neither stored nor computed yet begins here
	for at := first; at.Before(end); at = at.Add(u.length) {
		if !stored[at.Unix()] {
			continue
		}
		if err := s.read(ctx, units[1:], since, at, all); err != nil {
			return err
		}
		since = at.Add(u.length)
	}
	return s.read(ctx, units[1:], since, to, all)
}

// readStored adds the stored units and returns when they begin, in Unix time. A year
// of days has some ten thousand rows, so that the durations are copied into few blocks
// of memory.
func (s *Service) readStored(ctx context.Context, u unit, first, end time.Time, all *grouped) (stored map[int64]bool, err error) {
	if !first.Before(end) {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, u.stored, first, end)
	if err != nil {
		return nil, err
	}
	var (
		r                   row
		at, before          time.Time
		toAccept, toResolve pgtype.DriverBytes
		kept                blocks
	)
	stored = map[int64]bool{}
	_, err = pgx.ForEachRow(rows, []any{&at, &r.PersonID, &r.Created, &r.Accepted, &r.Resolved, &r.Reopened, &toAccept, &toResolve}, func() error {
		if !at.Equal(before) { // the rows of a unit lie together
			stored[at.Unix()], before, r.Day = true, at, at.UTC().Format(time.DateOnly)
		}
		r.ToAccept, r.ToResolve = kept.copy(toAccept), kept.copy(toResolve)
		all.add(&r)
		return nil
	})
	return stored, err
}

// readEvents adds what is computed from the events of a period.
func (s *Service) readEvents(ctx context.Context, since, until time.Time, all *grouped) error {
	rows, err := crmdb.New(s.pool).ReportFigures(ctx, crmdb.ReportFiguresParams{Since: since, Until: until})
	if err != nil {
		return fmt.Errorf("compute figures: %w", err)
	}
	for i := range rows {
		all.add(&rows[i])
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
