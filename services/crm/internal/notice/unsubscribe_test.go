package notice_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/notice"
)

func TestMailsThatCanBeRefusedHaveALinkForIt(t *testing.T) {
	for name, n := range mails {
		m, waiting := n.Message(links), n.Kind() == notice.KindRegistrationWaiting
		canBeRefused := notice.RefusedBy(n.Kind()) != nil && !waiting // that one has two recipients here
		if (m.Unsubscribe != "") != canBeRefused || strings.Contains(m.Text, "no more mails of this kind: "+m.Unsubscribe) != canBeRefused {
			t.Errorf("%s: link %q in\n%s", name, m.Unsubscribe, m.Text)
		}
		if m := n.Message(answerless); m.Unsubscribe != "" {
			t.Errorf("%s has a link without a secret", name)
		}
	}
	alone := notice.RegistrationWaiting{To: []notice.Person{ada}, Applicant: bob, Role: "engineer"}
	if m := alone.Message(links); m.Unsubscribe == "" {
		t.Error("a registration reported to one admin has no link")
	}
}

func TestMailsAboutSecurityCantBeRefused(t *testing.T) {
	for _, kind := range []string{
		notice.KindPasswordReset, notice.KindEmailVerification, notice.KindInvitation, notice.KindAccountChanged, notice.KindRegistrationDecided, "", "*",
	} {
		if notice.RefusedBy(kind) != nil {
			t.Errorf("%q can be refused", kind)
		}
		forged := notice.Subscription{User: ada.ID, Kind: kind}.Token(links.Secret)
		if _, err := notice.ReadSubscription(links.Secret, forged); err == nil {
			t.Errorf("a token for %q is valid", kind)
		}
	}
}

func TestTokenIsReadBackOnlyWithItsSecretAndUnchanged(t *testing.T) {
	for _, kind := range append(slices.Clone(notice.RefusableKinds), notice.KindDigest) {
		want := notice.Subscription{User: ada.ID, Kind: kind}
		token := want.Token(links.Secret)
		if got, err := notice.ReadSubscription(links.Secret, token); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", kind, got, err)
		}
		if _, err := notice.ReadSubscription(bytes.Repeat([]byte("x"), 32), token); err == nil {
			t.Errorf("%s: valid with another secret", kind)
		}
		for i := range token {
			for _, c := range []byte("A_z=") {
				changed := token[:i] + string(c) + token[i+1:]
				if _, err := notice.ReadSubscription(links.Secret, changed); err == nil && changed != token {
					t.Errorf("%s: valid with character %d changed", kind, i)
				}
			}
		}
		for _, other := range []string{"", token[1:], token + "A", token + "=", " " + token, token + "\n", token + token} {
			if _, err := notice.ReadSubscription(links.Secret, other); err == nil {
				t.Errorf("%s: %q is valid", kind, other)
			}
		}
	}
}

func TestDigestGathersOnlyWhatCanBeRefused(t *testing.T) {
	for _, kind := range notice.GatheredKinds {
		if !slices.Contains(notice.RefusableKinds, kind) {
			t.Errorf("%s is gathered and can't be refused", kind)
		}
	}
	d := notice.Digest{To: ada}
	for name, n := range mails {
		if err := d.Add(n, notice.DigestTicket{Ticket: ticket}); (err == nil) != slices.Contains(notice.GatheredKinds, n.Kind()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDigestSaysWhatHappenedToEachTicketOnce(t *testing.T) {
	d := notice.Digest{To: ada}
	second := notice.Ticket{ID: uuid.MustParse("019cab00-0000-7000-8000-000000000043"), Number: 43, Title: "Scanner hums"}
	about := map[string]notice.DigestTicket{"a": {Ticket: ticket, Status: "resolved"}, "b": {Ticket: second, Status: "open"}}
	for _, step := range []struct {
		ticket string
		notice notice.Notice
	}{
		{"a", notice.TicketAssigned{ByName: "Grace Hopper"}},
		{"b", notice.TicketCommented{ActorName: "Bob Noyce", Internal: true}},
		{"a", notice.TicketChanged{ActorName: "Bob Noyce", Changes: []notice.Change{{Field: "status", From: "in_progress", To: "resolved"}, {Field: "description"}}}},
		{"a", notice.TicketCommented{ActorName: "Bob Noyce", Status: "in_progress"}},
		{"b", notice.TicketUnassigned{}},
	} {
		if err := d.Add(step.notice, about[step.ticket]); err != nil {
			t.Fatal(err)
		}
	}
	const want = `
#42 “Printer on fire”, resolved
Grace Hopper assigned it to you.
Bob Noyce changed the status from in progress to resolved.
Bob Noyce changed the description.
Bob Noyce commented. It is now in progress again.
https://fixdesk.example/tickets/42

#43 “Scanner hums”, open
Bob Noyce wrote an internal comment.
It is no longer assigned to you.
https://fixdesk.example/tickets/43
`
	if m := d.Message(links); m.Subject != "[Fixdesk] News of 2 tickets" || !strings.Contains(m.Text, want) {
		t.Errorf("%s\n%s", m.Subject, m.Text)
	}
}
