package ticket

import (
	"strings"
	"testing"

	"fixdesk/services/crm/internal/crmtest"
)

// FuzzCreate sends any body for a new ticket: the answer is a ticket or a refusal,
// never a failure.
func FuzzCreate(f *testing.F) {
	for _, body := range []string{
		`{"title":"Printer","description":"It smokes"}`, `{"title":"Printer","description":"It smokes","priority":"urgent"}`,
		`{"title":"","description":""}`, `{"title":"\u0000","description":"x"}`, `{"title":"\ud800","description":"x"}`, `{"title":"a","title":"b","description":"x"}`,
		`{"title":1e400,"description":{}}`, `[]`, `null`, `{`, "", "\xff", `{"title":"🎉","description":"\u202e` + strings.Repeat("a-", 2000) + `"}`,
		`{"title":"x","description":"` + strings.Repeat("w", 3000) + `"}`, strings.Repeat(`{"a":`, 5000), `{"title":"x","description":"x"} {}`, `{"Title":"x","description":"x"}`,
		`{"title":"'\\ <b> & \u2028","description":"\t\r\n"}`,
	} {
		f.Add(body)
	}
	d := newTestEnv(f)
	customer := d.User("customer")
	d.Engineer()
	f.Fuzz(func(t *testing.T, body string) {
		d.TB = t
		answer := d.Call(customer, "POST", "/v1/tickets", body)
		if answer.Code >= 500 || answer.Code < 200 {
			t.Errorf("%d for %q: %s", answer.Code, body, answer.Body)
		}
		if answer.Code != 201 {
			return
		}
		ticket := crmtest.Parse[crmtest.Ticket](answer)
		if read := d.Read(customer, ticket); read.Title != ticket.Title || read.Description != ticket.Description {
			t.Errorf("raised %+v, read %+v", ticket, read)
		}
	})
}
