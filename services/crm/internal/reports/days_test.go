package reports

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// storeDays stores all days that are over.
func (d *testEnv) storeDays() (days int) {
	d.Helper()
	for {
		again, err := d.service.storeDay(context.Background())
		if err != nil {
			d.Fatal(err)
		}
		if !again {
			return days
		}
		days++
	}
}

// periods are of whole days, of parts of days, and of days that aren't stored.
var periods = [][2]string{
	{"2026-03-01", "2026-03-04"},
	{"2026-01-01", "2026-06-30"},
	{"2026-02-28", "2026-03-02"},
	{"2026-03-01T10:00:00Z", "2026-03-03T01:00:00.000001Z"},
	{"2026-03-02T09:00:00Z", "2026-03-02T10:00:00.000001Z"},
	{"2026-03-02T09:00:00Z", "2026-03-03T00:00:00Z"},
	{"", ""},
}

func TestReportFromStoredDaysEqualsTheOneFromEvents(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	_, _, admin := fixture(d)
	customer, engineer := d.User("customer"), d.Engineer()
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", raised.Path("/accept"), nil).Want(200)
	end := d.Now().UTC().Format(time.RFC3339Nano)
	answers := func() (bodies []string) {
		for _, p := range periods {
			to := p[1]
			if to == "" {
				to = end
			}
			bodies = append(bodies, string(d.report(admin, p[0], to).Want(200).Body))
		}
		return bodies
	}

	before := answers()
	d.storeDays()
	d.Exec(`delete from ticket_report_days where day in ('2026-03-02', '2026-04-04')`)
	mixed := answers()
	if !slices.Equal(before, mixed) {
		t.Errorf("with some days stored:\n%s\nbefore\n%s", mixed, before)
	}
	if n := d.storeDays(); n != 2 {
		t.Errorf("%d days stored", n)
	}
	if after := answers(); !slices.Equal(before, after) {
		t.Errorf("with all days stored:\n%s\nbefore\n%s", after, before)
	}

	// Events of stored days aren't read at all.
	d.Exec(`delete from ticket_events where created_at < '2026-03-05'`)
	whole := []string{string(d.report(admin, periods[0][0], periods[0][1]).Want(200).Body), string(d.report(admin, periods[1][0], periods[1][1]).Want(200).Body)}
	if !slices.Equal(whole, before[:2]) {
		t.Errorf("without the events of stored days:\n%s\nbefore\n%s", whole, before[:2])
	}

	// The control: what is stored is what is answered.
	d.Exec(`update ticket_report_days set created = created + 1 where day = '2026-03-02' and person_id is null`)
	changed := crmtest.Parse[reportBody](d.report(admin, "2026-03-01", "2026-03-04").Want(200))
	if changed.Days[1].Created != 1 || changed.Total.Created != 4 {
		t.Errorf("a changed day isn't seen: %+v", changed)
	}
}

func TestReportFromStoredHoursEqualsTheOneFromEvents(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	_, _, admin := fixture(d)
	clock := time.Date(2026, 3, 2, 13, 59, 0, 0, time.UTC)
	d.service.now = func() time.Time { return clock }
	answers := func() (bodies []string) {
		for _, p := range periods[:len(periods)-1] {
			bodies = append(bodies, string(d.report(admin, p[0], p[1]).Want(200).Body))
		}
		return bodies
	}
	store := func() (stored int) {
		t.Helper()
		for {
			again, err := d.service.store(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if !again {
				return stored
			}
			stored++
		}
	}
	hours := func() int { return crmtest.Get[int](d.Env, `select count(distinct hour) from ticket_report_hours`) }

	before := answers()
	days := store() - hours()
	if n := hours(); n != 12 || days < 28 {
		t.Errorf("%d hours and %d days are stored within the margin", n, days)
	}
	if after := answers(); !slices.Equal(before, after) {
		t.Errorf("with stored hours:\n%s\nbefore\n%s", after, before)
	}
	d.Exec(`delete from ticket_report_hours where hour = '2026-03-02T09:00:00Z'`)
	if mixed := answers(); !slices.Equal(before, mixed) {
		t.Errorf("with some hours stored:\n%s\nbefore\n%s", mixed, before)
	}
	if n := store(); n != 1 {
		t.Errorf("%d hours stored again", n)
	}
	// The control: what is stored is what is answered.
	d.Exec(`update ticket_report_hours set created = created + 1 where hour = '2026-03-02T11:00:00Z' and person_id is null`)
	changed := crmtest.Parse[reportBody](d.report(admin, "2026-03-02", "2026-03-02").Want(200))
	if want := crmtest.Parse[reportBody](d.report(admin, "2026-03-02T00:00:00Z", "2026-03-02T11:59:00Z").Want(200)); changed.Total.Created != want.Total.Created+1 {
		t.Errorf("a changed hour isn't seen: %+v, %+v", changed.Total, want.Total)
	}
	// When the day is stored, its hours are read no more, and deleted.
	clock = time.Date(2026, 3, 3, 1, 30, 0, 0, time.UTC)
	store()
	if after := answers(); !slices.Equal(before, after) || hours() != 0 {
		t.Errorf("%d hours; after the day was stored:\n%s\nbefore\n%s", hours(), after, before)
	}
}

func TestADayIsStoredOnceAndNotBeforeItIsOver(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	fixture(d)
	clock := time.Date(2026, 3, 3, 0, 59, 0, 0, time.UTC)
	d.service.now = func() time.Time { return clock }
	days := func() []string {
		return crmtest.List[string](d.Env, `select day::text from ticket_report_days where person_id is null order by day desc`)
	}
	if n, got := d.storeDays(), days(); n != 29 || len(got) != 29 || got[0] != "2026-03-01" || got[28] != "2026-02-01" {
		t.Errorf("%d days within the margin: %v", n, got)
	}
	clock = clock.Add(time.Minute)
	if n, got := d.storeDays(), days(); n != 1 || got[0] != "2026-03-02" {
		t.Errorf("%d days after the margin: %v", n, got)
	}
	if n := d.storeDays(); n != 0 {
		t.Errorf("%d days stored again", n)
	}
	// Two replicas at the same time: the second stores nothing.
	if err := crmdb.New(d.Pool).ReportDayStore(context.Background(), columns("2026-03-02", nil)); err == nil {
		t.Error("a day was stored twice")
	}
}

func TestWithoutTicketsNoDayIsStored(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	if n := d.storeDays(); n != 0 {
		t.Errorf("%d days", n)
	}
}

func TestWhatACustomerRaisedCountsForTheDayAlone(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	d.raisedAt("2026-03-01T10:00:00Z", customer)
	own := d.raisedAt("2026-03-01T11:00:00Z", admin)
	d.addEvent(own, "2026-03-01T11:00:01Z", ticket.EventAccepted, admin, ticket.Open, ticket.InProgress)
	d.storeDays()
	d.Exec(`update users set role = 'engineer' where id = $1`, customer.ID)
	r := crmtest.Parse[reportBody](d.report(admin, "2026-03-01", "2026-03-01").Want(200))
	if r.Total.Created != 2 || len(r.Engineers) != 1 || r.Engineers[0].Engineer.ID != admin.ID || r.Engineers[0].Created != 1 {
		t.Errorf("%+v", r)
	}
}

// exact is percentile_cont.
func exact(sorted []float64, p float64) float64 {
	rank := p * float64(len(sorted)-1)
	low, high := sorted[int(math.Floor(rank))], sorted[int(math.Ceil(rank))]
	return low + (high-low)*(rank-math.Floor(rank))
}

func TestPercentilesKeepTheirErrorBound(t *testing.T) {
	t.Parallel()
	var h histogram
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		values := make([]float64, 1+random.IntN(30))
		var parts []*durations
		for i := range values {
			values[i] = math.Floor(math.Pow(10, 10*random.Float64())*1e3) / 1e6 // a millisecond to hours
			bucket := uint16(math.RoundToEven(1000 * math.Log1p(values[i])))
			parts = append(parts, &durations{toAccept: []byte{byte(bucket >> 8), byte(bucket)}})
		}
		got := h.spreadOf(parts, (*durations).accept, nil)
		slices.Sort(values)
		median, p90 := exact(values, 0.5), exact(values, 0.9)
		if got.Count != len(values) || !within(&got.Median, &median) || !within(&got.P90, &p90) {
			t.Fatalf("%v: %+v, want median %v and 90th percentile %v", values, got, median, p90)
		}
	}
	if got := h.spreadOf(nil, (*durations).accept, nil); got.Count != 0 {
		t.Errorf("nothing measured: %+v", got)
	}
}
