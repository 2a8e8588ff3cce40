package ticketlist

import (
	"context"
	"time"

	"fixdesk/services/crm/internal/ticket"
)

const (
	exportPage = 500
	// exportOverlap is by how much the clocks of replicas and the time that a
	// transaction takes may let a change seem older than the export.
	exportOverlap = time.Minute
)

// Export calls fn for every ticket of the filtered list once, in order, reading
// them in pages so that neither memory nor a transaction grows with the list.
// check runs before each page and ends the export with its error.
//
// A ticket that changes meanwhile can move in an order by update or priority: it
// comes once, where it is met first, and after all others if it moved past them.
func (s *Service) Export(ctx context.Context, v ticket.Viewer, f Filter, by Sort, check func(context.Context) error, fn func(ticket.Ticket) error) error {
	seen := numberSet{}
	once := func(t ticket.Ticket) error {
		if !seen.add(t.Number) {
			return nil
		}
		return fn(t)
	}
	began := s.now().Add(-exportOverlap)
	if err := s.each(ctx, v, f, by, check, once); err != nil || by.Key == ByCreated {
		return err
	}
	if f.UpdatedAfter == nil || f.UpdatedAfter.Before(began) {
		f.UpdatedAfter = &began
	}
	return s.each(ctx, v, f, Sort{Key: ByUpdated}, check, once)
}

func (s *Service) each(ctx context.Context, v ticket.Viewer, f Filter, by Sort, check func(context.Context) error, fn func(ticket.Ticket) error) error {
	var after *Mark
	for {
		if err := check(ctx); err != nil {
			return err
		}
		rows, err := s.List(ctx, v, f, by, exportPage, after)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := fn(r.Ticket); err != nil {
				return err
			}
		}
		if len(rows) < exportPage {
			return nil
		}
		after = &rows[len(rows)-1].Mark
	}
}

// numberSet is a set of ticket numbers, a bit for each.
type numberSet map[int64]uint64

// add reports whether the number is new.
func (s numberSet) add(number int64) bool {
	word, bit := number/64, uint64(1)<<(number%64)
	if s[word]&bit != 0 {
		return false
	}
	s[word] |= bit
	return true
}
