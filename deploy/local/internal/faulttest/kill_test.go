package faulttest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// customerLoad raises tickets and comments on them as fast as the CRM answers,
// and keeps what was acknowledged.
func customerLoad(c cast, tickets, comments *ledger) (stop func()) {
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

func TestKilledCRMLosesNothingAcknowledgedAndWritesNothingInHalf(t *testing.T) {
	s := newStack(t, shared.server)
	crm := s.startCRM(t, nil)
	s.startNotification(t, nil)
	c := newCast(t, crm, 3)
	var tickets, comments ledger
	for range trials(5) {
		before := tickets.len()
		stop := customerLoad(c, &tickets, &comments)
		eventually(t, 30*time.Second, "tickets are acknowledged", func() bool { return tickets.len() > before+20 })
		<-time.After(rand.N(150 * time.Millisecond))
		crm.kill()
		stop()
		s.leasesRunOut(t)
		crm = s.startCRM(t, nil)
		s.wholeAfterFault(t, &tickets)
	}
	if lost := missing(t, s.crm, "ticket_comments", comments.all()); len(lost) > 0 {
		t.Errorf("%d acknowledged comments are lost", len(lost))
	}
	s.drained(t)
	s.toldOnce(t)
	s.mailedOnce(t)
	s.recountSeesHalfWrites(t)
	t.Logf("%d kills, %d tickets and %d comments acknowledged", trials(5), tickets.len(), comments.len())
}

// killBetween has the CRM killed n times at the moment when the notification
// service has accepted a post and the CRM doesn't know it yet.
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
		crm.Load().kill()
		return false
	}
	through := variables{"CRM_NOTIFICATION_URL": p.url}
	crm.Store(s.startCRM(t, through))
	s.startNotification(t, nil)
	c := newCast(t, crm.Load(), 2)
	for i := range n {
		armed.Store(true)
		for j := range 3 {
			_, _ = c.customer.do(t.Context(), http.MethodPost, "/v1/tickets", newTicket(10*i+j)) // the kill may take the answer
		}
		eventually(t, 20*time.Second, "the CRM is killed", func() bool { return !armed.Load() })
		<-crm.Load().Done()
		s.leasesRunOut(t)
		crm.Store(s.startCRM(t, through))
	}
	s.drained(t)
	return s, p
}

func TestCRMKilledBetweenAcceptanceAndItsNoteOfItTellsOnce(t *testing.T) {
	s, p := killBetween(t, trials(6), nil)
	s.toldOnce(t)
	s.mailedOnce(t)
	if p.repeated() == 0 {
		t.Error("control: nothing was posted twice, so nothing was shown")
	}
	if p.mismatched.Load() > 0 {
		t.Errorf("%d entries were posted again in other words", p.mismatched.Load())
	}
	t.Logf("%d kills, %d posts repeated", trials(6), p.repeated())
}

func TestWithoutItsIdempotencyKeyAKilledPostWouldBeToldTwice(t *testing.T) {
	s, _ := killBetween(t, trials(2), func(r *http.Request) { r.Header.Set("Idempotency-Key", randomKey()) })
	entries, notifications := count(t, s.crm, `select count(*) from outbox`), count(t, s.notify, `select count(*) from notifications`)
	recipients := count(t, s.notify, `select count(*) from recipients`)
	if notifications <= entries || recipients <= entries {
		t.Errorf("control: %d entries became %d notifications for %d recipients", entries, notifications, recipients)
	}
}

func TestAnswersThatNeverArriveMakeNoSecondNotification(t *testing.T) {
	s := newStack(t, shared.server)
	p := startProxy(t, "http://"+s.notifyAddr)
	var answers atomic.Int32
	p.accepted = func() bool { return answers.Add(1)%3 != 0 } // every third is lost
	crm := s.startCRM(t, variables{"CRM_NOTIFICATION_URL": p.url})
	s.startNotification(t, nil)
	c := newCast(t, crm, 2)
	for i := range trials(8) {
		c.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(i), http.StatusCreated)
	}
	s.drained(t)
	s.toldOnce(t)
	s.mailedOnce(t)
	if p.repeated() == 0 {
		t.Error("control: nothing was posted twice, so nothing was shown")
	}
}

func TestNotificationServiceAwayHoldsNobodyUpAndLosesNothing(t *testing.T) {
	s := newStack(t, shared.server)
	crm := s.startCRM(t, nil)
	notification := s.startNotification(t, nil)
	c := newCast(t, crm, 3)
	tickets := &ledger{}
	half := func(n int) time.Duration {
		var took []time.Duration
		for i := range n {
			begin := time.Now()
			tickets.add(c.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(i), http.StatusCreated).id())
			took = append(took, time.Since(begin))
		}
		return median(took)
	}
	half(20) // warm up
	before := half(trials(100))
	notification.kill()
	away := half(trials(100))
	if waiting := count(t, s.crm, `select count(*) from outbox where done_at is null`); waiting < trials(100) {
		t.Errorf("control: only %d entries wait for the service that is away", waiting)
	}
	s.startNotification(t, nil)
	again := half(trials(100))
	s.drained(t)
	s.wholeAfterFault(t, tickets)
	s.toldOnce(t)
	t.Logf("median of a ticket: %v before, %v while away, %v afterwards", before, away, again)
	if away > 3*max(before, again) {
		t.Errorf("the CRM is held up: %v a ticket, %v when the service is there", away, max(before, again))
	}
	recipients := count(t, s.notify, `select count(*) from recipients`)
	if mails, repeated := s.mail.counts(); mails != recipients || repeated > 10 { // at most what its ten connections had in hand at the kill
		t.Errorf("%d recipients got %d mails and %d repeated ones", recipients, mails, repeated)
	}
}
