package faulttest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/trials"
)

// once repeats one request under its Idempotency-Key until it is acknowledged.
func (c person) once(ctx context.Context, key string, n int) (id string, unanswered bool) {
	for ctx.Err() == nil {
		a, err := c.do(context.WithoutCancel(ctx), http.MethodPost, "/v1/tickets", newTicket(n), "Idempotency-Key", key)
		if err == nil && a.status == http.StatusCreated {
			return a.id(), unanswered
		}
		unanswered = true
		<-time.After(5 * time.Millisecond)
	}
	return "", unanswered
}

func TestServicesStoppedUnderLoadLoseAndDoubleNothing(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	s := newStack(t, shared.server)
	crm, notification := s.startCRM(t, nil), s.startNotification(t, nil)
	c := newPeople(t, crm, 1)
	var tickets idList
	stop := load(8, func(ctx context.Context, worker, n int) {
		if id, _ := c.customer.once(ctx, fmt.Sprintf("%d-%d", worker, n), n); id != "" {
			tickets.add(id)
		}
	})
	for range trials.Count(1, 2) {
		before := tickets.len()
		eventually(t, "tickets are raised", func() bool { return tickets.len() > before+20 })
		crm.terminate(t)
		crm = s.startCRM(t, nil)
		before = tickets.len()
		eventually(t, "tickets are raised", func() bool { return tickets.len() > before+20 })
		notification.terminate(t)
		notification = s.startNotification(t, nil)
	}
	stop()
	s.expectConsistent(t, &tickets)
	s.drained(t)
	s.notifiedOnce(t)
	s.mailedOnce(t)
	t.Logf("%d stops of each service, %d tickets", trials.Count(1, 2), tickets.len())
}

// The requests wait for a row lock, so that they are in flight during the stop.
func TestRequestsInFlightAreAnsweredBeforeTheServiceStops(t *testing.T) {
	t.Parallel()
	const inFlight = 10 // fewer than the CRM's connections to its database
	s := newStack(t, shared.server)
	crm := s.startCRM(t, nil)
	c := newPeople(t, crm, 1)
	id := c.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(0), http.StatusCreated).id()
	for range trials.Count(1, 1) {
		tx, err := s.crm.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `select from tickets where id = $1 for update`, id); err != nil {
			t.Fatal(err)
		}
		var answered, failed atomic.Int32
		var group sync.WaitGroup
		for n := range inFlight {
			group.Go(func() {
				a, err := c.customer.do(context.Background(), http.MethodPatch, "/v1/tickets/"+id, object{"title": fmt.Sprint("Title ", n)})
				if err == nil && a.status == http.StatusOK {
					answered.Add(1)
				} else {
					failed.Add(1)
					t.Logf("%d %s %v", a.status, a.body, err)
				}
			})
		}
		s.waitForWaiters(t, inFlight)
		if err := crm.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, "new connections are refused", func() bool { return !connects(c.admin) })
		if answered.Load()+failed.Load() > 0 {
			t.Error("control: requests were not in flight at the signal")
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		crm.ended(t)
		if failed.Load() > 0 {
			t.Errorf("%d of %d requests in flight failed", failed.Load(), inFlight)
		}
		crm = s.startCRM(t, nil)
	}
}

// waitForWaiters waits until n of the CRM's statements wait for a lock.
func (s *stack) waitForWaiters(t *testing.T, n int) {
	t.Helper()
	eventually(t, "requests wait for the lock", func() bool {
		return count(t, s.crm, `select count(*) from pg_stat_activity where datname = current_database()
			and application_name = 'fixdesk-crm' and wait_event_type = 'Lock'`) >= n
	})
}

// connects reports whether a new connection is accepted.
func connects(c *client) bool {
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	var connected bool
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/healthz", nil)
	if err != nil {
		return false
	}
	if response, err := fresh.Do(request); err == nil {
		response.Body.Close()
	}
	return connected
}
