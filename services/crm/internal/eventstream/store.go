package eventstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

const (
	pageSize  = 200 // events read at a time
	batchSize = 500 // events that get positions in one transaction
)

// store reads and writes the stream in the database.
type store struct{ pool *pgxpool.Pool }

// latest is the position of the last event that has one.
func (s store) latest(ctx context.Context) (Position, error) {
	position, err := crmdb.New(s.pool).EventStreamLatest(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the latest position: %w", err)
	}
	return Position(position), nil
}

// resolve returns the position of a client's last event id; false when it is not
// an id of this stream.
func (s store) resolve(ctx context.Context, id EventID) (Position, bool, error) {
	q := crmdb.New(s.pool)
	var position int64
	var err error
	switch {
	case !id.Event.Valid:
		if position, err = q.EventStreamLatest(ctx); err == nil && id.Number > Position(position) {
			return 0, false, nil
		}
		position = int64(id.Number)
	case id.Event.UUID == uuid.Nil:
		position, err = q.EventStreamPositionBefore(ctx, pgtype.Uint64{Uint64: uint64(id.Number), Valid: true})
	default:
		position, err = q.EventStreamPositionOf(ctx, id.Event.UUID)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("find the position of an event id: %w", err)
	}
	return Position(position), true, nil
}

// page reads the first events after a position.
func (s store) page(ctx context.Context, after Position) ([]*event, error) {
	rows, err := crmdb.New(s.pool).EventStreamPage(ctx, crmdb.EventStreamPageParams{After: int64(after), Most: pageSize})
	if err != nil {
		return nil, fmt.Errorf("read the event stream: %w", err)
	}
	return encode(rows)
}

// pageFor reads the first events after a position that a viewer may see, and
// the position up to which they are complete.
func (s store) pageFor(ctx context.Context, v ticket.Viewer, after Position) ([]*event, Position, error) {
	latest, err := s.latest(ctx)
	if err != nil || after >= latest {
		return nil, after, err
	}
	var events []*event
	if v.Staff() {
		events, err = s.page(ctx, after)
	} else {
		events, err = s.pageOfCustomer(ctx, v, after, latest)
	}
	if err != nil {
		return nil, after, err
	}
	if len(events) == pageSize {
		latest = events[pageSize-1].position
	} else if n := len(events); n > 0 {
		latest = max(latest, events[n-1].position)
	}
	return events, latest, nil
}

func (s store) pageOfCustomer(ctx context.Context, v ticket.Viewer, after, until Position) ([]*event, error) {
	own, err := crmdb.New(s.pool).EventStreamPageOfCustomer(ctx, crmdb.EventStreamPageOfCustomerParams{
		CustomerID: v.ID, Followed: !v.Unverified, After: int64(after), Until: int64(until), Most: pageSize,
	})
	if err != nil {
		return nil, fmt.Errorf("read a customer's event stream: %w", err)
	}
	rows := make([]crmdb.EventStreamPageRow, len(own))
	for i, r := range own {
		rows[i] = crmdb.EventStreamPageRow(r)
	}
	return encode(rows)
}

// sequence assigns positions to the next events that have none, under a lock, and
// reports whether more are waiting.
func (s store) sequence(ctx context.Context) (again bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := crmdb.New(tx)
		if err := q.EventSequencerLock(ctx); err != nil {
			return fmt.Errorf("lock the event stream: %w", err)
		}
		n, err := q.EventSequence(ctx, batchSize)
		if err != nil {
			return fmt.Errorf("assign positions to events: %w", err)
		}
		again = n == batchSize
		return nil
	})
	return again, err
}

// oldestWaiting is the time of the oldest event without a position; zero when
// there is none.
func (s store) oldestWaiting(ctx context.Context) (time.Time, error) {
	at, err := crmdb.New(s.pool).EventOldestWithoutPosition(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look for events without a position: %w", err)
	}
	return at, nil
}

func encode(rows []crmdb.EventStreamPageRow) ([]*event, error) {
	events := make([]*event, len(rows))
	for i, r := range rows {
		e, err := encodeRow(r)
		if err != nil {
			return nil, err
		}
		events[i] = e
	}
	return events, nil
}

func encodeRow(r crmdb.EventStreamPageRow) (*event, error) {
	e := ticket.Event{ID: r.ID, TicketID: r.TicketID, Number: r.Number, Kind: r.Kind, Internal: r.Internal, Changes: r.Changes, CreatedAt: r.CreatedAt}
	if r.ActorID != nil {
		e.Actor = &ticket.Person{ID: *r.ActorID, Name: r.ActorName}
	}
	encoded := &event{position: Position(r.Position), reporter: r.ReporterID, followers: r.Followers}
	var err error
	if encoded.staff, err = frame(encoded.position, e); err != nil || e.Internal {
		return encoded, err
	}
	if e, err = e.ForViewer(ticket.Viewer{Role: string(identity.RoleCustomer)}); err != nil {
		return nil, err
	}
	encoded.customer, err = frame(encoded.position, e)
	return encoded, err
}

// frame is an event in the format of WHATWG HTML, section server-sent events.
// JSON has no line break, so its data is one line.
func frame(at Position, e ticket.Event) ([]byte, error) {
	v, err := ticket.ViewEvent(e)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	id := EventID{Number: at, Event: uuid.NullUUID{UUID: e.ID, Valid: true}}
	return fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", id, e.Kind, data), nil
}
