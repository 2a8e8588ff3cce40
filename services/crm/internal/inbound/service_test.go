package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmtest"
)

const support = "support@fixdesk.test"

func (d *testEnv) ticketOf(who crmtest.User, r Record) crmtest.Ticket {
	d.Helper()
	if r.TicketID == nil {
		d.Fatalf("no ticket: %+v", r)
	}
	return crmtest.Parse[crmtest.Ticket](d.Call(who, "GET", "/v1/tickets/"+r.TicketID.String(), nil).Want(200))
}

func TestMailToSupportBecomesATicketOfItsSender(t *testing.T) {
	d := newTestEnv(t)
	admin := d.User("admin")
	d.Engineer()
	d.Messages()
	r := d.became("a mail", d.receive(d.mail("Ada@Example.com", "Re: AW: Printer", "It smokes.\r\n\r\n-- \r\nAda", "Support@Fixdesk.test", "boss@example.com")), Ticket, "")
	ticket := d.ticketOf(admin, r)
	if ticket.Title != "Printer" || ticket.Description != "It smokes.\n\n-- \nAda" || ticket.Reporter.Email != "ada@example.com" || ticket.Reporter.Name != "Name of Ada" || ticket.Assignee == nil {
		t.Errorf("ticket %+v", ticket)
	}
	d.WantNotices("a mail", "ticket_received > ada@example.com", "ticket_assigned > "+d.assignee(ticket))
	original := crmtest.Parse[struct {
		Text       string
		Recipients []struct{ Email string }
	}](d.Call(admin, "GET", ticket.Path("/original"), nil).Want(200))
	if !strings.Contains(original.Text, "-- ") || len(original.Recipients) != 1 || original.Recipients[0].Email != "boss@example.com" {
		t.Errorf("original %+v", original)
	}
	if body, mediaType := d.download(admin, ticket.Path("/original/raw")); body != "the raw mail" || mediaType != "message/rfc822" {
		t.Errorf("raw %q as %q", body, mediaType)
	}
	empty := d.ticketOf(admin, d.receive(d.mail("bob@example.com", "", "", support)))
	if empty.Title != noSubject || empty.Description != noText {
		t.Errorf("an empty mail is %+v", empty)
	}
}

// An answer that quotes a mail with a token would let whoever reads the ticket use it.
func TestTokenInAMailIsVoidBeforeAnybodyReadsIt(t *testing.T) {
	d := newTestEnv(t)
	user := d.User("customer")
	token := func(first byte) (text string, hash [32]byte) {
		raw := [32]byte{first}
		text, hash = base64.RawURLEncoding.EncodeToString(raw[:]), sha256.Sum256(raw[:])
		d.Exec(`insert into password_resets (token_hash, user_id, created_at, expires_at) values ($1, $2, now(), now() + interval '1 day')`, hash[:], user.ID)
		return text, hash
	}
	isVoid := func(hash [32]byte) bool {
		return crmtest.Get[bool](d.Env, `select used_at is not null from password_resets where token_hash = $1`, hash[:])
	}
	quoted, quotedHash := token(1)
	_, otherHash := token(2)
	m := d.mail("ada@example.com", "Re: Set a new password", "What is this?\r\n> https://fixdesk.test/reset#token="+quoted, support)
	d.became("the answer", d.receive(m), Ticket, "")
	if !isVoid(quotedHash) {
		t.Error("the token that the mail quotes can be used")
	}
	if isVoid(otherHash) { // the control
		t.Error("a token that is in no mail is void")
	}
}

// download reads a stream, which needs a real connection.
func (d *testEnv) download(who crmtest.User, path string) (body, mediaType string) {
	d.Helper()
	server := httptest.NewServer(d.Handler)
	defer server.Close()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		d.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+who.ID.String())
	answer, err := server.Client().Do(r)
	if err != nil {
		d.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		d.Fatal(err)
	}
	return string(data), answer.Header.Get("Content-Type")
}

func (d *testEnv) assignee(t crmtest.Ticket) string {
	return crmtest.Get[string](d.Env, `select email from users where id = $1`, t.Assignee.ID)
}

func TestReplyOfTheReporterIsACommentAndReopens(t *testing.T) {
	d := newTestEnv(t)
	admin, engineer := d.User("admin"), d.Engineer()
	ticket := d.ticketOf(admin, d.receive(d.mail("ada@example.com", "Printer", "It smokes.", support)))
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Patch(engineer, ticket, crmtest.Object{"status": "resolved", "resolution": "Fuse"}).Want(200)
	d.Messages()
	m := d.mail("ada@example.com", "Re: [Fixdesk #1] Printer", "Still smoking.\n\nOn 12/01/2026 10:30, Fixdesk wrote:\n> Resolved.", d.reply(ticket, ToReporter), "boss@example.com")
	m.Attachments = []notifyapi.InboundAttachment{
		{Filename: "smoke.png", MediaType: "image/png", Size: 3}, {MediaType: "image/png", Inline: true}, {Filename: "film.mp4", Size: 90 << 20},
	}
	d.box.files[m.ID] = []string{"png", "inline", strings.Repeat("x", 2000)}
	d.became("a reply", d.receive(m), Comment, "")
	if got := d.Read(admin, ticket); got.Status != "open" || got.Resolution != nil {
		t.Errorf("after the reply the ticket is %+v", got)
	}
	c := d.last(engineer, ticket)
	if c.Body != "Still smoking.\n\n(The file film.mp4 of 90 MiB is too large. It is only in the original of the mail.)" || c.Internal || !c.ByMail || c.Held != nil || len(c.CC) != 1 || c.CC[0].Email != "boss@example.com" {
		t.Errorf("comment %+v", c)
	}
	if len(c.Attachments) != 2 || c.Attachments[0].Filename != "smoke.png" || c.Attachments[1].Filename != "picture.png" {
		t.Errorf("files %+v", c.Attachments)
	}
	d.WantNotices("a reply", "ticket_commented > "+engineer.Email)
	if verified := crmtest.Get[bool](d.Env, `select email_verified_at is not null from users where email = 'ada@example.com'`); !verified {
		t.Error("the reporter's address is not verified, although they read a mail there")
	}
}

func TestRepliesOfStaffAreWhatTheirAddressWasMadeFor(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer, other := d.User("customer"), d.Engineer(), d.User("engineer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	for _, c := range []struct {
		to       Audience
		dmarc    string
		outcome  Outcome
		reason   Reason
		internal bool
	}{
		{ToStaff, "", Comment, "", false},
		{ToInternal, "", Comment, "", true},
		{ToReporter, "", Held, HeldAudience, true},
		{ToReporter, "pass", Comment, "", false},
		{ToStaff, "fail", Held, HeldAuthentication, true},
	} {
		m := d.mail(other.Email, "Re", "Hello "+string(c.to), d.reply(ticket, c.to))
		m.Authentication = &notifyapi.Authentication{DMARC: c.dmarc}
		d.became(string(c.to)+" "+c.dmarc, d.receive(m), c.outcome, c.reason)
		if got := d.last(engineer, ticket); got.Internal != c.internal || got.Author.ID != other.ID {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestReplyOfAStrangerIsHeldUntilSomebodyDecides(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer, colleague, admin := d.User("customer"), d.Engineer(), d.User("engineer"), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	held := func() commentBody {
		d.became("a stranger", d.receive(d.mail("eve@example.com", "Re", "Let me in", d.reply(ticket, ToReporter))), Held, HeldSender)
		c := d.last(engineer, ticket)
		if !c.Internal || c.Held == nil || c.Held.Status != "waiting" || c.Held.Reason != "sender" {
			t.Fatalf("held as %+v", c)
		}
		if seen := d.last(customer, ticket); seen.Body == "Let me in" && seen.ID == c.ID {
			t.Error("the customer sees a held comment")
		}
		return c
	}
	c := held()
	d.Messages()
	path := ticket.Path("/comments/" + c.ID.String())
	d.Call(customer, "POST", path+"/release", nil).Refused(403, "forbidden")
	d.Call(colleague, "POST", path+"/release", nil).Refused(403, "forbidden")
	d.Call(engineer, "POST", path+"/release", nil).Want(204)
	d.Call(engineer, "POST", path+"/refuse", nil).Refused(409, "already_decided")
	if seen := d.last(customer, ticket); seen.ID != c.ID || seen.Internal || seen.Held != nil || seen.CC != nil {
		t.Errorf("the customer sees %+v", seen)
	}
	if seen := d.last(engineer, ticket); seen.Held == nil || seen.Held.Status != "released" {
		t.Errorf("staff see %+v", seen)
	}
	d.WantNotices("a release", "ticket_commented > "+customer.Email, "ticket_commented > "+engineer.Email)
	c = held()
	d.Call(admin, "POST", ticket.Path("/comments/"+c.ID.String()+"/refuse"), nil).Want(204)
	if seen := d.last(engineer, ticket); seen.Held.Status != "refused" || !seen.Internal {
		t.Errorf("refused it is %+v", seen)
	}
	d.Call(engineer, "POST", ticket.Path("/followers"), crmtest.Object{"email": "eve@example.com"}).Want(201)
	d.became("a follower", d.receive(d.mail("eve@example.com", "Re", "Now I take part", d.reply(ticket, ToFollower))), Comment, "")
}

func TestMailWithoutAReplyAddressBelongsToTheTicketOfItsHeaders(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	references := func(from string) notifyapi.InboundMail {
		m := d.mail(from, "Re: [Fixdesk #"+fmt.Sprint(ticket.Number)+"] Printer", "Text", support)
		m.References = []string{"ticket-" + ticket.ID.String() + ".0123456789abcdef0123456789abcdef@fixdesk.test", "x@y.test"}
		return m
	}
	if r := d.became("the reporter", d.receive(references(customer.Email)), Comment, ""); *r.TicketID != ticket.ID {
		t.Errorf("%+v", r)
	}
	if r := d.became("staff", d.receive(references(engineer.Email)), Comment, ""); *r.TicketID != ticket.ID || !d.last(engineer, ticket).Internal {
		t.Errorf("%+v", r)
	}
	// Some programs name the mail that they answer alone.
	inReplyTo := func(from string) notifyapi.InboundMail {
		m := references(from)
		m.References, m.InReplyTo = nil, []string{"ticket-" + ticket.ID.String() + "." + uuid.NewString() + "@fixdesk.test"}
		return m
	}
	if r := d.became("In-Reply-To alone", d.receive(inReplyTo(customer.Email)), Comment, ""); *r.TicketID != ticket.ID {
		t.Errorf("%+v", r)
	}
	if r := d.became("a stranger's In-Reply-To", d.receive(inReplyTo("mallory@example.com")), Ticket, ""); *r.TicketID == ticket.ID {
		t.Errorf("%+v", r)
	}
	d.Messages()
	if r := d.became("a stranger", d.receive(references("eve@example.com")), Ticket, ""); *r.TicketID == ticket.ID {
		t.Errorf("%+v", r)
	}
	for _, n := range d.Notices() {
		if strings.HasPrefix(n, "ticket_received") {
			t.Errorf("an answer to a mail of ours gets an automatic answer: %s", n)
		}
	}
	byNumber := d.mail(customer.Email, fmt.Sprintf("[Fixdesk #%d] Printer", ticket.Number), "Only the number", support)
	if r := d.became("a number in the subject", d.receive(byNumber), Ticket, ""); *r.TicketID == ticket.ID {
		t.Error("a number in a subject leads to the ticket")
	}
	forged := d.mail(customer.Email, "Re", "Text", fmt.Sprintf("support+%d.aaaaaaaaaaaaaaaa@fixdesk.test", ticket.Number))
	if r := d.became("an invented token", d.receive(forged), Ticket, ""); *r.TicketID == ticket.ID {
		t.Error("an invented token leads to the ticket")
	}
}

func TestAutomaticMailRaisesNothing(t *testing.T) {
	d := newTestEnv(t)
	admin := d.User("admin")
	for _, sign := range notifyapi.Automatics {
		m := d.mail("robot@example.com", "Out of office", "Away", support)
		m.Automatic = &sign
		d.became(string(sign), d.receive(m), Ignored, IgnoredAutomatic)
	}
	d.became("own mail", d.receive(d.mail(support, "x", "y", support)), Ignored, IgnoredOwn)
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets`) + crmtest.Get[int](d.Env, `select count(*) from users where email like 'robot%'`); n != 0 {
		t.Errorf("%d tickets and accounts", n)
	}
	d.WantNotices("automatic mail")
	list := crmtest.Parse[crmtest.Page[struct{ ID, Outcome string }]](d.Call(admin, "GET", "/v1/inbound?outcome=ignored", nil).Want(200)).Items
	d.Call(admin, "POST", "/v1/inbound/"+list[1].ID+"/release", nil).Want(200)
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets`); n != 1 {
		t.Errorf("let in, there are %d tickets", n)
	}
	d.WantNotices("automatic mail that was let in")
	d.Call(admin, "POST", "/v1/inbound/"+list[1].ID+"/release", nil).Refused(409, "already_decided")
}

func TestSenderWhoWantsNoAutomaticAnswerGetsATicketWithoutReceipt(t *testing.T) {
	d := newTestEnv(t)
	quiet, ordinary := d.mail("quiet@example.com", "Printer", "It smokes.", support), d.mail("ordinary@example.com", "Lamp", "It is dark.", support)
	quiet.NoAutoReply = true
	d.became("no automatic answer wanted", d.receive(quiet), Ticket, "")
	d.became("the control", d.receive(ordinary), Ticket, "")
	d.WantNotices("receipts", "ticket_received > ordinary@example.com")
}

func TestSenderIsAnsweredAtMostFiveTimesAnHour(t *testing.T) {
	d := newTestEnv(t)
	receipts := 0
	for i := range 8 {
		d.became("a mail", d.receive(d.mail("desk@example.com", fmt.Sprint("Ticket ", i), "Text", support)), Ticket, "")
	}
	for _, n := range d.Notices() {
		if n == "ticket_received > desk@example.com" {
			receipts++
		}
	}
	if receipts != answersPerHour {
		t.Errorf("%d receipts", receipts)
	}
}

func TestMailBeyondTheLimitIsHeldAndCanBeLetIn(t *testing.T) {
	d := newTestEnv(t)
	admin := d.User("admin")
	for i := range 10 {
		d.became("a mail", d.receive(d.mail("many@example.com", fmt.Sprint("Ticket ", i), "Text", support)), Ticket, "")
	}
	r := d.became("the eleventh", d.receive(d.mail("many@example.com", "Eleventh", "Text", support)), Held, HeldLimit)
	d.Call(admin, "POST", "/v1/inbound/"+r.ID.String()+"/release", nil).Want(200)
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets where title = 'Eleventh'`); n != 1 {
		t.Errorf("%d tickets of it", n)
	}
	ticket := d.ticketOf(admin, d.again(r))
	for range 10 {
		d.became("a comment", d.receive(d.mail("many@example.com", "Re", "Text", d.reply(ticket, ToReporter))), Comment, "")
	}
	d.became("one more", d.receive(d.mail("many@example.com", "Re", "Text", d.reply(ticket, ToReporter))), Held, HeldLimit)
}

// again is the record as it is now.
func (d *testEnv) again(r Record) Record {
	d.Helper()
	again, err := d.service.Record(context.Background(), r.ID)
	if err != nil {
		d.Fatal(err)
	}
	return again
}

func TestMailThatCanNotBeTrustedIsHeld(t *testing.T) {
	d := newTestEnv(t)
	admin, suspended := d.User("admin"), d.User("customer")
	d.Exec(`update users set status = 'suspended' where id = $1`, suspended.ID)
	forged := d.mail("ada@example.com", "x", "y", support)
	forged.Authentication = &notifyapi.Authentication{DMARC: "fail"}
	r := d.became("DMARC", d.receive(forged), Held, HeldAuthentication)
	d.became("suspended", d.receive(d.mail(suspended.Email, "x", "y", support)), Held, HeldAccount)
	other := d.became("another address", d.receive(d.mail("ada@example.com", "x", "y", "info@fixdesk.test")), Held, HeldAddress)
	nobody := d.mail("ada@example.com", "x", "y", support)
	nobody.From = nil
	noSender := d.became("no sender", d.receive(nobody), Held, HeldNoSender)
	broken := d.mail("ada@example.com", "x", "y", support)
	why := "nested too deeply"
	broken.Unparsed = &why
	d.became("not parsed", d.receive(broken), Held, HeldUnreadable)
	d.WantNotices("held mail")
	d.Call(admin, "POST", "/v1/inbound/"+r.ID.String()+"/release", nil).Want(200)
	d.Call(admin, "POST", "/v1/inbound/"+noSender.ID.String()+"/release", nil).Refused(409, "conflict")
	d.Call(admin, "POST", "/v1/inbound/"+other.ID.String()+"/refuse", nil).Want(200)
	d.Call(admin, "POST", "/v1/inbound/"+other.ID.String()+"/release", nil).Refused(409, "already_decided")
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets`); n != 1 {
		t.Errorf("%d tickets", n)
	}
}

func TestLateReplyBecomesATicketThatNamesTheOldOne(t *testing.T) {
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	d.Advance(15 * 24 * time.Hour)
	r := d.became("late", d.receive(d.mail(customer.Email, "Re: [Fixdesk #1] Printer", "Again", d.reply(ticket, ToReporter))), Ticket, "")
	again := d.ticketOf(admin, r)
	if again.ID == ticket.ID || again.Title != "Printer" || again.Description != fmt.Sprintf("Again\n\n(This answers a mail about #%d, which was closed long before.)", ticket.Number) {
		t.Errorf("%+v", again)
	}
}

func TestOneMailToSeveralAddressesHasOneEffect(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	m := d.mail(customer.Email, "Re", "Once", support, d.reply(ticket, ToReporter))
	second := m
	m.Envelope.To = []string{support}
	second.ID, second.Envelope.To = d.mail("x@y.test", "", "").ID, []string{d.reply(ticket, ToReporter)}
	d.became("the first", d.receive(m), Comment, "")
	if r := d.became("the copy", d.receive(second), Duplicate, ""); r.TicketID == nil || *r.TicketID != ticket.ID {
		t.Errorf("the copy is %+v", r)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_comments`); n != 1 || d.last(engineer, ticket).Body != "Once" {
		t.Errorf("%d comments", n)
	}
	// The control: another mail with the same text is another comment.
	d.became("another mail", d.receive(d.mail(customer.Email, "Re", "Once", support, d.reply(ticket, ToReporter))), Comment, "")
}

func TestConcurrentReplicasGiveAMailOneEffect(t *testing.T) {
	d := newTestEnv(t)
	for i := range 10 {
		m := d.mail(fmt.Sprintf("ada%d@example.com", i), fmt.Sprint("Mail ", i), "Text", support)
		m.Attachments = []notifyapi.InboundAttachment{{Filename: "smoke.txt", Size: 3}}
		d.box.files[m.ID] = []string{"abc"}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if r, err := d.service.process(context.Background(), m); err != nil || r.outcome != Ticket {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		wg.Wait()
	}
	for what, query := range map[string]string{
		"tickets": `select count(*) from tickets`, "files": `select count(*) from attachments where ticket_id is not null`,
		"receipts": `select count(*) from outbox where kind = 'ticket_received'`, "senders": `select count(*) from users where email like 'ada%'`,
	} {
		if n := crmtest.Get[int](d.Env, query); n != 10 {
			t.Errorf("%d %s of 10 mails", n, what)
		}
	}
	// The control: without the memory of the mail each run has an effect.
	m := d.mail("bob@example.com", "Forgotten", "Text", support)
	for range 2 {
		if _, err := d.service.process(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		d.Exec(`delete from inbound_mails where id = $1`, m.ID)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets where title = 'Forgotten'`); n != 2 {
		t.Errorf("control: %d tickets", n)
	}
}

func TestLostAcknowledgementIsRepeatedWithoutASecondEffect(t *testing.T) {
	d := newTestEnv(t)
	d.box.failAcks = 2
	m := d.mail("ada@example.com", "Printer", "It smokes", support)
	d.box.mails = append(d.box.mails, m)
	for range 2 {
		if _, err := d.service.Consume(context.Background()); err == nil {
			t.Error("the lost acknowledgement is not noticed")
		}
	}
	if _, err := d.service.Consume(context.Background()); err != nil || !strings.HasPrefix(d.box.acks[m.ID], "ticket ") {
		t.Errorf("%v, %q", err, d.box.acks[m.ID])
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets`); n != 1 {
		t.Errorf("%d tickets", n)
	}
}

func TestMailThatFailsIsHeldAndHoldsUpNobody(t *testing.T) {
	d := newTestEnv(t)
	bad := d.mail("ada@example.com", "Bad", "Text", support)
	d.Exec(`alter table tickets add constraint no_bad check (title <> 'Bad')`)
	d.box.mails = append(d.box.mails, bad)
	d.became("the next", d.receive(d.mail("ada@example.com", "Good", "Text", support)), Ticket, "")
	r, err := d.service.Record(context.Background(), bad.ID)
	if err != nil || r.Outcome != Held || r.Reason != HeldFailed {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTextsOfAnySizeAndKindFit(t *testing.T) {
	d := newTestEnv(t)
	admin := d.User("admin")
	for name, text := range map[string]string{
		"long":       strings.Repeat("a line of a long mail\n", 20_000),
		"accents":    strings.Repeat("e\u0301\u0302", 30_000),
		"growing":    strings.Repeat("\u0958", 19_990),
		"controls":   "a\x01b\u202ec\u2066d\u2069\x7f",
		"invisible":  "\u200b\u2060",
		"replaced":   "\ufffd\ufffd",
		"whitespace": " \n\t\n",
	} {
		r := d.became(name, d.receive(d.mail("ada@example.com", strings.Repeat("Subject \u0958", 100), text, support)), Ticket, "")
		if ticket := d.ticketOf(admin, r); ticket.Description == "" || len([]rune(ticket.Title)) > maxTitle {
			t.Errorf("%s: %+v", name, ticket)
		}
	}
}
