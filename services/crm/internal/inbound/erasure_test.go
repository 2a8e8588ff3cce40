package inbound

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

// erasePerson does what the erasure of a person does with their mails.
func (d *testEnv) erasePerson(id uuid.UUID, email string) {
	d.Helper()
	d.Do(func(q *crmdb.Queries) error {
		return q.UserEraseMails(context.Background(), crmdb.UserEraseMailsParams{UserID: id, Email: email, Now: d.Now()})
	})
}

func (d *testEnv) erasures() int {
	return crmtest.Get[int](d.Env, "select count(*) from inbound_erasures")
}

func TestMailsOfAnErasedPersonAreDeletedAtTheNotificationService(t *testing.T) {
	d := newTestEnv(t)
	before := d.receive(d.mail("Ada@example.com", "Elsewhere", "To no address of the desk.", "other@fixdesk.test"))
	ticket := d.receive(d.mail("ada@example.com", "Printer", "It smokes.", support))
	other := d.receive(d.mail("bob@example.com", "Lamp", "It is dark.", support))
	ada := crmtest.Get[uuid.UUID](d.Env, "select id from users where email = 'ada@example.com'")
	if before.Outcome != Held || ticket.Outcome != Ticket || crmtest.Get[int](d.Env, "select count(*) from inbound_mails where sender_id = $1", ada) != 1 {
		t.Fatalf("%+v, %+v: want a mail without an account and one with it", before, ticket)
	}
	d.erasePerson(ada, "ada@example.com")
	if _, err := d.service.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := d.erasures(); n != 0 || len(d.box.mails) != 1 || d.box.mails[0].ID != other.ID { // the control: another person's mail stays
		t.Errorf("%d mails are left, %d erasures", len(d.box.mails), n)
	}
	if n := crmtest.Get[int](d.Env, "select count(*) from inbound_mails m where lower(m::text) like '%ada@%' or lower(m::text) like '%name of ada%' or lower(m::text) like '%smokes%'"); n != 0 {
		t.Errorf("%d mails have traces", n)
	}
	d.erasePerson(ada, "ada@example.com") // once more: both are gone already
	if _, err := d.service.Erase(t.Context()); err != nil || d.erasures() != 0 {
		t.Errorf("again: %v, %d erasures", err, d.erasures())
	}
}

func TestCopyOfAMailOfAnErasedPersonIsDeletedAsWell(t *testing.T) {
	d := newTestEnv(t)
	m := d.mail("ada@example.com", "Printer", "It smokes.", support)
	other := d.mail("bob@example.com", "Lamp", "It is dark.", support)
	d.receive(m)
	d.receive(other)
	ada := crmtest.Get[uuid.UUID](d.Env, "select id from users where email = 'ada@example.com'")
	d.erasePerson(ada, "ada@example.com")
	d.Exec("update users set email = 'erased@erased.invalid', erased_at = now() where id = $1", ada)
	if _, err := d.service.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.ID, other.ID = uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	for _, copied := range []notifyapi.InboundMail{m, other} {
		if r := d.receive(copied); r.Outcome != Duplicate {
			t.Errorf("a copy is %q", r.Outcome)
		}
	}
	if n := d.erasures(); n != 1 { // the control: the copy of another person's mail stays
		t.Errorf("%d copies are to be deleted", n)
	}
	if _, err := d.service.Erase(t.Context()); err != nil || len(d.box.mails) != 2 || d.erasures() != 0 {
		t.Errorf("%v, %d mails are left", err, len(d.box.mails))
	}
	if n := crmtest.Get[int](d.Env, "select count(*) from users where email = 'ada@example.com'"); n != 0 {
		t.Error("the copy made a new account")
	}
}

func TestErasureIsRepeatedUntilTheNotificationServiceHasDeleted(t *testing.T) {
	d := newTestEnv(t)
	d.receive(d.mail("ada@example.com", "Printer", "It smokes.", support))
	d.erasePerson(crmtest.Get[uuid.UUID](d.Env, "select id from users where email = 'ada@example.com'"), "ada@example.com")
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusNotFound} { // the latter is a wrong address, without a code
		d.box.noDelete = status
		if _, err := d.service.Erase(t.Context()); err == nil || d.erasures() != 1 {
			t.Errorf("%d: %v, %d erasures", status, err, d.erasures())
		}
	}
	for _, status := range []int{http.StatusConflict, http.StatusInternalServerError, http.StatusMethodNotAllowed} { // not acknowledged; it fails; an older version
		d.box.noDelete = status
		if _, err := d.service.Erase(t.Context()); err != nil || d.erasures() != 1 {
			t.Errorf("%d: %v, %d erasures", status, err, d.erasures())
		}
		d.Advance(erasureRetry)
	}
	d.box.noDelete = 0
	if _, err := d.service.Erase(t.Context()); err != nil || d.erasures() != 0 || len(d.box.mails) != 0 {
		t.Errorf("%v, %d erasures, %d mails", err, d.erasures(), len(d.box.mails))
	}
}
