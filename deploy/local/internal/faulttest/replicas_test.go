package faulttest

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/dev/trials"
)

// pair is two replicas of each service on one database server.
type pair struct {
	*stack
	a, b *service // of the CRM
	people
}

func newPair(t *testing.T, engineers int) pair {
	t.Helper()
	s := newStack(t, shared.server)
	p := pair{stack: s, a: s.startCRM(t, nil)}
	p.b = s.startCRM(t, variables{"CRM_ADDR": freeAddress(t)})
	s.startNotification(t, nil)
	s.startNotification(t, variables{"NOTIFICATION_ADDR": freeAddress(t)})
	p.people = newPeople(t, p.a, engineers)
	return p
}

// replica returns the URL of the first or the second, in turn.
func (p pair) replica(n int) string {
	if n%2 == 0 {
		return p.a.url
	}
	return p.b.url
}

func TestTwoReplicasOfEachServiceActAsOne(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	p := newPair(t, 4)
	t.Run("everything is mailed once", p.testEverythingIsMailedOnce)
	t.Run("of fifty who accept one wins", p.testFiftyConcurrentAcceptsHaveOneWinner)
	t.Run("a decision takes effect on the next request", p.testDecisionTakesEffectOnTheNextRequest)
	t.Run("sessions are the same", p.testSessionsAreTheSame)
}

func (p pair) testEverythingIsMailedOnce(t *testing.T) {
	var tickets idList
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			c := p.customer.at(p.replica(worker))
			for n := range trials.Count(6, 12) {
				a, err := c.retryWhileBusy(http.MethodPost, "/v1/tickets", newTicket(n))
				if err != nil || a.status != http.StatusCreated {
					t.Errorf("%d %s %v", a.status, a.body, err)
					return
				}
				tickets.add(a.id())
			}
		})
	}
	group.Wait()
	p.expectConsistent(t, &tickets)
	p.drained(t)
	p.notifiedOnce(t)
	p.mailedOnce(t)
	mails, _ := p.mail.counts(t)
	t.Logf("%d tickets, %d mails, none twice", tickets.len(), mails)
}

func (p pair) testFiftyConcurrentAcceptsHaveOneWinner(t *testing.T) {
	for round := range trials.Count(1, 1) {
		id := p.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(round), http.StatusCreated).id()
		p.admin.must(t, http.MethodPost, "/v1/tickets/"+id+"/assign", object{"engineer_id": nil}, http.StatusOK)
		var won, lost, other atomic.Int32
		var group sync.WaitGroup
		for n := range 50 {
			c := p.engineers[n%len(p.engineers)].at(p.replica(n / len(p.engineers)))
			group.Go(func() {
				switch a, err := c.retryWhileBusy(http.MethodPost, "/v1/tickets/"+id+"/accept", nil); {
				case err == nil && a.status == http.StatusOK:
					won.Add(1)
				case err == nil && a.status == http.StatusConflict && a.object()["code"] == "already_accepted":
					lost.Add(1)
				default:
					other.Add(1)
					t.Logf("%d %s %v", a.status, a.body, err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 49 {
			t.Errorf("%d won, %d lost, %d had another answer", won.Load(), lost.Load(), other.Load())
		}
	}
}

// adminRequests counts the answers to requests that only an admin may make.
// decided is set while the account is no admin: an answer 200 to a request
// that began and ended with the same value is too late.
type adminRequests struct {
	decided                atomic.Pointer[string]
	late, refused, allowed atomic.Int32
}

func (h *adminRequests) ask(c *client) {
	before := h.decided.Load()
	a, err := c.do(context.Background(), http.MethodGet, "/v1/users?limit=1", nil)
	switch {
	case err != nil:
	case a.status != http.StatusOK:
		h.refused.Add(1)
	case before != nil && h.decided.Load() == before:
		h.late.Add(1)
	default:
		h.allowed.Add(1)
	}
}

func (p pair) testDecisionTakesEffectOnTheNextRequest(t *testing.T) {
	target := p.admin.staff(t, "admin", "Ada")
	path := "/v1/users/" + target.id
	var h adminRequests
	stop := load(2, func(_ context.Context, worker, _ int) { h.ask(target.at(p.replica(worker))) })
	for range trials.Count(8, 60) {
		before := h.allowed.Load()
		eventually(t, "the admin is accepted", func() bool { h.ask(target.at(p.b.url)); return h.allowed.Load() > before })
		p.admin.must(t, http.MethodPatch, path, object{"role": "customer"}, http.StatusOK)
		h.decided.Store(new("demoted"))
		for _, url := range []string{p.b.url, p.a.url} { // the very next request
			h.ask(target.at(url))
		}
		h.decided.Store(nil)
		p.admin.must(t, http.MethodPatch, path, object{"role": "admin"}, http.StatusOK)
	}
	stop()
	if h.late.Load() > 0 {
		t.Errorf("%d requests were accepted after the admin's 200", h.late.Load())
	}
	if h.refused.Load() < int32(trials.Count(8, 60)) || h.allowed.Load() < int32(trials.Count(8, 60)) {
		t.Errorf("control: %d refused and %d allowed", h.refused.Load(), h.allowed.Load())
	}
	t.Logf("%d demotions, %d requests refused, %d accepted before", trials.Count(8, 60), h.refused.Load(), h.allowed.Load())
}

func (p pair) testSessionsAreTheSame(t *testing.T) {
	for round := range trials.Count(2, 2) {
		there := p.customer.at(p.b.url).login(t, p.customer.email)
		here := there.at(p.a.url)
		here.must(t, http.MethodGet, "/v1/me", nil, http.StatusOK)
		if round%2 == 0 {
			here.must(t, http.MethodPost, "/v1/auth/logout", nil, http.StatusNoContent)
		} else {
			p.admin.must(t, http.MethodPatch, "/v1/users/"+p.customer.id, object{"status": "suspended"}, http.StatusOK)
		}
		there.must(t, http.MethodGet, "/v1/me", nil, http.StatusUnauthorized)
		if round%2 == 1 {
			p.admin.must(t, http.MethodPatch, "/v1/users/"+p.customer.id, object{"status": "approved"}, http.StatusOK)
			there.must(t, http.MethodGet, "/v1/me", nil, http.StatusUnauthorized)
		}
	}
}
