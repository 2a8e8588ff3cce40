package attachment_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmtest"
)

func TestMailOfACommentNamesItsFiles(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	second, first := d.upload(engineer, "canary-b.txt", []byte("b")), d.upload(engineer, "canary-a.txt", []byte("aaa"))
	d.Messages()
	c := crmtest.Parse[struct{ ID uuid.UUID }](d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{
		"body": "Here they are", "attachment_ids": []uuid.UUID{first.ID, second.ID},
	}).Want(201))
	const want = "Files, which are on the ticket's page:\ncanary-a.txt (3 B)\ncanary-b.txt (1 B)\n"
	if mails := d.Messages(); len(mails) != 1 || !strings.Contains(mails[0].Text, want) {
		t.Errorf("mails %v", mails)
	}
	named := func() int {
		return crmtest.Get[int](d.Env, `select count(*) from outbox o where o::text like '%canary-a%'`)
	}
	if named() != 1 {
		t.Errorf("control: %d notices name the file", named())
	}
	d.Call(admin, "DELETE", ticket.Path("/comments/"+c.ID.String()), nil).Want(204)
	if named() != 0 {
		t.Errorf("%d notices name a removed file", named())
	}
}
