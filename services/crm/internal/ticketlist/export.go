package ticketlist

import (
	"context"
	"time"

	"fixdesk/services/crm/internal/ticket"
)

const (
	exportPage = 500
	// exportOverlap is how much older than the export a concurrent change may be
	// dated, because of the clocks of replicas and the duration of a transaction.
	exportOverlap = time.Minute
)

// Export calls fn for every ticket of the filtered list once, in order, reading
// them in pages so that neither memory nor a transaction grows with the list.
// check runs before each page and ends the export with its error.
//
// A ticket that changes during the export can move in an order by update or
// priority. It is exported once, at the first place where it is read, and after
// all others if it moved to the part that was already read.
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
		rows, err := s.read(ctx, newStatement(v, f), by, exportPage, after)
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
		last := rows[len(rows)-1].Mark()
		after = &last
	}
}

// numberSet is a set of ticket numbers, with one bit for each.
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
