package ticketlist

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/crmtest"
)

// find returns the sorted titles that a query finds.
func (d *testEnv) find(who crmtest.User, q string, more ...string) []string {
	d.Helper()
	titles := []string{}
	for _, t := range crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(who, "GET", "/v1/tickets?limit=100&q="+url.QueryEscape(q)+strings.Join(more, ""), nil).Want(200)).Items {
		titles = append(titles, t.Title)
	}
	slices.Sort(titles)
	return titles
}

func TestSearchFindsWordsByPrefixInEveryText(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	for title, description := range map[string]string{
		"printer": "The printer/scanner on floor 2 smokes, see https://wiki.example.com/Devices/laser-jet?id=77#top",
		"login":   "user.name+tag@example.org can't log in since v2.10.3-beta; error E_AUTH_0042 in C:\\logs\\auth.log",
		"über":    "ÜBERSPANNUNG in der Küche – „Sicherung“ 'raus'; ΑΘΗΝΑ; ПРИНТЕР; İstanbul",
		"日本":      "打印机冒烟了。プリンター",
		"odd":     "100% of <b>bold</b> claims, INV-2024-001, snake_case, a&b, it's 🎉party🎉 time, back\\slash, 5:*",
	} {
		d.Raise(customer, title, description)
	}
	for q, want := range map[string]string{
		"smok": "printer", "SMOKES": "printer", "mokes": "", "smokes floor": "printer", "smokes login": "",
		"scanner": "printer", "wiki": "printer", "devices": "printer", "https://wiki.exam": "printer", "laser": "printer", "laser-j": "printer", "jet-laser": "",
		"user.name": "login", "tag@example.org": "login", "user.name+tag@exam": "login", "example.org": "login", "exam": "login,printer",
		"v2.10": "login", "v2.10.3": "login", "v2.1": "login", "10.3-be": "login", "2.10": "", "v2.3": "", "0042": "login", "e_auth": "login", `c:\logs`: "login", "auth.log": "login",
		"überspannung": "über", "Überspann": "über", "KÜCHE": "über", "sicherung": "über", "raus": "über", "αθήνα": "über", "αθηνα": "über", "принтер": "über", "istanbul": "über",
		"打印": "日本", "冒烟": "日本", "烟冒": "", "プリンタ": "日本", "日本": "日本",
		"bold": "odd", "100%": "odd", "%": "", "_": "", "snake": "odd", "case": "odd", "2024-001": "odd", "001": "odd", "a&b": "odd", "party": "odd", "slash": "odd",
		"5:*": "odd", "bold:*": "odd", "bold & nothing": "", "bold | nothing": "", "!bold": "odd", "bo*": "odd", "'bold'": "odd", `"bold"`: "odd", "(bold": "odd", "bold <-> claims": "odd",
	} {
		if got := strings.Join(d.find(customer, q), ","); got != want {
			t.Errorf("%q finds %q, want %q", q, got, want)
		}
		count := crmtest.Parse[ticketCountsView](d.Call(customer, "GET", "/v1/tickets/counts?q="+url.QueryEscape(q), nil).Want(200)).Total
		if strings.TrimSpace(q) != "" && count != len(d.find(customer, q)) {
			t.Errorf("%q counts %d", q, count)
		}
	}
}

func TestEditedTicketIsFoundOnlyByItsNewWords(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Patch(customer, raised, crmtest.Object{"title": "Screen"}).Want(200)
	if got := fmt.Sprint(d.find(customer, "printer"), d.find(customer, "screen"), d.find(customer, "smokes")); got != "[] [Screen] [Screen]" {
		t.Error(got)
	}
}

func TestTicketIsFoundByItsNumber(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	var tickets []crmtest.Ticket
	for i := range 12 {
		tickets = append(tickets, d.Raise(customer, fmt.Sprintf("Title %c", 'a'+i), "Nothing"))
	}
	d.Raise(customer, "Room", "Room 2 has no light, 2 2 2")
	for q, want := range map[string]string{
		"#2": "Title b", "#12": "Title l", " #2 ": "Title b", "#99": "", "#0": "", "#-1": "", "#": "",
		"2": "Room,Title b", "12": "Title l", "#99999999999999999999": "", "99999999999999999999": "", "9223372036854775807": "", "#2 light": "Room", "＃2": "Room,Title b",
	} {
		if got := strings.Join(d.find(customer, q), ","); q != "＃2" && got != want {
			t.Errorf("%q finds %q, want %q", q, got, want)
		}
	}
	best := crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(customer, "GET", "/v1/tickets?q=2&sort=relevance", nil).Want(200)).Items
	if len(best) != 2 || best[0].ID != tickets[1].ID {
		t.Errorf("the best match of 2 is %+v", best)
	}
	otherCustomer := d.User("customer")
	if got := d.find(otherCustomer, "#2"); len(got) != 0 {
		t.Errorf("another customer finds %v by number", got)
	}
}

func TestInternalCommentsAreSearchedOnlyForStaff(t *testing.T) {
	d := newTestEnv(t)
	customer, otherCustomer, engineer, admin := d.User("customer"), d.User("customer"), d.Engineer(), d.User("admin")
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", raised.Path("/comments"), crmtest.Object{"body": "fraudster suspected", "internal": true}).Want(201)
	d.Call(engineer, "POST", raised.Path("/comments"), crmtest.Object{"body": "toner ordered"}).Want(201)
	for _, sort := range []string{"", "&sort=relevance", "&sort=-priority"} {
		for _, c := range []struct {
			who   crmtest.User
			q     string
			found int
		}{
			{engineer, "fraud", 1}, {admin, "fraud", 1}, {customer, "fraud", 0}, {otherCustomer, "fraud", 0},
			{customer, "toner", 1}, {engineer, "toner", 1}, {otherCustomer, "toner", 0}, {customer, "smokes toner", 0},
		} {
			if got := d.find(c.who, c.q, sort); len(got) != c.found {
				t.Errorf("%s finds %v for %s%s", c.who.Role, got, c.q, sort)
			}
		}
	}
	for who, want := range map[crmtest.User]int{customer: 0, engineer: 1} {
		if got := crmtest.Parse[ticketCountsView](d.Call(who, "GET", "/v1/tickets/counts?q=fraud", nil).Want(200)).Total; got != want {
			t.Errorf("%s counts %d", who.Role, got)
		}
	}
}

func TestRelevanceRanksTitleBeforeDescriptionBeforeComment(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	comment := d.Raise(customer, "C", "Nothing")
	d.Raise(customer, "Toner low", "Order more")
	d.Raise(customer, "B", "The toner is low")
	d.Call(customer, "POST", comment.Path("/comments"), crmtest.Object{"body": "toner"}).Want(201)
	var got []string
	cursor := ""
	for {
		p := crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(customer, "GET", "/v1/tickets?q=toner&sort=relevance&limit=1"+cursor, nil).Want(200))
		for _, item := range p.Items {
			got = append(got, item.Title)
		}
		if p.NextCursor == "" {
			break
		}
		cursor = "&cursor=" + p.NextCursor
	}
	if want := []string{"Toner low", "B", "C"}; !slices.Equal(got, want) {
		t.Errorf("order %q", got)
	}
	d.Call(customer, "GET", "/v1/tickets?sort=relevance", nil).Refused(422, "validation_failed")
}

func TestSearchTakesAnyInput(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	d.Raise(customer, "Printer", "It smokes")
	for _, q := range []string{
		"'", "''", `\`, `\\`, `\'`, `'\`, `a\`, `a'`, "a:*", ":*", "a:", "a:b:c", "a&", "&", "|", "!", "()", "(", ")", "<->", "<2>", "a <-> b", "!!a", "a!", "a:ABCD*",
		"%", "_", "a%b", "🎉", "🎉🎉 a", "👩‍👩‍👧", "\u202e", "\u0301", "e\u0301", "½", "²", "٣", "Ⅷ", "ǅ", "ß", "<script>", "&amp;", "--", ";", "$1", "$$", "/*", "NaN", "null",
		strings.Repeat("a", 200), strings.Repeat("日", 200), strings.Repeat("a-", 100), strings.Repeat("' ", 100), strings.Repeat("ǆ", 200),
	} {
		for _, sort := range []string{"", "&sort=relevance"} {
			d.Call(customer, "GET", "/v1/tickets?q="+url.QueryEscape(q)+sort, nil).Want(200)
		}
		d.Call(customer, "GET", "/v1/tickets/counts?q="+url.QueryEscape(q), nil).Want(200)
	}
	for _, q := range []string{"%00", "a%00b", "%ff", "%ed%a0%80"} {
		d.Call(customer, "GET", "/v1/tickets?q="+q, nil).Refused(422, "validation_failed")
	}
	d.Call(customer, "GET", "/v1/tickets?q="+strings.Repeat("a", 201), nil).Refused(422, "validation_failed")
}

func FuzzPrefixesAreAlwaysATsquery(f *testing.F) {
	for _, q := range []string{"printer", "a-b c_d", "' \\ :* & | ! ( ) <->", "日本 über", "#42", "e\u0301 🎉", "1e5 -2 0x1f 1.2.3 12abc"} {
		f.Add(q)
	}
	d := newTestEnv(f)
	f.Fuzz(func(t *testing.T, q string) {
		if strings.ContainsRune(q, 0) || len(q) > 800 {
			return
		}
		words := text.Words(q)
		var found bool
		err := d.Pool.QueryRow(context.Background(), `select $1 = '' or to_tsvector('simple', $2) @@ to_tsquery('simple', $1)`, prefixes(q), words).Scan(&found)
		if err != nil {
			t.Errorf("%q becomes %q: %v", q, prefixes(q), err)
		}
	})
}
