package identity

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

func (env *testEnv) ensureCustomer(email, name string) (id uuid.UUID, err error) {
	env.t.Helper()
	err = env.service.inTx(context.Background(), func(q *crmdb.Queries) (err error) {
		id, err = EnsureCustomer(context.Background(), q, env.service.now(), uuid.Nil, email, name)
		return err
	})
	return id, err
}

func TestEnsureCustomerMakesOneCustomerPerAddress(t *testing.T) {
	env := newTestEnv(t)
	type result struct {
		id  uuid.UUID
		err error
	}
	results := concurrently(10, func(int) result {
		id, err := env.ensureCustomer("Ann@Example.com", "Ann Lee")
		return result{id, err}
	})
	for _, r := range results {
		if r.err != nil || r.id != results[0].id {
			t.Fatalf("%v, %v; the first is %v", r.id, r.err, results[0].id)
		}
	}
	a := env.admin.call("GET", "/v1/users/"+results[0].id.String(), nil).want(t, 200)
	if a.str("name") != "Ann Lee" || a.str("email") != "ann@example.com" || a.str("role") != "customer" || a.str("status") != "approved" {
		t.Error(a.text)
	}
	if v, there := a.body["email_verified_at"]; !there || v != nil {
		t.Errorf("email_verified_at is %v in %s", v, a.text)
	}
	if n := env.count("select count(*) from audit_events where kind = 'registered' and object_id = $1", results[0].id); n != 1 {
		t.Errorf("%d audit events", n)
	}
	// The control: an existing account is returned as it is.
	known := env.approved(RoleEngineer)
	if id, err := env.ensureCustomer(known.email, "Other Name"); err != nil || id.String() != known.id {
		t.Errorf("%v, %v, want %s", id, err, known.id)
	}
	if _, err := env.ensureCustomer("no address", ""); !errors.Is(err, address.ErrInvalid) {
		t.Error(err)
	}
	for name, want := range map[string]string{"": "bob", "Bob\nBcc: x": "bob"} {
		id, err := env.ensureCustomer("bob@"+uuid.NewString()+".example", name)
		if err != nil {
			t.Fatal(err)
		}
		if got := env.admin.call("GET", "/v1/users/"+id.String(), nil).want(t, 200).str("name"); got != want {
			t.Errorf("name %q became %q", name, got)
		}
	}
}

func TestAccountWithoutPasswordGetsOneByReset(t *testing.T) {
	env := newTestEnv(t)
	id, err := env.ensureCustomer("ann@example.com", "Ann")
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{goodPassword, "\x00", "x"} {
		if a := env.tryLogin("ann@example.com", password); a.status == 200 || a.status >= 500 {
			t.Fatalf("%d: %s", a.status, a.text)
		}
	}
	env.tryLogin("ann@example.com", goodPassword).want(t, 401, "invalid_credentials")
	env.forgot("ann@example.com").want(t, 202)
	env.reset(env.mailedToken(id.String()), goodPassword).want(t, 204)
	env.login("ann@example.com", goodPassword)
}

func TestNoticeIsMarkedWhenItsRecipientIsUnverifiedOrErased(t *testing.T) {
	env := newTestEnv(t)
	add := func(id string) (to notice.Person, written bool) {
		t.Helper()
		reference := newID()
		n := notice.TicketReceived{Ticket: notice.Ticket{ID: reference, Number: 7, Title: "Buy at evil"}, To: notice.Person{ID: uuid.MustParse(id), Name: "Ann", Email: "ann@example.com"}}
		if err := outbox.Add(t.Context(), env.service.q, env.service.now(), reference, n); err != nil {
			t.Fatal(err)
		}
		var data []byte
		if err := env.pool.QueryRow(t.Context(), "select max(data::text) from outbox where reference = $1", reference).Scan(&data); err != nil {
			t.Fatal(err)
		}
		if data == nil {
			return to, false
		}
		var stored notice.TicketReceived
		if err := json.Unmarshal(data, &stored); err != nil {
			t.Fatal(err)
		}
		return stored.To, true
	}
	c := env.approved(RoleCustomer)
	if to, written := add(c.id); !written || !to.Unverified || to.Name != "Ann" {
		t.Errorf("unverified recipient: %v, %+v", written, to)
	}
	env.exec("update users set email_verified_at = now() where id = $1", c.id)
	if to, written := add(c.id); !written || to.Unverified { // the control
		t.Errorf("verified recipient: %v, %+v", written, to)
	}
	env.exec("update users set erased_at = now() where id = $1", c.id)
	if _, written := add(c.id); written {
		t.Error("a notice to an erased person was written")
	}
}
