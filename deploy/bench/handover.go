package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	handOverTickets = 5000
	handOverRate    = 200 // creates a second
	handOverBar     = 2
	leavingEngineer = 1 + customers
	longestHandOver = 10 * time.Minute
)

// measureHandOver raises tickets at a fixed rate, while an engineer's tickets are
// handed over to the others, and before and after that: in two turns with one engineer
// after the other, whose creations are taken together, since a p99 is decided by few.
func measureHandOver(ctx context.Context, s *stack, o options) ([]line, error) {
	if err := s.makeTickets(ctx, "handover", smallTickets); err != nil {
		return nil, err
	}
	crm, err := s.startCRM(ctx, "handover", closedURL)
	if err != nil {
		return nil, err
	}
	client, err := s.client(crm.Address, smallTickets)
	if err != nil {
		return nil, err
	}
	if _, err := client.createAtRate(ctx, time.Second); err != nil { // warm up
		return nil, err
	}
	turns := min(o.turns, 2)
	quiet := make([][]float64, 1+turns) // before the first hand-over, and after each
	if quiet[0], err = client.createAtRate(ctx, 2*o.round); err != nil {
		return nil, err
	}
	var ratios, with, without []float64
	var slowest time.Duration
	for n := range turns {
		during, took, err := s.duringHandOver(ctx, client, leavingEngineer+n)
		if err != nil {
			return nil, err
		}
		if quiet[n+1], err = client.createAtRate(ctx, 2*o.round); err != nil {
			return nil, err
		}
		around := slices.Concat(quiet[n], quiet[n+1])
		ratios = append(ratios, quantile(during, 0.99)/quantile(around, 0.99))
		with, slowest = append(with, during...), max(slowest, took)
		progress("  handed over in %.1f s; %s, otherwise %s", took.Seconds(), describe(during), describe(around))
	}
	without = slices.Concat(quiet...)
	ratio := quantile(with, 0.99) / quantile(without, 0.99)
	l := line{
		work: fmt.Sprintf("%d creates/s while %d tickets are handed over (yardstick: before and after)", handOverRate, handOverTickets),
		ours: describe(with), yardstick: describe(without), ratio: ratio, bar: fmt.Sprintf("p99 ≤ %d ×", handOverBar), met: ratio <= handOverBar,
		lowest: slices.Min(ratios), highest: slices.Max(ratios),
		note: fmt.Sprintf("handed over in %.1f s at most", slowest.Seconds()),
	}
	return []line{l}, nil
}

func describe(seconds []float64) string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", quantile(seconds, 0.5)*1000, quantile(seconds, 0.99)*1000)
}

// ownedBy makes the first tickets active ones of an engineer.
const ownedBy = `set session_replication_role = replica;
update tickets set assignee_id = '%s', status = 'in_progress', resolution = null, resolved_at = null, closed_at = null where number <= %d`

// duringHandOver gives an engineer tickets, and raises others from the request to hand
// over until the engineer has none.
func (s *stack) duringHandOver(ctx context.Context, client crmClient, engineer int) (took []float64, whole time.Duration, err error) {
	if err := s.execute(ctx, "handover", fmt.Sprintf(ownedBy, id(userIDs, engineer), handOverTickets), "set session_replication_role = origin",
		settleTickets, "vacuum analyze"); err != nil {
		return nil, 0, err
	}
	if _, err := client.do(ctx, "PATCH", "/v1/me", engineer, `{"available":false,"hand_over":true}`); err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	err = s.inDatabase(ctx, "handover", func(conn *pgx.Conn) error {
		for left := 1; left > 0; {
			some, err := client.createAtRate(ctx, time.Second)
			if err != nil {
				return err
			}
			took = append(took, some...)
			const rest = "select count(*) from tickets where assignee_id = $1 and ticket_is_active(status)"
			if err := conn.QueryRow(ctx, rest, id(userIDs, engineer)).Scan(&left); err != nil {
				return err
			}
			if time.Since(begin) > longestHandOver {
				return fmt.Errorf("%d tickets still wait after %s", left, longestHandOver)
			}
		}
		return nil
	})
	return took, time.Since(begin), err
}

// createAtRate raises tickets at a fixed rate, whatever the answers take, and returns
// the seconds from the moment when each was due to its answer.
func (client crmClient) createAtRate(ctx context.Context, d time.Duration) ([]float64, error) {
	var (
		mu     sync.Mutex
		all    []float64
		failed error
		wg     sync.WaitGroup
	)
	period := time.Second * connections / handOverRate
	begin := time.Now()
	for n := range connections {
		wg.Go(func() {
			took, err := client.paced(ctx, begin.Add(period*time.Duration(n)/connections), period, begin.Add(d))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return all, failed
}

func (client crmClient) paced(ctx context.Context, next time.Time, period time.Duration, end time.Time) (took []float64, err error) {
	one, err := load{addr: client.addr, request: client.create}.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer one.close()
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for ; next.Before(end); next = next.Add(period) {
		time.Sleep(time.Until(next))
		if err := one.exchange(random); err != nil {
			return took, err
		}
		took = append(took, time.Since(next).Seconds())
	}
	return took, nil
}
