package notice_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/notice"
)

func TestOnlyPublicCommentsAndAssignmentsWithTheirTextHaveFilesWithThem(t *testing.T) {
	t.Parallel()
	files := []notice.File{{ID: uuid.New(), Name: "a.png", Size: 1}, {ID: uuid.New(), Name: "b.png", Size: 2}}
	person := notice.Person{ID: uuid.New(), Email: "ada@example.com"}
	unverified := notice.TicketCommented{To: notice.Person{ID: person.ID, Unverified: true}, Files: files}
	links := notice.Links{VerifiedOnly: true}
	if got := notice.Attachable(notice.TicketCommented{To: person, Files: files}, links); !slices.Equal(got, files) {
		t.Errorf("control: %v", got)
	}
	if got := notice.Attachable(notice.TicketAssigned{To: person, Files: files}, links); !slices.Equal(got, files) {
		t.Errorf("an assignment: %v", got)
	}
	if got := notice.Attachable(unverified, notice.Links{}); !slices.Equal(got, files) {
		t.Errorf("an unverified address that gets texts: %v", got)
	}
	for name, n := range map[string]notice.Notice{
		"internal":                 notice.TicketCommented{To: person, Files: files, Internal: true},
		"unverified":               unverified,
		"no files":                 notice.TicketCommented{To: person},
		"file without an id":       notice.TicketCommented{To: person, Files: append(files[:1:1], notice.File{Name: "old.png"})},
		"digest":                   notice.Digest{To: person},
		"change of the ticket":     notice.TicketChanged{To: person, LatestComment: "It burns."},
		"receipt of a ticket":      notice.TicketReceived{To: person, Files: files},
		"facts without everything": notice.TicketCommented{},
	} {
		if got := notice.Attachable(n, links); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMailSaysWhereTheFilesAre(t *testing.T) {
	t.Parallel()
	files := []notice.File{{ID: uuid.New(), Name: "manual.pdf", Size: 1_234_567}}
	const onPage, inMail = "Files, which are on the ticket&#39;s page:", "Files, which are attached to this mail:"
	for _, n := range []notice.Notice{
		notice.TicketCommented{To: notice.Person{ID: uuid.New()}, Body: "Here is the manual.", Files: files},
		notice.TicketAssigned{To: notice.Person{ID: uuid.New()}, Description: "See the manual.", Files: files},
	} {
		linked, attached := n.Message(notice.Links{}), notice.Attached(n).Message(notice.Links{})
		if want := strings.Replace(linked.Text, "Files, which are on the ticket's page:", inMail, 1); attached.Text != want || linked.Text == want {
			t.Errorf("text %q", attached.Text)
		}
		if want := strings.Replace(linked.HTML, onPage, inMail, 1); attached.HTML != want || linked.HTML == want {
			t.Errorf("HTML %q", attached.HTML)
		}
	}
}
