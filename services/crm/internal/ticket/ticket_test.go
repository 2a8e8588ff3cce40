package ticket

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The contract's list of who may take a ticket to another status.
var (
	reporterSteps = []string{
		"open>closed", "in_progress>closed", "blocked>closed", "resolved>closed",
		"resolved>open", "closed>open",
	}
	assigneeSteps = []string{
		"open>in_progress", "in_progress>blocked", "blocked>in_progress",
		"in_progress>resolved", "blocked>resolved", "resolved>in_progress",
	}
)

var (
	me      = Viewer{ID: uuid.MustParse("00000000-0000-7000-8000-000000000001"), Name: "Me"}
	another = Person{ID: uuid.MustParse("00000000-0000-7000-8000-000000000002"), Name: "Another"}
	moment  = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
)

// situation is a viewer's role and relations to a ticket, and its status.
type situation struct {
	role               string
	reporter, assignee bool
	from               Status
}

func (s situation) String() string {
	return fmt.Sprintf("%s reporter=%v assignee=%v %s", s.role, s.reporter, s.assignee, s.from)
}

func (s situation) viewer() Viewer { v := me; v.Role = s.role; return v }

func (s situation) ticket() Ticket {
	t := Ticket{Status: s.from, Priority: Normal, Title: "Printer", Description: "It smokes", Reporter: another, Assignee: &Person{ID: another.ID}, Version: 7}
	if s.reporter {
		t.Reporter = Person{ID: me.ID}
	}
	if s.assignee {
		t.Assignee = &Person{ID: me.ID}
	}
	if s.from != Open {
		t.AcceptedAt = &moment
	}
	if s.from == Resolved || s.from == Closed {
		text := "A new drum"
		t.ResolvedAt, t.Resolution = &moment, &text
	}
	if s.from == Closed {
		t.ClosedAt = &moment
	}
	return t
}

// works reports whether the viewer is the assignee and an engineer.
func (s situation) works() bool { return s.assignee && s.role == "engineer" }

func (s situation) may(to Status) bool {
	step := string(s.from) + ">" + string(to)
	byReporter, byAssignee := slices.Contains(reporterSteps, step), slices.Contains(assigneeSteps, step)
	return byReporter && s.reporter || byAssignee && s.works() || (byReporter || byAssignee) && s.role == "admin"
}

func eachSituation(do func(situation)) {
	for _, role := range []string{"customer", "engineer", "admin"} {
		for _, reporter := range []bool{false, true} {
			for _, assignee := range []bool{false, true} {
				for _, from := range Statuses {
					do(situation{role, reporter, assignee, from})
				}
			}
		}
	}
}

func TestEachPartyTakesExactlyTheStepsOfTheContract(t *testing.T) {
	allowed, refused := 0, 0
	eachSituation(func(s situation) {
		ticket, p := s.ticket(), partyOf(s.viewer(), s.ticket())
		var want []Status
		for _, to := range Statuses {
			if s.may(to) {
				want = append(want, to)
			}
			edit := Edit{Status: &to}
			if fix := "Fixed"; to == Resolved && (s.works() || s.role == "admin") {
				edit.Resolution = &fix
			}
			expect := NoSuchStep
			if s.may(to) {
				expect, allowed = Allowed, allowed+1
			} else {
				refused++
			}
			if to == s.from { // no step
				expect = Allowed
			}
			if !s.reporter && !s.works() && s.role != "admin" {
				expect = NotYours
			}
			if got := edit.check(ticket, p); got != expect {
				t.Errorf("%s > %s: refusal %d, want %d", s, to, got, expect)
			}
		}
		if got := possible(s.from, p); !slices.Equal(got, want) {
			t.Errorf("%s: possible %v, want %v", s, got, want)
		}
		words := stepsInWords(s.from, want)
		for _, to := range want {
			if !strings.Contains(words, string(to)) {
				t.Errorf("%q doesn't name %s", words, to)
			}
		}
	})
	if allowed != 84 || refused != 216 {
		t.Errorf("the table has %d allowed and %d refused steps", allowed, refused)
	}
}

func TestTicketIsVisibleOnlyToStaffItsReporterAndFollowers(t *testing.T) {
	eachSituation(func(s situation) {
		want := s.role != "customer" || s.reporter
		v := s.viewer()
		if got := v.CanSee(s.ticket(), false); got != want {
			t.Errorf("%s: sees it %v", s, got)
		}
		if !v.CanSee(s.ticket(), true) {
			t.Errorf("%s: a follower doesn't see it", s)
		}
		v.Unverified = true
		if got := v.CanSee(s.ticket(), true); got != want {
			t.Errorf("%s: with an address that is not verified, a follower sees it %v", s, got)
		}
	})
}

func TestFieldsThatReportersAndWorkersMayEditInEachStatus(t *testing.T) {
	title, description, priority := "New", "New", High
	eachSituation(func(s situation) {
		ticket, p := s.ticket(), partyOf(s.viewer(), s.ticket())
		worker := s.works() || s.role == "admin"
		text, urgency := Allowed, Allowed
		switch {
		case worker:
		case !s.reporter:
			text, urgency = NotYours, NotYours
		default:
			if s.from != Open {
				urgency = FieldNotYours
			}
			if s.from == Resolved || s.from == Closed {
				text = NotActive
			}
		}
		for edit, want := range map[Edit]Refusal{
			{Title: &title}: text, {Description: &description}: text, {Title: &title, Description: &description}: text,
			{Priority: &priority}: urgency, {Title: &title, Priority: &priority}: urgency,
		} {
			if got := edit.check(ticket, p); got != want {
				t.Errorf("%s, %+v: %d, want %d", s, edit, got, want)
			}
		}
	})
}

func TestResolutionIsSetOnlyWhenResolving(t *testing.T) {
	fix, resolved, closed, inProgress := "Fixed", Resolved, Closed, InProgress
	for _, c := range []struct {
		from Status
		edit Edit
		want Refusal
	}{
		{InProgress, Edit{Status: &resolved}, NeedsResolution},
		{InProgress, Edit{Status: &resolved, Resolution: &fix}, Allowed},
		{Blocked, Edit{Status: &resolved, Resolution: &fix}, Allowed},
		{Open, Edit{Status: &resolved, Resolution: &fix}, NoSuchStep},
		{Open, Edit{Resolution: &fix}, NoResolutionNow},
		{InProgress, Edit{Resolution: &fix}, NoResolutionNow},
		{InProgress, Edit{Status: &closed, Resolution: &fix}, NoResolutionNow},
		{Resolved, Edit{Resolution: &fix}, Allowed},
		{Resolved, Edit{Status: &closed, Resolution: &fix}, Allowed},
		{Resolved, Edit{Status: &inProgress, Resolution: &fix}, NoResolutionNow},
		{Closed, Edit{Resolution: &fix}, Allowed},
	} {
		s := situation{role: "admin", from: c.from}
		if got := c.edit.check(s.ticket(), partyOf(s.viewer(), s.ticket())); got != c.want {
			t.Errorf("%s, %+v: %d, want %d", c.from, c.edit, got, c.want)
		}
	}
	reporter := situation{role: "customer", reporter: true, from: Resolved}
	if got := (Edit{Resolution: &fix}).check(reporter.ticket(), AsReporter); got != FieldNotYours {
		t.Errorf("the reporter's own resolution: %d", got)
	}
	never := Ticket{Status: Closed}
	if got := (Edit{Resolution: &fix}).check(never, AsAdmin); got != NoResolutionNow {
		t.Errorf("a resolution of what was closed unresolved: %d", got)
	}
}

func TestBlockedReasonIsSetOnlyWhileBlocked(t *testing.T) {
	blocked, inProgress, reason, customer := Blocked, InProgress, "No part", WaitsForCustomer
	for _, c := range []struct {
		from Status
		edit Edit
		want Refusal
	}{
		{InProgress, Edit{Status: &blocked}, Allowed},
		{InProgress, Edit{Status: &blocked, BlockedReason: &reason, WaitingFor: &customer}, Allowed},
		{InProgress, Edit{BlockedReason: &reason}, NotBlocked},
		{InProgress, Edit{WaitingFor: &customer}, NotBlocked},
		{Blocked, Edit{WaitingFor: &customer}, Allowed},
		{Blocked, Edit{Status: &inProgress, BlockedReason: &reason}, NotBlocked},
	} {
		s := situation{role: "admin", from: c.from}
		if got := c.edit.check(s.ticket(), partyOf(s.viewer(), s.ticket())); got != c.want {
			t.Errorf("%s, %+v: %d, want %d", c.from, c.edit, got, c.want)
		}
	}
	if got := (Edit{Status: &blocked, BlockedReason: &reason}).check(situation{role: "customer", reporter: true, from: Blocked}.ticket(), AsReporter); got != FieldNotYours {
		t.Errorf("the reporter's own reason: %d", got)
	}
	got := Edit{Status: &blocked}.apply(Ticket{Status: InProgress}, moment)
	if got.WaitingFor == nil || *got.WaitingFor != WaitsForOther {
		t.Errorf("waits for %v by default", got.WaitingFor)
	}
	got = Edit{Status: &inProgress}.apply(Ticket{Status: Blocked, BlockedReason: &reason, WaitingFor: &customer}, moment)
	if got.WaitingFor != nil || got.BlockedReason != nil {
		t.Errorf("in progress again, it is %+v", got)
	}
}

func TestStatusAfterACommentOfTheReporter(t *testing.T) {
	customer, other, within := WaitsForCustomer, WaitsForOther, 14*24*time.Hour
	closedAt := func(ago time.Duration) *time.Time { at := moment.Add(-ago); return &at }
	for _, c := range []struct {
		what    string
		ticket  Ticket
		to      Status
		refusal Refusal
	}{
		{"open", Ticket{Status: Open}, Open, Allowed},
		{"in progress", Ticket{Status: InProgress}, InProgress, Allowed},
		{"waiting for the customer", Ticket{Status: Blocked, WaitingFor: &customer}, InProgress, Allowed},
		{"waiting for others", Ticket{Status: Blocked, WaitingFor: &other}, Blocked, Allowed},
		{"resolved", Ticket{Status: Resolved}, Open, Allowed},
		{"closed lately", Ticket{Status: Closed, ClosedAt: closedAt(within)}, Open, Allowed},
		{"closed long ago", Ticket{Status: Closed, ClosedAt: closedAt(within + time.Second)}, Closed, ClosedTooLong},
	} {
		if to, refusal := c.ticket.afterCommentOfReporter(moment, within); to != c.to || refusal != c.refusal {
			t.Errorf("%s: %s and %d, want %s and %d", c.what, to, refusal, c.to, c.refusal)
		}
	}
}

func TestUnassignedTicketCantBeInProgress(t *testing.T) {
	s := situation{role: "admin", from: Open}
	ticket, to := s.ticket(), InProgress
	ticket.Assignee = nil
	if got := (Edit{Status: &to}).check(ticket, AsAdmin); got != NeedsAssignee {
		t.Errorf("got %d", got)
	}
}

func TestAcceptAndDeclineForEachStatusAndOwner(t *testing.T) {
	for _, from := range Statuses {
		for owner, assignee := range map[string]*Person{"me": {ID: me.ID}, "another": {ID: another.ID}, "nobody": nil} {
			ticket := Ticket{Status: from, Assignee: assignee}
			accept, decline := NoSuchStep, NotYours
			switch {
			case from == InProgress || from == Blocked:
				accept = Accepted
			case from == Open && owner == "another":
				accept = NotYours
			case from == Open:
				accept = Allowed
			}
			if owner == "me" {
				decline = NoSuchStep
				if from == Open || from == InProgress || from == Blocked {
					decline = Allowed
				}
			}
			if got := ticket.checkAccept(me.ID); got != accept {
				t.Errorf("accept %s of %s: %d, want %d", from, owner, got, accept)
			}
			if got := ticket.checkDecline(me.ID); got != decline {
				t.Errorf("decline %s of %s: %d, want %d", from, owner, got, decline)
			}
		}
	}
}

func TestApplySetsTheTimesOfEachStep(t *testing.T) {
	later := moment.Add(time.Hour)
	fix := "Fixed"
	set := func(at *time.Time) string {
		switch {
		case at == nil:
			return "none"
		case at.Equal(later):
			return "now"
		}
		return "before"
	}
	for step, want := range map[string]string{ // accepted, resolved, closed, resolution
		"open>in_progress": "now none none none", "open>closed": "none none now none",
		"in_progress>blocked": "before none none none", "in_progress>resolved": "before now none Fixed", "in_progress>closed": "before none now none",
		"blocked>in_progress": "before none none none", "blocked>resolved": "before now none Fixed", "blocked>closed": "before none now none",
		"resolved>in_progress": "before none none none", "resolved>closed": "before before now A new drum", "resolved>open": "before none none none",
		"closed>open": "before none none none",
	} {
		from, to, _ := strings.Cut(step, ">")
		status := Status(to)
		edit := Edit{Status: &status}
		if status == Resolved {
			edit.Resolution = &fix
		}
		before := situation{role: "admin", from: Status(from)}.ticket()
		after := edit.apply(before, later)
		resolution := "none"
		if after.Resolution != nil {
			resolution = *after.Resolution
		}
		got := strings.Join([]string{set(after.AcceptedAt), set(after.ResolvedAt), set(after.ClosedAt), resolution}, " ")
		if got != want || after.Status != status {
			t.Errorf("%s: %s, want %s", step, got, want)
		}
		if after.Version != before.Version+1 || !after.UpdatedAt.Equal(later) {
			t.Errorf("%s: version %d at %s", step, after.Version, after.UpdatedAt)
		}
	}
}

func TestEditThatChangesNothingKeepsTheVersion(t *testing.T) {
	before := situation{role: "admin", from: Open}.ticket()
	title, priority := before.Title, before.Priority
	for _, e := range []Edit{{}, {Title: &title}, {Title: &title, Priority: &priority}} {
		if after := e.apply(before, moment.Add(time.Hour)); after.Version != before.Version || after.UpdatedAt != before.UpdatedAt {
			t.Errorf("%+v: version %d", e, after.Version)
		}
	}
}

func TestDiffListsChangedFieldsInOrder(t *testing.T) {
	before := situation{role: "admin", from: Resolved}.ticket()
	after := before
	after.Status, after.Title, after.Description, after.Priority, after.Resolution = Open, "A", "B", Urgent, nil
	var got []string
	for _, c := range diff(before, after) {
		got = append(got, c.Field+" "+deref(c.From)+">"+deref(c.To))
	}
	want := []string{"status resolved>open", "title Printer>A", "description It smokes>B", "priority normal>urgent", "resolution A new drum>"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if same := diff(before, before); len(same) != 0 {
		t.Errorf("a ticket differs from itself: %v", same)
	}
}

func TestEventKindFollowsTheChange(t *testing.T) {
	for step, want := range map[string]string{
		"open>open": EventUpdated, "closed>closed": EventUpdated, "open>in_progress": EventAccepted,
		"resolved>open": EventReopened, "closed>open": EventReopened, "resolved>in_progress": EventStatusChanged,
		"in_progress>blocked": EventStatusChanged, "open>closed": EventStatusChanged,
	} {
		from, to, _ := strings.Cut(step, ">")
		if got := eventKind(Ticket{Status: Status(from)}, Ticket{Status: Status(to)}); got != want {
			t.Errorf("%s: %s, want %s", step, got, want)
		}
	}
}
