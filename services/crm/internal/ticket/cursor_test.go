package ticket

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fixdesk/pkg/httpapi"
)

func TestACursorBelongsToItsListAndItsReader(t *testing.T) {
	a := newArchive(t, 12)
	first := func(who somebody, query string) string {
		return parse[page[ticketBody]](a.call(who, "GET", "/v1/tickets?limit=2&"+query, nil).want(200)).NextCursor
	}
	cursor := first(a.admin, "status=open&sort=updated_at")
	a.call(a.admin, "GET", "/v1/tickets?limit=5&status=open&sort=updated_at&cursor="+cursor, nil).want(200)
	for _, other := range []string{"sort=updated_at", "status=open", "status=open&sort=-updated_at", "status=closed&sort=updated_at", "status=open&sort=updated_at&q=x"} {
		a.call(a.admin, "GET", "/v1/tickets?"+other+"&cursor="+cursor, nil).refused(400, "invalid_cursor")
	}
	for _, who := range []somebody{a.customers[0], a.engineers[0]} {
		a.call(who, "GET", "/v1/tickets?status=open&sort=updated_at&cursor="+cursor, nil).refused(400, "invalid_cursor")
	}
	ticket := a.tickets[0]
	for range 3 {
		a.call(a.admin, "POST", ticket.path("/comments"), object{"body": "x"}).want(201)
	}
	comments := parse[page[commentView]](a.call(a.admin, "GET", ticket.path("/comments?limit=1"), nil).want(200)).NextCursor
	a.call(a.admin, "GET", a.tickets[1].path("/comments?cursor="+comments), nil).refused(400, "invalid_cursor")
	a.call(a.admin, "GET", ticket.path("/events?cursor="+comments), nil).refused(400, "invalid_cursor")
}

func TestAForgedCursorIsRefusedAndNeverReachesTheDatabase(t *testing.T) {
	d := newDesk(t)
	admin := d.user("admin")
	ticket := d.raise(admin, "Printer", "It smokes")
	scope := func(sort, q string) any {
		return listInput{FilterParams: FilterParams{Q: q}, Sort: sort}.scope(admin.viewer())
	}
	for _, list := range []struct{ sort, q string }{{"-created_at", ""}, {"-updated_at", ""}, {"priority", ""}, {"relevance", "printer"}, {"relevance", "1"}, {"relevance", "#1"}} {
		for _, value := range []string{
			"", "x", "null", `"1"`, " 1", "1e5", "NaN", "Infinity", "-1", "0x1p-2", "1.1.1", ".", "'", "urgent'", "URGENT", "infinity", "now", "epoch", "2026-01-01", "2026-01-01T00:00:00", "-2026-01-01T00:00:00Z", "294277-01-01T00:00:00Z", strings.Repeat("9", 400), "\u0000",
		} {
			cursor, err := httpapi.EncodeCursor(Mark{Value: value, ID: ticket.ID}, scope(list.sort, list.q))
			if err != nil {
				t.Fatal(err)
			}
			a := d.call(admin, "GET", "/v1/tickets?sort="+list.sort+"&q="+url.QueryEscape(list.q)+"&cursor="+cursor, nil)
			if a.Code != 422 || len(cursor) <= 1024 { // longer ones are refused by their length
				a.refused(400, "invalid_cursor")
			}
		}
	}
	good := first(d, admin)
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	for _, forged := range []string{
		"x", "%00", good + "A", good[:len(good)-2], "=" + good, good + "%0A", base64.RawURLEncoding.EncodeToString(raw[:8]), base64.RawURLEncoding.EncodeToString(append(raw, ' ')),
		base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), `{"v":1,"id":2}`...)), base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), `{}`...)), base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), `null`...)),
	} {
		if a := d.call(admin, "GET", "/v1/tickets?limit=1&cursor="+forged, nil); a.Code != 400 && a.Code != 422 {
			t.Errorf("%q: %d", forged, a.Code)
		}
	}
}

// first gives a cursor of the plain list.
func first(d *desk, who somebody) string {
	d.Helper()
	d.raise(who, "Another", "x")
	return parse[page[ticketBody]](d.call(who, "GET", "/v1/tickets?limit=1", nil).want(200)).NextCursor
}
