package ticketlist

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmtest"
)

// listed is what these tests read of a ticket of a list.
type listed struct {
	ID          uuid.UUID
	LastComment *struct {
		Author struct {
			ID   uuid.UUID
			Name string
		}
		CreatedAt time.Time `json:"created_at"`
		Internal  bool
		Excerpt   string
	} `json:"last_comment"`
}

func (d *testEnv) listed(who crmtest.User, query string) []listed {
	d.Helper()
	return crmtest.Parse[crmtest.Page[listed]](d.Call(who, "GET", "/v1/tickets?"+query, nil).Want(200)).Items
}

func TestListHasTheLastCommentThatItsReaderMayRead(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	silent := d.Raise(customer, "Lamp", "It flickers")
	raised := d.Raise(customer, "Printer", "It smokes")
	comment := func(who crmtest.User, body string, internal bool) string {
		return crmtest.Parse[struct{ ID string }](d.Call(who, "POST", raised.Path("/comments"), crmtest.Object{"body": body, "internal": internal}).Want(201)).ID
	}
	last := func(who crmtest.User, query string) string {
		for _, l := range d.listed(who, query) {
			if l.ID == silent.ID && l.LastComment != nil {
				t.Errorf("a ticket without comments has %+v", *l.LastComment)
			}
			if l.ID == raised.ID && l.LastComment != nil {
				return l.LastComment.Author.Name + ": " + l.LastComment.Excerpt
			}
		}
		return ""
	}
	for _, query := range []string{"", "sort=-updated_at", "sort=-priority", "q=print", "q=print&sort=relevance", "q=%23" + "2", "active=true"} {
		if got := last(customer, query); got != "" {
			t.Errorf("%q before any comment: %q", query, got)
		}
	}
	comment(customer, "Since\n\n  Monday,\tall day.", false)
	comment(engineer, canary, true)
	removed := comment(engineer, "A secret of somebody else", false)
	d.Call(admin, "DELETE", raised.Path("/comments/"+removed), nil).Want(204)
	for _, query := range []string{"", "sort=-updated_at", "sort=-priority", "q=print", "q=print&sort=relevance", "active=true"} {
		if got, want := last(customer, query), customer.Name+": Since Monday, all day."; got != want {
			t.Errorf("the customer's %q: %q, want %q", query, got, want)
		}
		for _, staff := range []crmtest.User{engineer, admin} {
			if got, want := last(staff, query), engineer.Name+": "+canary; got != want { // the control
				t.Errorf("%q of staff: %q, want %q", query, got, want)
			}
		}
	}
	if one := d.Call(customer, "GET", raised.Path(""), nil).Want(200); strings.Contains(string(one.Body), "last_comment") {
		t.Errorf("a single ticket has the field of lists: %s", one.Body)
	}
}

func TestExcerptIsOneShortLine(t *testing.T) {
	for text, want := range map[string]string{
		"Short.":                          "Short.",
		"Two\r\n\r\nlines":                "Two lines",
		strings.Repeat("é", 160):          strings.Repeat("é", 160),
		strings.Repeat("é", 161):          strings.Repeat("é", 159) + "…",
		"x" + strings.Repeat(" ", 319):    "x…",
		strings.Repeat("word ", 64)[:320]: strings.TrimRight(strings.Repeat("word ", 32)[:159], " ") + "…",
	} {
		if got := excerpt(text); got != want || utf8.RuneCountInString(got) > excerptRunes {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// FuzzReadLastComment reads damaged rows of PostgreSQL. The first seed is a whole one.
func FuzzReadLastComment(f *testing.F) {
	whole := []byte("\x00\x00\x00\x05" +
		"\x00\x00\x0b\x86\x00\x00\x00\x100123456789abcdef" + "\x00\x00\x00\x19\x00\x00\x00\x03Ada" +
		"\x00\x00\x04\xa0\x00\x00\x00\x08\x00\x00\x00\x00\x00\x0f\x42\x40" + "\x00\x00\x00\x10\x00\x00\x00\x01\x01" + "\x00\x00\x00\x19\x00\x00\x00\x02ok")
	c, err := readLastComment(whole)
	if at := time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC); err != nil || c.Author.Name != "Ada" || !c.At.Equal(at) || !c.Internal || c.Text != "ok" {
		f.Fatalf("%+v, %v", c, err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, record []byte) {
		if c, err := readLastComment(record); err == nil && (c == nil) != (record == nil) {
			t.Errorf("%x: %+v", record, c)
		}
	})
}
