package faulttest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/dev/trials"
)

// customerLoad raises tickets and comments on them as fast as the CRM answers,
// and records what was acknowledged.
func customerLoad(c people, tickets, comments *idList) (stop func()) {
	return load(8, func(ctx context.Context, worker, n int) {
		a, err := c.customer.do(ctx, http.MethodPost, "/v1/tickets", newTicket(n))
		if err != nil || a.status != http.StatusCreated {
			<-time.After(time.Millisecond)
			return
		}
		tickets.add(a.id())
		if n%4 == worker%4 {
			a, err = c.customer.do(ctx, http.MethodPost, "/v1/tickets/"+a.id()+"/comments", object{"body": "Still smoking."})
			if err == nil && a.status == http.StatusCreated {
				comments.add(a.id())
			}
		}
	})
}

func TestKilledCRMLosesNothingAcknowledgedAndWritesNothingPartially(t *testing.T) {
	t.Parallel()
	s := newStack(t, shared.server)
	crm := s.startCRM(t, nil)
	s.startNotification(t, nil)
	c := newPeople(t, crm, 1)
	var tickets, comments idList
	for range trials.Count(1, 2) {
		before := tickets.len()
		stop := customerLoad(c, &tickets, &comments)
		eventually(t, "tickets are acknowledged", func() bool { return tickets.len() > before+20 })
		<-time.After(rand.N(150 * time.Millisecond))
		crm.Kill()
		stop()
		s.expireOutboxLeases(t)
		crm = s.startCRM(t, nil)
		s.expectConsistent(t, &tickets)
	}
	if lost := missing(t, s.crm, "ticket_comments", comments.all()); len(lost) > 0 {
		t.Errorf("%d acknowledged comments are lost", len(lost))
	}
	s.drained(t)
	s.notifiedOnce(t)
	s.mailedOnce(t)
	s.recountFindsPartialWrites(t)
	t.Logf("%d kills, %d tickets and %d comments acknowledged", trials.Count(1, 2), tickets.len(), comments.len())
}

// killBetween kills the CRM n times after the notification service has accepted a
// post and before the CRM has its answer.
func killBetween(t *testing.T, n int, tamper func(*http.Request)) (s *stack, p *proxy) {
	t.Helper()
	s = newStack(t, shared.server)
	p = startProxy(t, "http://"+s.notifyAddr)
	p.tamper = tamper
	var crm atomic.Pointer[service]
	var armed atomic.Bool
	p.accepted = func() (deliver bool) {
		if !armed.CompareAndSwap(true, false) {
			return true
		}
		crm.Load().Kill()
		return false
	}
	through := variables{"CRM_NOTIFICATION_URL": p.url}
	crm.Store(s.startCRM(t, through))
	s.startNotification(t, nil)
	c := newPeople(t, crm.Load(), 2)
	for i := range n {
		armed.Store(true)
		for j := range 3 {
			_, _ = c.customer.do(t.Context(), http.MethodPost, "/v1/tickets", newTicket(10*i+j)) // the kill may prevent the answer
		}
		eventually(t, "the CRM is killed", func() bool { return !armed.Load() })
		<-crm.Load().Done()
		s.expireOutboxLeases(t)
		crm.Store(s.startCRM(t, through))
	}
	s.drained(t)
	return s, p
}

func TestCRMKilledBetweenAcceptanceAndItsMarkNotifiesOnce(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	s, p := killBetween(t, trials.Count(2, 3), nil)
	s.notifiedOnce(t)
	s.mailedOnce(t)
	if p.repeated() == 0 {
		t.Error("control: nothing was posted twice, so nothing was shown")
	}
	if p.mismatched.Load() > 0 {
		t.Errorf("%d entries were posted again with another body", p.mismatched.Load())
	}
	t.Logf("%d kills, %d posts repeated", trials.Count(2, 3), p.repeated())
}

func TestControlWithoutItsIdempotencyKeyAKilledPostIsStoredTwice(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	s, _ := killBetween(t, trials.Count(1, 1), func(r *http.Request) { r.Header.Set("Idempotency-Key", randomKey()) })
	entries, notifications := count(t, s.crm, `select count(*) from outbox`), count(t, s.notify, `select count(*) from notifications`)
	recipients := count(t, s.notify, `select count(*) from recipients`)
	if notifications <= entries || recipients <= entries {
		t.Errorf("control: %d entries became %d notifications for %d recipients", entries, notifications, recipients)
	}
}

func TestLostAnswersCauseNoSecondNotification(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	s := newStack(t, shared.server)
	p := startProxy(t, "http://"+s.notifyAddr)
	var answers atomic.Int32
	p.accepted = func() bool { return answers.Add(1)%3 != 0 } // every third is lost
	crm := s.startCRM(t, variables{"CRM_NOTIFICATION_URL": p.url})
	s.startNotification(t, nil)
	c := newPeople(t, crm, 2)
	for i := range trials.Count(4, 4) {
		c.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(i), http.StatusCreated)
	}
	s.drained(t)
	s.notifiedOnce(t)
	s.mailedOnce(t)
	if p.repeated() == 0 {
		t.Error("control: nothing was posted twice, so nothing was shown")
	}
}

func TestNotificationServiceDownDelaysNoTicketAndLosesNothing(t *testing.T) {
	trials.Long(t)
	s := newStack(t, shared.server)
	crm := s.startCRM(t, nil)
	notification := s.startNotification(t, nil)
	c := newPeople(t, crm, 1)
	tickets := &idList{}
	create := func(n int) time.Duration {
		var took []time.Duration
		for i := range n {
			begin := time.Now()
			tickets.add(c.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(i), http.StatusCreated).id())
			took = append(took, time.Since(begin))
		}
		return median(took)
	}
	create(5) // warm up
	before := create(trials.Count(15, 40))
	notification.terminate(t)
	away := create(trials.Count(15, 40))
	if waiting := count(t, s.crm, `select count(*) from outbox where done_at is null`); waiting < trials.Count(15, 40) {
		t.Errorf("control: only %d entries wait for the service that is away", waiting)
	}
	s.startNotification(t, nil)
	again := create(trials.Count(15, 40))
	s.drained(t)
	s.expectConsistent(t, tickets)
	s.notifiedOnce(t)
	s.mailedOnce(t) // after a stop by SIGTERM no mail is repeated
	t.Logf("median of a ticket: %v before, %v while away, %v afterwards", before, away, again)
	if isSlower(away, max(before, again)) {
		t.Errorf("the CRM is slower: %v a ticket, %v when the service is there", away, max(before, again))
	}
}

// isSlower allows for other work on the machine. A CRM that waited for the service
// would wait for seconds.
func isSlower(away, with time.Duration) bool { return away > 5*with+500*time.Millisecond }
