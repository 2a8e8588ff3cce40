package delivery

import (
	"context"
	"time"

	"fixdesk/services/notification/internal/email"
)

const (
	// settledPerWorker is how many results for each worker one settlement stores at most.
	settledPerWorker = 10
	// unsettledPerWorker is how many results for each worker wait for the settlement before
	// them at most; then the workers wait.
	unsettledPerWorker = 9
	// settleWithin is how long a settlement waits for more results at most, since one of
	// many costs little more than one of a few.
	settleWithin = 10 * time.Millisecond
)

// settle stores results in batches.
func (l *Loop) settle(ctx context.Context) {
	var batch []settlement
	for first := range l.settled {
		batch = l.collect(append(batch[:0], first))
		l.settleBatch(ctx, batch)
		clear(batch)
	}
}

// collect adds results to a batch until it is full, settleWithin has passed, or no other
// mail is in hand.
func (l *Loop) collect(batch []settlement) []settlement {
	within := time.NewTimer(settleWithin)
	defer within.Stop()
	for len(batch) < settledPerWorker*l.Workers {
		select {
		case s, open := <-l.settled:
			if !open {
				return batch
			}
			batch = append(batch, s)
			continue
		default:
		}
		if l.inHand.Load() <= 1 { // the latest result's may still be counted
			return batch
		}
		select {
		case s, open := <-l.settled:
			if !open {
				return batch
			}
			batch = append(batch, s)
		case <-within.C:
			return batch
		}
	}
	return batch
}

// settleBatch tries until the database has stored the batch, or ctx ends.
// The workers wait meanwhile, so that no mail is sent whose result can't be stored.
func (l *Loop) settleBatch(ctx context.Context, batch []settlement) {
	defer l.leases.drop(batch)
	tried := make([]settlement, 0, len(batch))
	var returned []settlement
	for _, s := range batch {
		if s.result.Outcome == email.NotTried {
			returned = append(returned, s)
		} else {
			tried = append(tried, s)
		}
	}
	for {
		lost, err := l.store.settle(ctx, l.Policy, tried)
		if err == nil {
			tried = nil
			l.metrics.lost.Add(float64(lost))
			if lost > 0 {
				l.Logger.WarnContext(ctx, "leases were lost before their mails were settled", "recipients", lost)
			}
			err = l.store.release(ctx, l.Now(), returned)
		}
		l.unsettled.Store(err != nil)
		l.settlements.Report(ctx, err)
		if err == nil {
			return
		}
		if !sleep(ctx, pauseAfterError) {
			return
		}
	}
}
