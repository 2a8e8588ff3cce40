package reports

import (
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

type spreadBody struct {
	MedianSeconds *float64 `json:"median_seconds"`
	P90Seconds    *float64 `json:"p90_seconds"`
	Count         int
}

type figuresBody struct {
	Created, Accepted, Resolved, Reopened int
	TimeToAccept                          spreadBody `json:"time_to_accept"`
	TimeToResolve                         spreadBody `json:"time_to_resolve"`
}

type reportBody struct {
	From, To time.Time
	Days     []struct {
		Date string
		figuresBody
	}
	Engineers []struct {
		Engineer struct {
			ID   uuid.UUID
			Name string
		}
		figuresBody
	}
	Total figuresBody
}

func (d *testEnv) report(who crmtest.User, from, to string) crmtest.Response {
	d.Helper()
	q := url.Values{}
	for name, value := range map[string]string{"from": from, "to": to} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return d.Call(who, "GET", "/v1/reports/tickets?"+q.Encode(), nil)
}

func times(count int, median, p90 float64) spreadBody {
	if count == 0 {
		return spreadBody{}
	}
	return spreadBody{MedianSeconds: &median, P90Seconds: &p90, Count: count}
}

// addEvent writes an event; from and to are statuses, if any.
func (d *testEnv) addEvent(raised uuid.UUID, when, kind string, who crmtest.User, from, to ticket.Status) {
	d.Helper()
	changes := []byte("{}")
	if to != "" {
		var err error
		if changes, err = json.Marshal(crmtest.Object{"status": crmtest.Object{"from": from, "to": to}}); err != nil {
			d.Fatal(err)
		}
	}
	d.Exec(`insert into ticket_events (id, ticket_id, kind, actor_id, changes, created_at) values ($1, $2, $3, $4, $5, $6)`,
		uuid.Must(uuid.NewV7()), raised, kind, who.ID, changes, when)
}

// raisedAt makes a ticket with the event of its creation.
func (d *testEnv) raisedAt(when string, who crmtest.User) uuid.UUID {
	d.Helper()
	id := uuid.Must(uuid.NewV7())
	d.Exec(`insert into tickets (id, title, description, reporter_id, created_at, updated_at) values ($1, 'Printer', 'It smokes', $2, $3, $3)`,
		id, who.ID, when)
	d.addEvent(id, when, ticket.EventCreated, who, "", "")
	return id
}

// fixture makes four tickets with known figures.
func fixture(d *testEnv) (ada, bob, admin crmtest.User) {
	customer := d.User("customer")
	ada, bob, admin = d.User("engineer"), d.User("engineer"), d.User("admin")

	reopened := d.raisedAt("2026-03-01T10:00:00Z", customer)
	d.addEvent(reopened, "2026-03-01T10:10:00Z", ticket.EventAccepted, ada, ticket.Open, ticket.InProgress) // 600 s
	d.addEvent(reopened, "2026-03-01T10:20:00Z", ticket.EventStatusChanged, ada, ticket.InProgress, ticket.Blocked)
	d.addEvent(reopened, "2026-03-01T10:20:00Z", ticket.EventCommented, ada, "", "")
	d.addEvent(reopened, "2026-03-01T12:00:00Z", ticket.EventStatusChanged, ada, ticket.Blocked, ticket.Resolved) // 7,200 s
	d.addEvent(reopened, "2026-03-02T09:00:00Z", ticket.EventReopened, customer, ticket.Resolved, ticket.Open)    // ada's
	d.addEvent(reopened, "2026-03-02T09:30:00Z", ticket.EventAccepted, bob, ticket.Open, ticket.InProgress)       // not the first
	d.addEvent(reopened, "2026-03-02T10:00:00Z", ticket.EventStatusChanged, bob, ticket.InProgress, ticket.Resolved)
	d.addEvent(reopened, "2026-03-02T11:00:00Z", ticket.EventStatusChanged, customer, ticket.Resolved, ticket.Closed)

	overnight := d.raisedAt("2026-03-01T23:59:59Z", customer)
	d.addEvent(overnight, "2026-03-02T00:29:59Z", ticket.EventAccepted, ada, ticket.Open, ticket.InProgress)          // 1,800 s
	d.addEvent(overnight, "2026-03-03T00:00:00Z", ticket.EventStatusChanged, ada, ticket.InProgress, ticket.Resolved) // 86,401 s

	neverResolved := d.raisedAt("2026-03-03T08:00:00Z", ada)
	d.addEvent(neverResolved, "2026-03-03T08:01:00Z", ticket.EventStatusChanged, ada, ticket.Open, ticket.Closed)
	d.addEvent(neverResolved, "2026-03-03T08:02:00Z", ticket.EventReopened, admin, ticket.Closed, ticket.Open) // counts for no person

	old := d.raisedAt("2026-02-01T01:00:00Z", customer)
	d.addEvent(old, "2026-02-28T23:59:59Z", ticket.EventAccepted, bob, ticket.Open, ticket.InProgress)
	d.addEvent(old, "2026-03-03T01:00:00Z", ticket.EventStatusChanged, admin, ticket.InProgress, ticket.Resolved) // 30 days
	d.addEvent(old, "2026-03-03T02:00:00Z", ticket.EventStatusChanged, admin, ticket.Resolved, ticket.InProgress) // the admin's
	d.addEvent(old, "2026-03-03T03:00:00Z", ticket.EventStatusChanged, admin, ticket.InProgress, ticket.Resolved) // 3,600 s
	return ada, bob, admin
}

func TestReportCountsChangesByDayAndPerson(t *testing.T) {
	d := newTestEnv(t)
	ada, bob, admin := fixture(d)
	r := crmtest.Parse[reportBody](d.report(admin, "2026-03-01", "2026-03-04").Want(200))

	if !r.From.Equal(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) || !r.To.Equal(time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("from %s to %s", r.From, r.To)
	}
	none := times(0, 0, 0)
	days := map[string]figuresBody{
		"2026-03-01": {2, 1, 1, 0, times(1, 600, 600), times(1, 7200, 7200)},
		"2026-03-02": {0, 2, 1, 1, times(1, 1800, 1800), times(1, 3600, 3600)},
		"2026-03-03": {1, 0, 3, 2, none, times(3, 86401, 2090880.2)},
		"2026-03-04": {},
	}
	var dates []string
	for _, day := range r.Days {
		dates = append(dates, day.Date)
		wantFigures(t, day.Date, day.figuresBody, days[day.Date])
	}
	if want := []string{"2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"}; !slices.Equal(dates, want) {
		t.Errorf("days %v", dates)
	}
	people := map[uuid.UUID]figuresBody{
		ada.ID:   {1, 2, 2, 1, times(2, 1200, 1680), times(2, 46800.5, 78480.9)},
		bob.ID:   {0, 1, 1, 0, none, times(1, 3600, 3600)},
		admin.ID: {0, 0, 2, 1, none, times(2, 1297800, 2333160)},
	}
	if len(r.Engineers) != len(people) {
		t.Errorf("%d engineers: %+v", len(r.Engineers), r.Engineers)
	}
	for _, e := range r.Engineers {
		wantFigures(t, e.Engineer.Name, e.figuresBody, people[e.Engineer.ID])
	}
	wantFigures(t, "total", r.Total, figuresBody{3, 3, 5, 3, times(2, 1200, 1680), times(5, 7200, 1589760.4)})
}

func wantFigures(t *testing.T, what string, got, want figuresBody) {
	t.Helper()
	alike := func(a, b spreadBody) bool {
		return a.Count == b.Count && within(a.MedianSeconds, b.MedianSeconds) && within(a.P90Seconds, b.P90Seconds)
	}
	counts := func(f figuresBody) [4]int { return [4]int{f.Created, f.Accepted, f.Resolved, f.Reopened} }
	if counts(got) != counts(want) || !alike(got.TimeToAccept, want.TimeToAccept) || !alike(got.TimeToResolve, want.TimeToResolve) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s:\n%s, want\n%s", what, g, w)
	}
}

// within compares by the bound that the API promises.
func within(got, want *float64) bool {
	if got == nil || want == nil {
		return got == want
	}
	return math.Abs(*got-*want) <= 0.0005**want+0.001
}

func TestReportPeriodIncludesItsBeginningAndExcludesItsEnd(t *testing.T) {
	d := newTestEnv(t)
	_, bob, admin := fixture(d)
	r := crmtest.Parse[reportBody](d.report(admin, "2026-03-02T09:00:00Z", "2026-03-02T11:00:00+01:00").Want(200))
	if len(r.Days) != 1 || r.Total.Reopened != 1 || r.Total.Accepted != 1 || r.Total.Resolved != 0 {
		t.Errorf("%+v", r)
	}
	r = crmtest.Parse[reportBody](d.report(admin, "2026-03-02T09:00:00.000001Z", "2026-03-02T10:00:00.000001Z").Want(200))
	if r.Total.Reopened != 0 || r.Total.Resolved != 1 || len(r.Engineers) != 1 || r.Engineers[0].Engineer.ID != bob.ID {
		t.Errorf("%+v", r)
	}
	wantFigures(t, "since the reopening before the period", r.Total, figuresBody{0, 1, 1, 0, times(0, 0, 0), times(1, 3600, 3600)})
}

func TestReportWithoutAPeriodCoversTheLastThirtyDays(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", raised.Path("/accept"), nil).Want(200)
	d.Patch(engineer, raised, crmtest.Object{"status": "resolved", "resolution": "Water"}).Want(200)
	d.Patch(customer, raised, crmtest.Object{"status": "open"}).Want(200)
	r := crmtest.Parse[reportBody](d.report(admin, "", "").Want(200))
	if len(r.Days) != 30 || r.Days[29].Date != d.Now().UTC().Format(time.DateOnly) {
		t.Errorf("%d days, the last %s", len(r.Days), r.Days[len(r.Days)-1].Date)
	}
	today := r.Days[29].figuresBody
	if today.Created != 1 || today.Accepted != 1 || today.Resolved != 1 || today.Reopened != 1 || today.TimeToAccept.Count != 1 || today.TimeToResolve.Count != 1 {
		t.Errorf("today %+v", today)
	}
	if len(r.Engineers) != 1 || r.Engineers[0].Engineer.ID != engineer.ID || r.Engineers[0].Reopened != 1 {
		t.Errorf("engineers %+v", r.Engineers)
	}
	d.report(customer, "", "").Refused(403, errs.CodeForbidden)
	d.report(engineer, "", "").Refused(403, errs.CodeForbidden)
}

func TestReportPeriodIsValidatedAndNotEchoed(t *testing.T) {
	d := newTestEnv(t)
	admin := d.User("admin")
	for _, tc := range []struct {
		from, to string
		days     int // 0 is refused
	}{
		{"2024-01-01", "2024-12-31", 366},
		{"2024-01-01", "2025-01-01", 0},
		{"2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", 366},
		{"2026-03-01", "2026-03-01", 1},
		{"2026-03-01T10:00:00Z", "2026-03-01", 1},
		{"2026-03-02", "2026-03-01", 0},
		{"2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z", 0},
		{"", "2026-03-31", 30},
		{"", "2026-03-31T00:00:00Z", 30},
		{"", "9998-12-31", 30},
		{"", "9999-12-31", 0},
		{"", "1970-01-01", 30},
		{"", "1969-12-31", 0},
		{"9998-12-31", "", 0},
		{"0001-01-01", "9999-12-31", 0},
		{"0001-01-01", "", 0},
		{"2026-02-30", "", 0},
		{"2026-3-1", "", 0},
		{"2026-03-01 10:00:00Z", "", 0},
		{"2026-03-01T10:00:00", "", 0},
		{"yesterday", "tomorrow", 0},
		{"1772359200", "", 0},
		{"2026-03-01'; drop table users; --", "", 0},
	} {
		answer := d.report(admin, tc.from, tc.to)
		if tc.days == 0 {
			if p := answer.Refused(422, errs.CodeValidationFailed); len(p.Errors) == 0 {
				t.Errorf("%q to %q: %+v", tc.from, tc.to, p)
			}
			continue
		}
		if r := crmtest.Parse[reportBody](answer.Want(200)); len(r.Days) != tc.days {
			t.Errorf("%q to %q: %d days", tc.from, tc.to, len(r.Days))
		}
	}
}
