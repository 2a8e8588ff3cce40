package delivery

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestResultsAreCollected checks how long a settlement waits for more results, in the
// time of a bubble, which stands still while anything runs.
func TestResultsAreCollected(t *testing.T) {
	const workers = 2
	full := settledPerWorker * workers
	tests := map[string]struct {
		inHand  int64         // mails that are claimed and have no result, the first one's included
		results int           // that come
		every   time.Duration // between two
		closes  bool          // the channel, behind the results
		want    int           // results in the batch
		within  time.Duration // of the first
	}{
		"the only mail does not wait":            {inHand: 1, want: 1},
		"results that are there are taken":       {inHand: 1, results: 3, want: 4},
		"a result that comes soon is taken":      {inHand: 9, results: 1, every: settleWithin / 2, want: 2, within: settleWithin},
		"the first waits no longer for more":     {inHand: 99, results: 9, every: settleWithin * 2 / 5, want: 3, within: settleWithin},
		"none comes while a server is slow":      {inHand: 2, results: 1, every: time.Minute, want: 1, within: settleWithin},
		"a full batch does not wait":             {inHand: 99, results: full, want: full},
		"the results before the end are stored":  {inHand: 9, results: 1, closes: true, want: 2},
		"the end during the wait ends the batch": {inHand: 9, results: 1, every: settleWithin / 2, closes: true, want: 2, within: settleWithin / 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &Loop{Config: Config{Workers: workers}, settled: make(chan settlement, full)}
				l.inHand.Store(test.inHand)
				var coming sync.WaitGroup
				defer coming.Wait()
				coming.Go(func() {
					for range test.results {
						time.Sleep(test.every)
						l.settled <- settlement{}
					}
					if test.closes {
						close(l.settled)
					}
				})
				synctest.Wait()
				began := time.Now()
				got := len(l.collect([]settlement{{}}))
				if took := time.Since(began); got != test.want || took != test.within {
					t.Errorf("%d results after %s, want %d after %s", got, took, test.want, test.within)
				}
			})
		})
	}
}
