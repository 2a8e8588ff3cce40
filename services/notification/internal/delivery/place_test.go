package delivery

import (
	"testing"
	"time"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

func TestSmallNotificationWaitsForOneBlockOfALargeOne(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	c.now = c.now.Add(time.Second)
	seed(t, l.DB, c.now, c.now.Add(-time.Second), 3*Block)
	small := seed(t, l.DB, c.now, c.now, 2)
	for i, task := range mustClaim(t, l, 3*Block, 3*Block) {
		if of := i >= Block && i < Block+2; (task.notificationID == small) != of {
			t.Errorf("recipient %d is of the small notification: %v", i, !of)
		}
	}
}

// Every way into the queue gives a recipient the same place.
func TestEveryWayIntoTheQueueLeadsToThePlaceOfTheRecipient(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	const n = 3*Block + 1
	id := seed(t, l.DB, c.now, c.now, n)
	check := func(way string) {
		t.Helper()
		rows, err := l.DB.Query(t.Context(), "select ordinal, queue_at from recipients where queue_at is not null order by ordinal")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		found := 0
		for ; rows.Next(); found++ {
			var ordinal int
			var place time.Time
			if err := rows.Scan(&ordinal, &place); err != nil {
				t.Fatal(err)
			}
			if want := Place(c.now, ordinal, notifyapi.PriorityNormal); !place.Equal(want) {
				t.Errorf("after %s recipient %d has the place %v, want %v", way, ordinal, place, want)
			}
		}
		if rows.Err() != nil || found != n {
			t.Errorf("after %s %d are queued, %v", way, found, rows.Err())
		}
	}
	check("the beginning")
	if err := l.store.release(t.Context(), c.now, result(mustClaim(t, l, n, n), email.NotTried, 0, c.now)); err != nil {
		t.Fatal(err)
	}
	check("a release")
	mustClaim(t, l, n, n)
	execute(t, l, "update recipients set leased_until = clock_timestamp() - interval '1 ms'")
	if err := l.queueExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("the end of the leases")
	execute(t, l, "update recipients set queue_at = null, status = 'delayed'")
	if err := l.queueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("a delay")
	execute(t, l, "update recipients set queue_at = null, status = 'failed', finished_at = $1", c.now)
	if _, err := notificationdb.New(l.DB).NotificationRetry(t.Context(), notificationdb.NotificationRetryParams{
		NotificationID: id, Now: c.now, Block: Block, Quantum: Interval(Quantum), PriorityStep: Interval(PriorityStep),
	}); err != nil {
		t.Fatal(err)
	}
	check("a manual retry")
}
