package delivery

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/notificationdb"
)

// seedTried stores a notification of the clock's time with one recipient that was tried
// once, and returns the recipient.
func seedTried(t *testing.T, l *Loop, c *clock) uuid.UUID {
	t.Helper()
	n := seedEnded(t, l, c.now, c.now, 1)
	id := FirstID(c.now)
	copy(id[8:], uuidTail())
	for _, sql := range []string{
		"update recipients set id = $2 where notification_id = $1",
		"insert into attempts select id, 1, finished_at, 'mx', 250, 'ok', 'sent' from recipients where notification_id = $1 and id = $2",
	} {
		if _, err := l.DB.Exec(t.Context(), sql, n, id); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// maintain is what the jobs of several replicas do.
func maintain(t *testing.T, l *Loop, c *clock) {
	t.Helper()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := AttemptPartitions(l.DB, c.Now).Prepare(t.Context()); err != nil {
				t.Error(err)
			}
			if err := newTestRetention(l, c).purge(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func attemptPartitions(t *testing.T, l *Loop) []string {
	t.Helper()
	return strings.Split(text(t, l.DB, "select string_agg(name, ' ' order by ends) from partitions_of('attempts')"), " ")
}

func attemptsOf(t *testing.T, l *Loop, recipient uuid.UUID) string {
	t.Helper()
	return text(t, l.DB, "select count(*)::text from attempts where recipient_id = $1", recipient)
}

func TestAttemptsAreDroppedByMonthOnceTheirRecipientsAreGone(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	tried := []uuid.UUID{seedTried(t, l, c)}
	for range 9 {
		c.now = c.now.Add(31 * day)
		maintain(t, l, c)
		tried = append(tried, seedTried(t, l, c))
	}
	names := attemptPartitions(t, l)
	if slices.Contains(names, "attempts_first") || !slices.Contains(names, "attempts_rest") || len(names) > 10 {
		t.Errorf("partitions %v", names)
	}
	for i, want := range map[int]string{0: "0", 2: "0", 7: "1", 9: "1"} { // the retention is 90 days
		if got := attemptsOf(t, l, tried[i]); got != want {
			t.Errorf("after %d months of 9: %s attempts, want %s", i, got, want)
		}
	}
	if n := text(t, l.DB, "select count(*)::text from recipients r where not exists (select from attempts a where a.recipient_id = r.id)"); n != "0" {
		t.Errorf("%s recipients lost their attempts", n)
	}
	if n := text(t, l.DB, "select count(*)::text from attempts_rest"); n != "0" {
		t.Errorf("%s attempts in the partition of the rest", n)
	}
}

// A recipient that is not finished keeps its month, not the attempts of the others in it.
func TestMonthOfARecipientThatIsNotFinishedIsKeptForItAlone(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	var ends time.Time
	if err := l.DB.QueryRow(t.Context(), "select uuid_time(ends) from partitions_of('attempts') where name = 'attempts_first'").Scan(&ends); err != nil {
		t.Fatal(err)
	}
	unfinished, ended := seedTried(t, l, c), seedTried(t, l, c)
	if _, err := l.DB.Exec(t.Context(), "update recipients set status = 'delayed', finished_at = null, next_attempt_at = now() + interval '10 years' where id = $1", unfinished); err != nil {
		t.Fatal(err)
	}
	c.now = ends.Add(90*day + pg.PartitionGrace - day)
	maintain(t, l, c)
	if a, b := attemptsOf(t, l, unfinished), attemptsOf(t, l, ended); a != "1" || b != "1" {
		t.Errorf("at first: %s and %s attempts, want both", a, b)
	}
	c.now = ends.Add(90*day + pg.PartitionGrace + day)
	maintain(t, l, c)
	if a, b := attemptsOf(t, l, unfinished), attemptsOf(t, l, ended); a != "1" || b != "0" {
		t.Errorf("later: %s and %s attempts, want that of the one that is not finished", a, b)
	}
	if _, err := l.DB.Exec(t.Context(), "delete from notifications"); err != nil {
		t.Fatal(err)
	}
	maintain(t, l, c)
	if names := attemptPartitions(t, l); slices.Contains(names, "attempts_first") {
		t.Errorf("partitions %v", names)
	}
}

func TestAttemptOfAMonthWithoutPartitionIsKeptAndMovesToIt(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	c.now = c.now.Add(400 * day)
	id := seedTried(t, l, c)
	if n := text(t, l.DB, "select count(*)::text from attempts_rest where recipient_id = $1", id); n != "1" {
		t.Errorf("%s attempts in the partition of the rest, want 1", n)
	}
	maintain(t, l, c)
	month := "attempts_" + c.now.Format("200601")
	if n := text(t, l.DB, "select (select count(*) from attempts_rest) || ' ' || (select count(*) from "+month+" where recipient_id = $1)", id); n != "0 1" {
		t.Errorf("attempts in the partition of the rest and in %s: %s, want 0 1", month, n)
	}
}

func TestAttemptsOfARecipientAreLookedUpInOnePartition(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	id := seedTried(t, l, c)
	lookup := plan(t, l, false, func(q *notificationdb.Queries) error {
		_, err := q.AttemptList(t.Context(), notificationdb.AttemptListParams{RecipientID: id, BeforeNumber: 10, Max: 10})
		return err
	})
	if n := strings.Count(lookup, " on attempts_"); n != 1 {
		t.Errorf("%d partitions are read:\n%s", n, lookup)
	}
	all := plan(t, l, false, func(q *notificationdb.Queries) error { // the control
		_, err := q.StatsSentSince(t.Context(), c.now.Add(-time.Minute))
		return err
	})
	if n := strings.Count(all, "Scan on attempts_"); n < len(attemptPartitions(t, l)) {
		t.Errorf("without an id %d partitions are read:\n%s", n, all)
	}
}
