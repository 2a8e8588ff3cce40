package inbound

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmtest"
)

// outcome is what a person expects to become of a mail: the text is that of the ticket
// or comment, empty where there is none.
type outcome struct {
	Outcome  Outcome  `json:"outcome"`
	Reason   Reason   `json:"reason,omitempty"`
	Internal bool     `json:"internal,omitempty"`
	Title    string   `json:"title,omitempty"`
	Text     string   `json:"text,omitempty"`
	Files    []string `json:"files,omitempty"`
}

// corpusMails is where the notification service's tests have mails, with what the API
// shows of each.
const corpusMails = "../../../notification/internal/inbound/testdata/mails"

func readOutcomes(t *testing.T) map[string]outcome {
	t.Helper()
	data, err := os.ReadFile("testdata/outcomes.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]outcome
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// corpus is an environment with the people whom the mails are from, and the ticket
// that they are about.
type corpus struct {
	*testEnv
	admin  crmtest.User
	ticket crmtest.Ticket
}

func newCorpus(t *testing.T) corpus {
	c := corpus{testEnv: newTestEnv(t)}
	c.admin = c.User("admin")
	ada, ivy := c.User("customer"), c.User("customer")
	c.address(ada, "ada@example.com")
	c.address(ivy, "ivy@example.org")
	c.address(c.Engineer(), "erik@fixdesk.example")
	c.Exec(`update users set status = 'suspended' where id = $1`, ivy.ID)
	c.ticket = c.Raise(ada, "Printer on floor 3 smokes", "It smokes.")
	c.Call(c.admin, "POST", c.ticket.Path("/followers"), crmtest.Object{"email": "gail@example.org"}).Want(201)
	return c
}

func (c corpus) address(who crmtest.User, email string) {
	c.Exec(`update users set email = $2 where id = $1`, who.ID, email)
}

// read reads a mail as the API shows it, with the addresses of this run's ticket in
// place of those in the mail.
func (c corpus) read(name string) notifyapi.InboundMail {
	c.Helper()
	data, err := os.ReadFile(filepath.Join(corpusMails, name+".json"))
	if err != nil {
		c.Fatal(err)
	}
	for _, to := range audiences {
		mailed := testAddresses.ReplyTo(testTicket, 42, to)
		data = bytes.ReplaceAll(data, []byte(mailed), []byte(c.reply(c.ticket, to)))
		data = bytes.ReplaceAll(data, []byte(strings.ToUpper(mailed)), []byte(strings.ToUpper(c.reply(c.ticket, to))))
	}
	data = bytes.ReplaceAll(data, []byte("support+42."), []byte("support+"+strconv.FormatInt(c.ticket.Number, 10)+"."))
	data = bytes.ReplaceAll(data, []byte(testTicket.String()), []byte(c.ticket.ID.String()))
	var m notifyapi.InboundMail
	if err := json.Unmarshal(data, &m); err != nil {
		c.Fatal(err)
	}
	m.ID = uuid.Must(uuid.NewV7())
	for i := range m.Attachments {
		c.box.files[m.ID] = append(c.box.files[m.ID], "file "+strconv.Itoa(i))
	}
	return m
}

// of is what became of a mail, as staff see it.
func (c corpus) of(r Record) outcome {
	c.Helper()
	o := outcome{Outcome: r.Outcome, Reason: r.Reason}
	switch {
	case r.CommentID != nil:
		last := c.last(c.admin, c.ticket)
		if last.ID != *r.CommentID || *r.TicketID != c.ticket.ID {
			c.Errorf("it became the comment %s of %s, the last one of the ticket is %s", r.CommentID, r.TicketID, last.ID)
		}
		o.Text, o.Internal = last.Body, last.Internal
		for _, f := range last.Attachments {
			o.Files = append(o.Files, f.Filename)
		}
	case r.TicketID != nil:
		ticket := c.ticketOf(c.admin, r)
		o.Title, o.Text = ticket.Title, ticket.Description
		for _, f := range crmtest.Parse[struct{ Attachments []struct{ Filename string } }](c.Call(c.admin, "GET", ticket.Path(""), nil).Want(200)).Attachments {
			o.Files = append(o.Files, f.Filename)
		}
	}
	return o
}

// TestMailsOfManyProgramsBecomeWhatAPersonExpects gives each mail of the corpus its
// effect, and compares it with testdata/outcomes.json, which is written by hand.
func TestMailsOfManyProgramsBecomeWhatAPersonExpects(t *testing.T) {
	want := readOutcomes(t)
	mails, err := filepath.Glob(filepath.Join(corpusMails, "*.eml"))
	if err != nil || len(mails) < 150 || len(mails) != len(want) {
		t.Fatalf("%d mails, %d outcomes, %v", len(mails), len(want), err)
	}
	c := newCorpus(t)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, w := c.of(c.receive(c.read(name))), want[name]
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s:\n%s\nwant\n%s", name, pretty(got), pretty(w))
		}
		c.Advance(time.Hour) // beyond the limits of an hour
	}
}

func pretty(o outcome) string {
	data, _ := json.MarshalIndent(o, "", "  ")
	return string(data)
}

// TestControlAnotherMailHasAnotherOutcome shows that what the corpus compares depends
// on the mail: without a line of its header, or a word of its text, it differs.
func TestControlAnotherMailHasAnotherOutcome(t *testing.T) {
	want := readOutcomes(t)
	c := newCorpus(t)
	for name, change := range map[string]func(*notifyapi.InboundMail){
		"gmail-english":                  func(m *notifyapi.InboundMail) { m.Text = strings.Replace(m.Text, "tray 2", "tray 3", 1) },
		"outlook-desktop-english":        func(m *notifyapi.InboundMail) { m.Text = strings.ReplaceAll(m.Text, "ixdesk", "ther") },
		"out-of-office-english-exchange": func(m *notifyapi.InboundMail) { m.Automatic = nil },
		"new-forged":                     func(m *notifyapi.InboundMail) { m.Authentication = nil },
		"reply-of-a-stranger":            func(m *notifyapi.InboundMail) { m.From.Email = "ada@example.com" },
		"reply-by-the-thread-alone":      func(m *notifyapi.InboundMail) { m.InReplyTo, m.References = nil, nil },
		"file-picture-inline-in-html":    func(m *notifyapi.InboundMail) { m.Attachments = nil },
		"new-number-of-another-ticket":   func(m *notifyapi.InboundMail) { m.Subject = "Another" },
		"reply-of-staff-to-an-internal-comment": func(m *notifyapi.InboundMail) {
			m.To[0].Email, m.Envelope.To = c.reply(c.ticket, ToStaff), []string{c.reply(c.ticket, ToStaff)}
		},
	} {
		m := c.read(name)
		change(&m)
		if got := c.of(c.receive(m)); reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s, changed, becomes the same: %s", name, pretty(got))
		}
		c.Advance(time.Hour)
	}
}
