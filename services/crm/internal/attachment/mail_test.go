package attachment_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/attachment"
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

func TestMailsOfANewTicketNameItsFiles(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin, other := d.User("customer"), d.Engineer(), d.User("admin"), d.Engineer()
	own := d.upload(customer, "smoke.txt", []byte("aaa"))
	ticket := d.raise(customer, own)
	const want = "Files, which are on the ticket's page:\nsmoke.txt (3 B)\n"
	named := func(what string, recipients ...string) {
		t.Helper()
		got := map[string]bool{}
		for _, m := range d.Messages() {
			if strings.Contains(m.Text, want) {
				got[m.To[0]] = true
			}
		}
		for _, email := range recipients {
			if !got[email] {
				t.Errorf("%s: the mail to %s doesn't name the file", what, email)
			}
		}
		if len(got) != len(recipients) {
			t.Errorf("%s: %v", what, got)
		}
	}
	named("a new ticket", customer.Email, engineer.Email)
	d.Call(admin, "POST", ticket.Path("/assign"), crmtest.Object{"engineer_id": other.ID}).Want(200)
	named("another engineer", other.Email)
	d.raise(customer)
	named("control: a ticket without files")
}

func TestFilesForAMailAreThoseOfTicketsAndPublicCommentsInTheGivenOrder(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	photo := random(700_000) // several chunks
	a, b, page := d.upload(engineer, "Störung.png", png(string(photo))), d.upload(engineer, "a.txt", []byte("aaa")), d.upload(engineer, "page.html", []byte("<!DOCTYPE html><html></html>"))
	own, unattached := d.upload(customer, "own.txt", []byte("own")), d.upload(engineer, "free.txt", []byte("free"))
	secret := d.upload(engineer, "secret.txt", []byte("secret"))
	ticket := d.raise(customer, own)
	c := d.comment(engineer, ticket, false, a, b, page)
	d.comment(engineer, ticket, true, secret)
	mailed := func(files ...file) []notifyapi.Attachment {
		t.Helper()
		got, err := d.files.ForMail(t.Context(), ids(files...))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := mailed(a, own); len(got) != 2 || string(got[1].Content) != "own" {
		t.Errorf("with the ticket's file: %d files", len(got))
	}
	want := []notifyapi.Attachment{
		{Filename: "page.html", MediaType: "application/octet-stream", Content: []byte("<!DOCTYPE html><html></html>")},
		{Filename: "a.txt", MediaType: "text/plain", Content: []byte("aaa")},
		{Filename: "Störung.png", MediaType: "image/png", Content: png(string(photo))},
	}
	if got := mailed(page, b, a); !reflect.DeepEqual(got, want) {
		t.Errorf("%d files, or other ones", len(got))
	}
	for name, other := range map[string]file{"of an internal comment": secret, "of nothing": unattached, "unknown": {ID: uuid.New()}} {
		if got := mailed(a, other); len(got) > 0 {
			t.Errorf("%s: %d files", name, len(got))
		}
	}
	d.Call(admin, "DELETE", ticket.Path("/comments/"+c.ID.String()), nil).Want(204)
	if got := mailed(page, b, a); len(got) > 0 {
		t.Errorf("%d files of a removed comment", len(got))
	}
}

func TestOnlyCleanFilesAreMailed(t *testing.T) {
	t.Parallel()
	clamd := newScriptedClamd(t)
	d := newTestEnv(t, func(c *attachment.Config) { c.Clamd = clamd.address })
	customer, engineer := d.User("customer"), d.Engineer()
	good, bad := d.upload(engineer, "good.txt", []byte("good")), d.upload(engineer, "bad.txt", []byte("a virus"))
	ticket := d.raise(customer)
	d.comment(engineer, ticket, false, good)
	d.comment(engineer, ticket, false, bad)
	want := func(what string, f file, count int) {
		t.Helper()
		got, err := d.files.ForMail(t.Context(), ids(f))
		if err != nil || len(got) != count {
			t.Errorf("%s: %d files, %v", what, len(got), err)
		}
	}
	want("pending", good, 0)
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
	want("clean", good, 1)
	want("infected", bad, 0)
}
