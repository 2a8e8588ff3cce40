package notice_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/notice"
)

var update = flag.Bool("update", false, "write the golden mails instead of comparing with them")

var (
	// links are those of an installation that takes mail in, answerless of one that doesn't.
	links = notice.Links{
		PublicURL: "https://fixdesk.example", VerifiedOnly: true, Secret: []byte("a secret of the golden mails only"),
		Support: "support@fixdesk.example",
		ReplyTo: func(number int64, _ uuid.UUID, to notice.Audience) string {
			return fmt.Sprintf("support+%d.%s@fixdesk.example", number, to)
		},
	}
	answerless = notice.Links{PublicURL: "https://fixdesk.example", VerifiedOnly: true}
	ticket     = notice.Ticket{ID: uuid.MustParse("019cab00-0000-7000-8000-000000000042"), Number: 42, Title: "Printer on fire"}
	ada        = notice.Person{ID: uuid.MustParse("019cab00-0000-7000-8000-00000000000a"), Name: "Ada Lovelace", Email: "ada@example.com"}
	bob        = notice.Person{ID: uuid.MustParse("019cab00-0000-7000-8000-00000000000b"), Name: "Bob Noyce", Email: "bob@example.com"}
	zoe        = notice.Person{ID: uuid.MustParse("019cab00-0000-7000-8000-00000000000c"), Name: "Zoe Adler", Email: "zoe@example.com", Unverified: true}

	earlier = &notice.Earlier{AuthorName: "Ada Lovelace", At: time.Date(2026, 1, 12, 10, 30, 0, 0, time.FixedZone("", 3600)), Body: smoke}
)

const smoke = "There is smoke.\n\nAnd a smell of \"toner\" & <burnt> plastic."

// mails are every kind of notice in each of its variations.
var mails = map[string]notice.Notice{
	"ticket_received":              notice.TicketReceived{Ticket: ticket, To: ada, Description: smoke, AssigneeName: "Bob Noyce"},
	"ticket_received_nobody_free":  notice.TicketReceived{Ticket: ticket, To: ada, Description: smoke},
	"ticket_assigned":              notice.TicketAssigned{Ticket: ticket, To: bob, ReporterName: "Ada Lovelace", Description: smoke, Priority: "high"},
	"ticket_assigned_by_admin":     notice.TicketAssigned{Ticket: ticket, To: bob, ReporterName: "Ada Lovelace", Description: smoke, Priority: "normal", ByName: "Grace Hopper"},
	"ticket_unassigned":            notice.TicketUnassigned{Ticket: ticket, To: bob},
	"ticket_unassigned_by_admin":   notice.TicketUnassigned{Ticket: ticket, To: bob, ByName: "Grace Hopper"},
	"ticket_unassigned_handed_on":  notice.TicketUnassigned{Ticket: ticket, To: bob, NewAssigneeName: "Mary Shaw", Why: "you are away"},
	"ticket_unassigned_reassigned": notice.TicketUnassigned{Ticket: ticket, To: bob, NewAssigneeName: "Mary Shaw", ByName: "Grace Hopper"},
	"ticket_changed_accepted": notice.TicketChanged{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce",
		Changes: []notice.Change{{Field: "status", From: "open", To: "in_progress"}}},
	"ticket_changed_blocked": notice.TicketChanged{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce",
		Changes: []notice.Change{{Field: "status", From: "in_progress", To: "blocked"}}, LatestComment: "I wait for a new drum."},
	"ticket_changed_resolved": notice.TicketChanged{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce",
		Changes:    []notice.Change{{Field: "status", From: "in_progress", To: "resolved"}, {Field: "resolution", To: "Replaced the drum."}},
		Resolution: "Replaced the drum.", LatestComment: "Please try it."},
	"ticket_changed_reopened": notice.TicketChanged{Ticket: ticket, To: bob, Audience: notice.ToStaff, ActorName: "Ada Lovelace",
		Changes:       []notice.Change{{Field: "status", From: "resolved", To: "open"}, {Field: "resolution", From: "Replaced the drum."}},
		LatestComment: "It burns again."},
	"ticket_changed_closed": notice.TicketChanged{Ticket: ticket, To: bob, Audience: notice.ToStaff, ActorName: "Ada Lovelace",
		Changes: []notice.Change{{Field: "status", From: "resolved", To: "closed"}}, Resolution: "Replaced the drum."},
	"ticket_changed_fields": notice.TicketChanged{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Grace Hopper",
		Changes: []notice.Change{
			{Field: "title", From: "Printer", To: "Printer on fire"},
			{Field: "priority", From: "normal", To: "urgent"},
			{Field: "assignee", To: "Bob Noyce"},
			{Field: "description", From: "Smoke.", To: smoke},
		}},
	"ticket_changed_by_nobody": notice.TicketChanged{Ticket: ticket, To: ada,
		Changes: []notice.Change{{Field: "assignee", From: "Bob Noyce"}}},
	"ticket_changed_resolved_by_admin": notice.TicketChanged{Ticket: ticket, To: bob, Audience: notice.ToStaff, ActorName: "Grace Hopper",
		Changes: []notice.Change{{Field: "status", From: "in_progress", To: "resolved"}}, Resolution: "Replaced the drum."},
	"ticket_commented":       notice.TicketCommented{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce", Body: "Is it still burning?\nI am on my way.", Earlier: earlier},
	"ticket_commented_first": notice.TicketCommented{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce", Body: "I am on my way."},
	"ticket_commented_with_files": notice.TicketCommented{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce", Body: "Here is the manual.",
		Files: []notice.File{{Name: "manual.pdf", Size: 1_234_567}, {Name: "Übersicht.txt", Size: 999}, {Name: "drum.png", Size: 12_499}}},
	"ticket_commented_unverified": notice.TicketCommented{Ticket: ticket, To: zoe, ActorName: "Bob Noyce", Body: "I am on my way.", Earlier: earlier},
	"ticket_changed_blocked_for_customer": notice.TicketChanged{Ticket: ticket, To: ada, Audience: notice.ToReporter, ActorName: "Bob Noyce",
		Changes: []notice.Change{{Field: "status", From: "in_progress", To: "blocked"}, {Field: "blocked_reason", To: "Which model is it?"}, {Field: "waiting_for", To: "customer"}}},
	"ticket_commented_resumed":             notice.TicketCommented{Ticket: ticket, To: bob, Audience: notice.ToStaff, ActorName: "Ada Lovelace", Body: "The blue one.", Status: "in_progress"},
	"ticket_commented_internal":            notice.TicketCommented{Ticket: ticket, To: bob, Audience: notice.ToStaff, ActorName: "Grace Hopper", Body: "Third one this week.", Internal: true},
	"registration_waiting":                 notice.RegistrationWaiting{To: []notice.Person{ada, bob}, Applicant: notice.Person{ID: ada.ID, Name: "Mary Shaw", Email: "mary@example.com"}, Role: "engineer"},
	"registration_approved":                notice.RegistrationDecided{To: ada, Approved: true, Role: "engineer"},
	"registration_rejected":                notice.RegistrationDecided{To: ada, Role: "admin", Reason: "We have enough admins."},
	"registration_rejected_without_reason": notice.RegistrationDecided{To: ada, Role: "engineer"},
	"email_verification":                   notice.EmailVerification{To: ada, Token: "c2VjcmV0LXRva2VuLW9mLTI1Ni1iaXRz", ValidHours: 24},
	"invitation":                           notice.Invitation{To: ada, Role: "engineer", Token: "c2VjcmV0LXRva2VuLW9mLTI1Ni1iaXRz", ValidDays: 7},
	"account_password_changed":             notice.AccountChanged{To: ada, Event: notice.PasswordChanged},
	"account_address_changed":              notice.AccountChanged{To: ada, Event: notice.AddressChanged},
	"account_suspended":                    notice.AccountChanged{To: ada, Event: notice.AccountSuspended, Reason: "You left."},
	"account_rejected":                     notice.AccountChanged{To: ada, Event: notice.AccountRejected},
	"account_key_issued":                   notice.AccountChanged{To: ada, Event: notice.KeyIssued},
	"account_approved":                     notice.AccountChanged{To: ada, Event: notice.AccountApproved},
	"digest": notice.Digest{To: ada, Tickets: []notice.DigestTicket{
		{Ticket: ticket, Status: "in_progress", News: []string{"Bob Noyce changed the status from open to in progress.", "Bob Noyce commented."}},
		{Ticket: notice.Ticket{ID: ticket.ID, Number: 43, Title: "Scanner hums"}, Status: "open", News: []string{"It was assigned to you."}, Earlier: 3},
	}},
	"digest_of_one":     notice.Digest{To: ada, More: 2, Tickets: []notice.DigestTicket{{Ticket: ticket, Status: "open", News: []string{"Bob Noyce commented."}}}},
	"digest_unverified": notice.Digest{To: zoe, Tickets: []notice.DigestTicket{{Ticket: ticket, Status: "open", News: []string{"Bob Noyce commented."}}}},
	"password_reset":    notice.PasswordReset{To: ada, Token: "c2VjcmV0LXRva2VuLW9mLTI1Ni1iaXRz", ValidMinutes: 10},
}

func TestEachMailReadsAsItsGolden(t *testing.T) {
	for name, n := range mails {
		t.Run(name, func(t *testing.T) {
			m := n.Message(links)
			head := fmt.Sprintf("To: %s\nSubject: %s\nThread: %s\nReply-To: %s\nUnsubscribe: %s\n\n", strings.Join(m.To, ", "), m.Subject, m.Thread, m.ReplyTo, m.Unsubscribe)
			golden(t, name+".txt", head+m.Text)
			golden(t, name+".html", m.HTML)
		})
	}
}

func TestMailNamesWhomABlockedTicketWaitsForOnlyIfItIsTheCustomer(t *testing.T) {
	for _, tc := range []struct{ from, to, line string }{
		{"", "customer", "Waiting for: the customer\n"},
		{"other", "customer", "Waiting for: the customer\n"},
		{"", "other", ""}, {"customer", "other", ""}, {"customer", "", ""},
	} {
		m := notice.TicketChanged{Ticket: ticket, To: ada, Changes: []notice.Change{
			{Field: "blocked_reason", To: "other"}, {Field: "waiting_for", From: tc.from, To: tc.to},
		}}.Message(links)
		if strings.Contains(m.Text, "Waiting for") != (tc.line != "") || !strings.Contains(m.Text, tc.line) || !strings.Contains(m.Text, "Blocked reason: other\n") {
			t.Errorf("from %q to %q:\n%s", tc.from, tc.to, m.Text)
		}
	}
}

func TestNoMailNamesAnHTTPMethodOrAPathOfTheAPI(t *testing.T) {
	for name, n := range mails {
		m := n.Message(links)
		for _, technical := range []string{"GET ", "POST ", "PATCH ", "DELETE ", "/v1/", "{\""} {
			if strings.Contains(m.Subject+m.Text+m.HTML, technical) {
				t.Errorf("%s has %q:\n%s", name, technical, m.Text)
			}
		}
	}
}

// ticketMails are those of mails that are about a ticket.
func ticketMails() map[string]notice.Notice {
	about := map[string]notice.Notice{}
	for name, n := range mails {
		if strings.HasPrefix(name, "ticket_") {
			about[name] = n
		}
	}
	return about
}

func TestAllMailsOfATicketHaveItsSubjectAndLink(t *testing.T) {
	for name, n := range ticketMails() {
		subject := "[Fixdesk #42] Printer on fire"
		if strings.HasSuffix(name, "_unverified") {
			subject = "[Fixdesk #42] Your ticket"
		}
		m := n.Message(links)
		if m.Subject != subject || !strings.Contains(m.Text, "https://fixdesk.example/tickets/42\n") {
			t.Errorf("%s: subject %q\n%s", name, m.Subject, m.Text)
		}
	}
}

func TestMailsOfATicketSayHowToAnswer(t *testing.T) {
	const byMail, notByMail = "To answer, reply to this mail", "Please don't reply to this mail"
	for name, n := range ticketMails() {
		if strings.HasPrefix(name, "ticket_unassigned") { // asks for no answer
			continue
		}
		if m := n.Message(links); !strings.Contains(m.Text, byMail) || strings.Contains(m.Text, notByMail) || m.ReplyTo == "" {
			t.Errorf("%s, where mail is taken in: Reply-To %q\n%s", name, m.ReplyTo, m.Text)
		}
		if m := n.Message(answerless); strings.Contains(m.Text, byMail) || !strings.Contains(m.Text, notByMail) || m.ReplyTo != "" {
			t.Errorf("%s, where mail is not taken in: Reply-To %q\n%s", name, m.ReplyTo, m.Text)
		}
	}
}

// Where mail is taken in, an answer to any mail arrives, so that none may say that nobody
// reads it.
func TestMailThatIsNotToBeAnsweredSaysWhereToWrite(t *testing.T) {
	const nobody, write = "nobody reads what is sent to its address", "write to support@fixdesk.example"
	for name, n := range mails {
		with, without := n.Message(links), n.Message(answerless)
		if strings.Contains(with.Text, nobody) || strings.Contains(without.Text, "write to") {
			t.Errorf("%s:\n%s\n%s", name, with.Text, without.Text)
		}
		if !strings.HasPrefix(name, "ticket_") && (!strings.Contains(with.Text, write) || !strings.Contains(without.Text, nobody)) {
			t.Errorf("%s doesn't say where to write:\n%s\n%s", name, with.Text, without.Text)
		}
	}
}

// Mail programs lay out what a person wrote in the direction of its own script.
func TestQuotesHaveTheDirectionOfTheirScript(t *testing.T) {
	n := notice.TicketCommented{Ticket: ticket, To: ada, ActorName: "Bob Noyce", Body: "المدفأة لا تعمل."}
	if m := n.Message(links); !strings.Contains(m.HTML, `<blockquote dir="auto"`) {
		t.Error(m.HTML)
	}
}

func TestClearedTextIsNotShownAsAText(t *testing.T) {
	m := notice.TicketChanged{Ticket: ticket, To: bob, Audience: notice.ToStaff, ActorName: "Ada Lovelace", Changes: []notice.Change{
		{Field: "status", From: "resolved", To: "open"}, {Field: "resolution", From: "A new drum.\nAnd a new fuser."},
	}}.Message(links)
	if !strings.Contains(m.Text, "Resolution before:\n> A new drum.") || strings.Contains(m.Text, "now:") || strings.Contains(m.Text, "> none") {
		t.Error(m.Text)
	}
}

// An answer to a mail about an internal comment is internal, since its address
// says so.
func TestAddressForAnswersIsThatOfTheAudience(t *testing.T) {
	for name, audience := range map[string]notice.Audience{
		"ticket_received": notice.ToReporter, "ticket_assigned": notice.ToStaff, "ticket_unassigned": notice.ToStaff,
		"ticket_commented": notice.ToReporter, "ticket_commented_unverified": notice.ToReporter, "ticket_commented_resumed": notice.ToStaff,
		"ticket_commented_internal": notice.ToInternal, "ticket_changed_resolved": notice.ToReporter, "ticket_changed_resolved_by_admin": notice.ToStaff,
	} {
		if m := mails[name].Message(links); m.ReplyTo != "support+42."+string(audience)+"@fixdesk.example" {
			t.Errorf("%s: Reply-To %q", name, m.ReplyTo)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it after go test -update. Got:\n%s", name, got)
	}
}

func TestEveryKindHasAGolden(t *testing.T) {
	kinds := map[string]bool{}
	for _, n := range mails {
		kinds[n.Kind()] = true
	}
	for _, kind := range []string{
		notice.KindTicketReceived, notice.KindTicketAssigned, notice.KindTicketUnassigned, notice.KindTicketChanged,
		notice.KindTicketCommented, notice.KindRegistrationWaiting, notice.KindRegistrationDecided, notice.KindPasswordReset,
		notice.KindEmailVerification, notice.KindInvitation, notice.KindAccountChanged, notice.KindDigest,
	} {
		if !kinds[kind] {
			t.Errorf("no golden of %s", kind)
		}
	}
}

func TestNoticesWithATokenAreSensitive(t *testing.T) {
	for name, n := range mails {
		_, hasToken := reflect.TypeOf(n).FieldByName("Token")
		if notice.IsSensitive(n.Kind()) != hasToken {
			t.Errorf("%s: sensitive is %v, it has a token: %v", name, !hasToken, hasToken)
		}
	}
}

func TestStoredNoticeMakesTheSameMail(t *testing.T) {
	for name, n := range mails {
		data, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		again, err := notice.Decode(n.Kind(), data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(again.Message(links), n.Message(links)) {
			t.Errorf("%s reads differently after it was stored", name)
		}
	}
}

func TestFactsAreFlatJSON(t *testing.T) {
	data, err := json.Marshal(mails["ticket_assigned"])
	if err != nil {
		t.Fatal(err)
	}
	var facts map[string]any
	if err := json.Unmarshal(data, &facts); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ticket_id", "number", "title", "to", "reporter_name", "description", "priority", "by_name"} {
		if _, ok := facts[key]; !ok {
			t.Errorf("no %s in %s", key, data)
		}
	}
}

func TestDecodeRefusesInvalidFactsWithoutQuotingThem(t *testing.T) {
	if _, err := notice.Decode("survey", []byte("{}")); !errors.Is(err, notice.ErrUnknownKind) {
		t.Errorf("unknown kind: %v", err)
	}
	for _, data := range []string{"", "canary", `{"to": "canary"}`, `{"number": "canary"}`, `[]`} {
		_, err := notice.Decode(notice.KindTicketReceived, []byte(data))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", data, err)
		}
	}
}

const evil = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script><img src=//eve.example/p.gif>\u202egpj.exe\u2066\u200f\x00\x1b[31m\u2028y"

// everywhere returns a notice of each kind with s in each field that a user writes.
func everywhere(s string) []notice.Notice {
	tk := notice.Ticket{ID: ticket.ID, Number: 42, Title: s}
	p := notice.Person{ID: ada.ID, Name: s, Email: "ada@example.com"}
	return []notice.Notice{
		notice.TicketReceived{Ticket: tk, To: p, Description: s, AssigneeName: s},
		notice.TicketAssigned{Ticket: tk, To: p, ReporterName: s, Description: s, Priority: s, ByName: s},
		notice.TicketUnassigned{Ticket: tk, To: p, NewAssigneeName: s, ByName: s, Why: s},
		notice.TicketChanged{Ticket: tk, To: p, ActorName: s, Resolution: s, LatestComment: s, Changes: []notice.Change{
			{Field: "status", From: s, To: s}, {Field: "title", From: s, To: s}, {Field: "description", From: s, To: s},
			{Field: "priority", From: s, To: s}, {Field: "assignee", From: s, To: s}, {Field: s, From: s, To: s}}},
		notice.TicketCommented{Ticket: tk, To: p, ActorName: s, Body: s, Earlier: &notice.Earlier{AuthorName: s, Body: s}, Files: []notice.File{{Name: s}}},
		notice.TicketCommented{Ticket: tk, To: p, ActorName: s, Body: s, Internal: true},
		notice.RegistrationWaiting{To: []notice.Person{p}, Applicant: notice.Person{Name: s, Email: s}, Role: s},
		notice.RegistrationDecided{To: p, Role: s, Reason: s},
		notice.PasswordReset{To: p, Token: s},
		longDigest(tk, p, s),
	}
}

// longDigest has as many tickets and events as a digest takes, and more.
func longDigest(tk notice.Ticket, p notice.Person, s string) notice.Digest {
	d := notice.Digest{To: p}
	if r := []rune(s); len(r) > 500 { // more than a line has
		s = string(r[:500])
	}
	for i := range 60 {
		tk.ID[15] = byte(i)
		for range 6 {
			n := notice.TicketChanged{Ticket: tk, ActorName: s, Changes: []notice.Change{{Field: "status", From: s, To: s}, {Field: s}}}
			if err := d.Add(n, notice.DigestTicket{Ticket: tk, Status: s}); err != nil {
				panic(err)
			}
		}
	}
	return d
}

// ownLink is a link to a page of Fixdesk.
var ownLink = regexp.MustCompile(`<a href="https://fixdesk\.example/[^"]*"`)

// broken returns what is wrong with a mail that contains hostile text.
func broken(m notice.Message) string {
	if n := utf8.RuneCountInString(m.Subject); n == 0 || n > 160 {
		return fmt.Sprintf("subject of %d characters", n)
	}
	if strings.ContainsFunc(m.Subject, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
		return "control character in the subject"
	}
	for _, s := range []string{m.Subject, m.Text, m.HTML} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) && r != '\n' && r != '\t'
		}) {
			return "control characters"
		}
	}
	html := ownLink.ReplaceAllString(m.HTML, "")
	for _, tag := range []string{"<script", "<img", "<a ", "<link", "<iframe"} {
		if strings.Contains(html, tag) {
			return tag + " in the HTML part"
		}
	}
	return ""
}

func TestHostileTextStaysText(t *testing.T) {
	for _, n := range everywhere(evil) {
		m := n.Message(links)
		if what := broken(m); what != "" {
			t.Errorf("%T: %s", n, what)
		}
		if strings.Contains(m.Text, "\nBcc:") {
			t.Errorf("%T: a user's line passes for ours", n)
		}
	}
}

// The control of the test above: the same text unchanged in a mail.
func TestControlHostileTextIsRecognised(t *testing.T) {
	m := mails["ticket_received"].Message(links)
	for what, spoil := range map[string]func(*notice.Message){
		"subject":   func(m *notice.Message) { m.Subject += "\r\nBcc: eve@example.com" },
		"direction": func(m *notice.Message) { m.Text += "\u202e" },
		"html":      func(m *notice.Message) { m.HTML += "<script>" },
		"link":      func(m *notice.Message) { m.HTML += `<a href="https://evil.example/">` },
		"length":    func(m *notice.Message) { m.Subject += strings.Repeat("x", 160) },
	} {
		spoilt := m
		spoil(&spoilt)
		if broken(spoilt) == "" {
			t.Errorf("%s went unnoticed", what)
		}
	}
}

func TestLongestFactsFitTheNotificationService(t *testing.T) {
	for _, s := range []string{strings.Repeat("\"", 20000), strings.Repeat("\U0001f525", 20000), strings.Repeat("a\n", 10000)} {
		for _, n := range everywhere(s) {
			if c, ok := n.(notice.TicketChanged); ok { // its fields are four, short but for the description
				c.Changes = c.Changes[2:3]
				n = c
			}
			m := n.Message(links)
			body, err := json.Marshal(map[string]any{"text": m.Text, "html": m.HTML})
			if err != nil {
				t.Fatal(err)
			}
			if c := utf8.RuneCountInString(m.Text); c > 200_000 {
				t.Errorf("%T: text of %d characters", n, c)
			}
			if c := utf8.RuneCountInString(m.HTML); c > 500_000 {
				t.Errorf("%T: HTML of %d characters", n, c)
			}
			if len(body) > 1<<20-8192 {
				t.Errorf("%T: body of %d bytes", n, len(body))
			}
		}
	}
}

func TestSubjectIsCutAtAWordAndNeverWithinACharacter(t *testing.T) {
	subject := func(title string) string {
		tk := ticket
		tk.Title = title
		return notice.TicketCommented{Ticket: tk, To: ada, ActorName: "Bob", Body: "x"}.Message(links).Subject
	}
	for title, want := range map[string]string{
		strings.Repeat("word ", 40):                       "[Fixdesk #42] " + strings.TrimSpace(strings.Repeat("word ", 20)) + "…",
		strings.Repeat("x", 100):                          "[Fixdesk #42] " + strings.Repeat("x", 100) + "",
		strings.Repeat("x", 101):                          "[Fixdesk #42] " + strings.Repeat("x", 99) + "…",
		strings.Repeat("x", 98) + "e\u0301\u0301\u0301yz": "[Fixdesk #42] " + strings.Repeat("x", 98) + "…",
		strings.Repeat("x", 97) + "👩\u200d🚒👩\u200d🚒":      "[Fixdesk #42] " + strings.Repeat("x", 97) + "…",
	} {
		if got := subject(title); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func FuzzNoticeOfAnyFactsIsAValidMail(f *testing.F) {
	for _, n := range append(everywhere(evil), mails["ticket_changed_fields"]) {
		data, err := json.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(n.Kind(), data)
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		n, err := notice.Decode(kind, data)
		if err != nil {
			return
		}
		if what := broken(n.Message(links)); what != "" {
			t.Errorf("%s of %s: %s", kind, data, what)
		}
	})
}
