package reports

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

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

// read gives the rows of a period: the stored days that lie in it, and the rest
// from events. A day that is stored meanwhile is computed all the same.
func read(ctx context.Context, q *crmdb.Queries, from, to time.Time) ([]row, error) {
	first, end := startOfDay(from.Add(24*time.Hour-time.Microsecond)), startOfDay(to)
	days, err := q.ReportDays(ctx, crmdb.ReportDaysParams{
		FirstDay: first.Format(time.DateOnly), LastDay: end.AddDate(0, 0, -1).Format(time.DateOnly),
	})
	if err != nil {
		return nil, fmt.Errorf("read stored days: %w", err)
	}
	rows := make([]row, len(days))
	stored := map[string]bool{}
	for i, d := range days {
		rows[i] = row(d)
		stored[d.Day] = true
	}
	live := func(since, until time.Time) error {
		if !since.Before(until) {
			return nil
		}
		computed, err := q.ReportFigures(ctx, crmdb.ReportFiguresParams{Since: since, Until: until})
		if err != nil {
			return fmt.Errorf("compute figures: %w", err)
		}
		rows = append(rows, computed...)
		return nil
	}
	since := from // what is neither stored nor computed yet begins here
	for day := first; day.Before(end); day = day.AddDate(0, 0, 1) {
		if !stored[day.Format(time.DateOnly)] {
			continue
		}
		if err := live(since, day); err != nil {
			return nil, err
		}
		since = day.AddDate(0, 0, 1)
	}
	return rows, live(since, to)
}
