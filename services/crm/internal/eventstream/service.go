// Package eventstream sends the changes of tickets to clients as server-sent
// events.
package eventstream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

const (
	// feedInterval is how often the database is asked while somebody listens
	// and nothing was committed here: for the commits of other replicas.
	feedInterval = 250 * time.Millisecond
	// feedGap is the least time between two readings under many commits: what
	// comes within it goes out together, in one write to each stream.
	feedGap     = 100 * time.Millisecond
	feedTimeout = 5 * time.Second
	feedPage    = 200 // events read at a time

	// catchUps is how many streams read what they missed from the database at
	// the same time; the others wait, and the requests keep their connections.
	catchUps = 4
)

// FeedConfig is what a feed needs; nothing is optional.
type FeedConfig struct {
	Pool *pgxpool.Pool
	Now  func() time.Time
	// StillIn tells whether somebody who opened a stream may still do so.
	StillIn  func(context.Context, identity.Principal) error
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Feed tells each change of any ticket to the streams of this replica. One loop
// reads what is new from the database, once for all streams; a stream that is
// behind reads by itself what it missed.
type Feed struct {
	FeedConfig
	streams atomic.Int64
	window  atomic.Pointer[window]
	wake    chan struct{}
	turns   chan struct{} // to catch up
	pace    pace
	stale   bool // owned by Run: nobody listened, the window is old
}

// NewFeed makes a feed and registers its metrics.
func NewFeed(c FeedConfig) *Feed {
	f := &Feed{
		FeedConfig: c, wake: make(chan struct{}, 1), turns: make(chan struct{}, catchUps),
		pace: defaultPace, stale: true,
	}
	f.window.Store(newWindow(FeedPosition{}))
	c.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "feed_streams_open",
		Help: "Event streams that are open on this replica.",
	}, func() float64 { return float64(f.streams.Load()) }))
	return f
}

// Wake makes the feed look for news now. It never blocks; call it after a
// commit.
func (f *Feed) Wake() {
	if f.streams.Load() == 0 {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run reads what is new until ctx ends, and sleeps while nobody listens. A
// failure is logged once and tried again until it is over.
func (f *Feed) Run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		if f.streams.Load() == 0 {
			f.stale = true
			select {
			case <-ctx.Done():
			case <-f.wake:
			}
			continue
		}
		err := f.runOnce(ctx)
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			failing = failed
			if failed {
				f.Log.ErrorContext(ctx, "feed can't read events", "error", err)
			} else {
				f.Log.InfoContext(ctx, "feed reads events again")
			}
		}
		pause(ctx, feedGap, nil)
		pause(ctx, feedInterval-feedGap, f.wake)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// runOnce moves the window up to the horizon. After a sleep it begins there
// anew: whoever listens has a position and reads by themself what lies before.
func (f *Feed) runOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	horizon, err := f.horizon(ctx)
	if err != nil {
		return err
	}
	if f.stale {
		f.publish(newWindow(horizon))
		f.stale = false
	}
	for {
		w := f.window.Load()
		if w.to.Compare(horizon) >= 0 {
			return nil
		}
		more, to, err := f.read(ctx, nil, w.to, horizon)
		if err != nil {
			return err
		}
		f.publish(w.extended(more, to))
	}
}

func (f *Feed) publish(w *window) {
	if old := f.window.Swap(w); old.next != w.next {
		close(old.next)
	}
}

// horizon is the position below which the feed is complete.
func (f *Feed) horizon(ctx context.Context) (FeedPosition, error) {
	transaction, err := crmdb.New(f.Pool).FeedHorizon(ctx)
	if err != nil {
		return FeedPosition{}, fmt.Errorf("read the feed's horizon: %w", err)
	}
	return FeedPosition{Transaction: transaction.Uint64}, nil
}

// read gives a page of news between two positions, of one reporter's tickets
// or of all, and the position up to which it is complete.
func (f *Feed) read(ctx context.Context, reporter *uuid.UUID, from, horizon FeedPosition) ([]*news, FeedPosition, error) {
	q := crmdb.New(f.Pool)
	arg := crmdb.FeedPageParams{AfterTransaction: xid(from), AfterID: from.ID, Horizon: xid(horizon), Most: feedPage}
	var rows []crmdb.FeedPageRow
	var err error
	if reporter == nil {
		rows, err = q.FeedPage(ctx, arg)
	} else {
		var own []crmdb.FeedPageOfReporterRow
		own, err = q.FeedPageOfReporter(ctx, crmdb.FeedPageOfReporterParams{
			ReporterID: *reporter, AfterTransaction: arg.AfterTransaction, AfterID: arg.AfterID, Horizon: arg.Horizon, Most: arg.Most,
		})
		for _, r := range own {
			rows = append(rows, crmdb.FeedPageRow(r))
		}
	}
	if err != nil {
		return nil, FeedPosition{}, fmt.Errorf("read the feed: %w", err)
	}
	page := make([]*news, len(rows))
	for i, r := range rows {
		if page[i], err = newsOf(r); err != nil {
			return nil, FeedPosition{}, err
		}
	}
	if len(page) < feedPage {
		return page, horizon, nil
	}
	return page, page[len(page)-1].at, nil
}

func xid(p FeedPosition) pgtype.Uint64 { return pgtype.Uint64{Uint64: p.Transaction, Valid: true} }

// catchUp gives a page of what a viewer missed, and the position up to which
// it is complete.
func (f *Feed) catchUp(ctx context.Context, v ticket.Viewer, from FeedPosition) ([]*news, FeedPosition, error) {
	select {
	case <-ctx.Done():
		return nil, from, ctx.Err()
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	}
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	horizon, err := f.horizon(ctx)
	if err != nil || from.Compare(horizon) >= 0 {
		return nil, from, err
	}
	var reporter *uuid.UUID
	if !v.Staff() {
		reporter = &v.ID
	}
	return f.read(ctx, reporter, from, horizon)
}

// feedView is an event as a stream tells it.
type feedView struct {
	ticket.EventView
	TicketNumber int64 `json:"ticket_number"`
}

func newsOf(r crmdb.FeedPageRow) (*news, error) {
	e := ticket.Event{ID: r.ID, TicketID: r.TicketID, Kind: r.Kind, Internal: r.Internal, Changes: r.Changes, CreatedAt: r.CreatedAt}
	if r.ActorID != nil {
		e.Actor = &ticket.Person{ID: *r.ActorID, Name: r.ActorName}
	}
	n := &news{at: FeedPosition{Transaction: r.TransactionID.Uint64, ID: r.ID}, reporter: r.ReporterID}
	var err error
	if n.staff, err = feedFrame(n.at, e, r.Number); err != nil || e.Internal {
		return n, err
	}
	if e, err = e.ForViewer(ticket.Viewer{Role: string(identity.RoleCustomer)}); err != nil {
		return n, err
	}
	n.customer, err = feedFrame(n.at, e, r.Number)
	return n, err
}

// feedFrame is an event in the form of a stream (WHATWG HTML, section
// server-sent events). JSON has no line break, so its data is one line.
func feedFrame(at FeedPosition, e ticket.Event, number int64) ([]byte, error) {
	v, err := ticket.ViewEvent(e)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	data, err := json.Marshal(feedView{EventView: v, TicketNumber: number})
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", at, e.Kind, data), nil
}
