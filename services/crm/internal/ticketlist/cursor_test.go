package ticketlist

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

func TestCursorIsBoundToItsListAndItsReader(t *testing.T) {
	a := newArchive(t, 12)
	first := func(who crmtest.User, query string) string {
		return crmtest.Parse[crmtest.Page[crmtest.Ticket]](a.Call(who, "GET", "/v1/tickets?limit=2&"+query, nil).Want(200)).NextCursor
	}
	cursor := first(a.admin, "status=open&sort=updated_at")
	a.Call(a.admin, "GET", "/v1/tickets?limit=5&status=open&sort=updated_at&cursor="+cursor, nil).Want(200)
	for _, other := range []string{"sort=updated_at", "status=open", "status=open&sort=-updated_at", "status=closed&sort=updated_at", "status=open&sort=updated_at&q=x"} {
		a.Call(a.admin, "GET", "/v1/tickets?"+other+"&cursor="+cursor, nil).Refused(400, "invalid_cursor")
	}
	for _, who := range []crmtest.User{a.customers[0], a.engineers[0]} {
		a.Call(who, "GET", "/v1/tickets?status=open&sort=updated_at&cursor="+cursor, nil).Refused(400, "invalid_cursor")
	}
	raised := a.tickets[0]
	for range 3 {
		a.Call(a.admin, "POST", raised.Path("/comments"), crmtest.Object{"body": "x"}).Want(201)
	}
	comments := crmtest.Parse[crmtest.Page[struct{}]](a.Call(a.admin, "GET", raised.Path("/comments?limit=1"), nil).Want(200)).NextCursor
	a.Call(a.admin, "GET", a.tickets[1].Path("/comments?cursor="+comments), nil).Refused(400, "invalid_cursor")
	a.Call(a.admin, "GET", raised.Path("/events?cursor="+comments), nil).Refused(400, "invalid_cursor")
}

func TestForgedCursorIsRefusedBeforeTheDatabase(t *testing.T) {
	d := newTestEnv(t)
	admin := d.User("admin")
	raised := d.Raise(admin, "Printer", "It smokes")
	scope := func(sort, q string) any {
		return OrderParams{FilterParams: FilterParams{Q: q}, Sort: ticketSort(sort)}.scope(ticket.Viewer(admin))
	}
	for _, list := range []struct{ sort, q string }{{"-created_at", ""}, {"-updated_at", ""}, {"priority", ""}, {"relevance", "printer"}, {"relevance", "1"}, {"relevance", "#1"}} {
		for _, value := range []string{
			"", "x", "null", `"1"`, " 1", "1e5", "NaN", "Infinity", "-1", "0x1p-2", "1.1.1", ".", "'", "urgent'", "URGENT", "infinity", "now", "epoch", "2026-01-01", "2026-01-01T00:00:00", "-2026-01-01T00:00:00Z", "294277-01-01T00:00:00Z", strings.Repeat("9", 400), "\u0000",
		} {
			cursor, err := httpapi.EncodeCursor(Mark{Value: value, ID: raised.ID}, scope(list.sort, list.q))
			if err != nil {
				t.Fatal(err)
			}
			a := d.Call(admin, "GET", "/v1/tickets?sort="+list.sort+"&q="+url.QueryEscape(list.q)+"&cursor="+cursor, nil)
			if a.Code != 422 || len(cursor) <= 1024 { // longer ones are refused by their length
				a.Refused(400, "invalid_cursor")
			}
		}
	}
	good := first(d, admin)
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	for _, forged := range []string{
		"x", "%00", good + "A", good[:len(good)-2], "=" + good, good + "%0A", base64.RawURLEncoding.EncodeToString(raw[:8]), base64.RawURLEncoding.EncodeToString(append(raw, ' ')),
		base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), `{"v":1,"id":2}`...)), base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), `{}`...)), base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), `null`...)),
	} {
		if a := d.Call(admin, "GET", "/v1/tickets?limit=1&cursor="+forged, nil); a.Code != 400 && a.Code != 422 {
			t.Errorf("%q: %d", forged, a.Code)
		}
	}
}

// first returns a cursor of the unfiltered list.
func first(d *testEnv, who crmtest.User) string {
	d.Helper()
	d.Raise(who, "Another", "x")
	return crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(who, "GET", "/v1/tickets?limit=1", nil).Want(200)).NextCursor
}
