package notice_test

import (
	"slices"
	"strings"
	"testing"

	"fixdesk/services/crm/internal/notice"
)

// texts are the texts in a notice that other people typed.
var typed = []string{"evil title", "evil description", "evil name", "evil comment", "evil resolution", "evil reason", "evil field"}

func TestUnverifiedRecipientGetsOnlyNumberAndLink(t *testing.T) {
	unverified := notice.Person{ID: ada.ID, Name: "evil name", Email: "unverified@example.com", Unverified: true}
	about := notice.Ticket{ID: ticket.ID, Number: 42, Title: "evil title"}
	toAnyone := links
	toAnyone.VerifiedOnly = false
	for _, n := range []notice.Notice{
		notice.TicketReceived{Ticket: about, To: unverified, Description: "evil description", AssigneeName: "evil name"},
		notice.TicketAssigned{Ticket: about, To: unverified, ReporterName: "evil name", Description: "evil description", ByName: "evil name"},
		notice.TicketUnassigned{Ticket: about, To: unverified, NewAssigneeName: "evil name", ByName: "evil name", Why: "evil reason"},
		notice.TicketChanged{Ticket: about, To: unverified, ActorName: "evil name", Resolution: "evil resolution", LatestComment: "evil comment",
			Changes: []notice.Change{{Field: "title", From: "evil field", To: "evil field"}}},
		notice.TicketCommented{Ticket: about, To: unverified, ActorName: "evil name", Body: "evil comment",
			Earlier: &notice.Earlier{AuthorName: "evil name", Body: "evil comment"}, Files: []notice.File{{Name: "evil name"}}},
	} {
		m := n.Message(links)
		whole := m.Subject + m.Text + m.HTML
		if found := slices.IndexFunc(typed, func(s string) bool { return strings.Contains(whole, s) }); found >= 0 {
			t.Errorf("%s has %q:\n%s", n.Kind(), typed[found], whole)
		}
		if !strings.Contains(m.Subject, "[Fixdesk #42]") || !strings.Contains(m.Text, links.PublicURL+"/tickets/42") || m.To[0] != unverified.Email || m.Thread == "" {
			t.Errorf("%s: %+v", n.Kind(), m)
		}
		// The control: where verification is off, the same notice has the text.
		if m := n.Message(toAnyone); !strings.Contains(m.Text, "evil") {
			t.Errorf("%s has no text without verification: %s", n.Kind(), m.Text)
		}
	}
}
