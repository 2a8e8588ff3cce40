package failover

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// trial is a stack under load.
type trial struct {
	*stack
	load   *load
	mails  *mails
	stream *stream
	faults []time.Time
	table  []*phase
}

func newTrial(t *testing.T, synchronous bool) *trial {
	t.Helper()
	if os.Getenv("FIXDESK_TEST_FAILOVER") == "" {
		t.Skip("make test-failover runs it")
	}
	r := &trial{stack: newStack(t, synchronous), mails: &mails{t: t, at: map[string][]time.Time{}, of: map[string]bool{}}}
	r.mail.Hook = r.mails.note
	r.load = prepareLoad(t, r.crm)
	r.stream = startStream(t, r.load)
	r.load.start(t)
	r.load.settle(t)
	return r
}

// during measures what the load meets while something happens, until the service is as
// before.
func (r *trial) during(t *testing.T, name string, happens func()) *phase {
	t.Helper()
	before := r.logged()
	r.load.begin(name)
	happens()
	r.load.settle(t)
	p := r.load.begin("between")
	p.logged = r.logged()
	for text, n := range before {
		p.logged[text] -= n
	}
	maps.DeleteFunc(p.logged, func(_ string, n int) bool { return n == 0 })
	r.table = append(r.table, p)
	t.Logf("%-34s %6d attempts, %4d failed %v, %5.1f s without service, %d warnings and errors", p.name, p.attempts, p.failures(), p.failed, p.longest.Seconds(), p.lines())
	if testing.Verbose() {
		for _, text := range slices.Sorted(maps.Keys(p.logged)) {
			t.Logf("    %4d %s", p.logged[text], text)
		}
	}
	return p
}

// fault notes when a fault was caused.
func (r *trial) fault(cause func()) func() {
	return func() {
		r.faults = append(r.faults, time.Now())
		cause()
	}
}

// lost returns how many acknowledged tickets the database does not have.
func (r *trial) lost(t *testing.T) (lost int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.url("crm", "crm"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	ids := slices.Collect(maps.Keys(r.load.acknowledged))
	err = conn.QueryRow(t.Context(), `select count(*) from unnest($1::uuid[]) wanted where not exists (
		select from tickets t where t.id = wanted and exists (select from ticket_events e where e.ticket_id = t.id))`, ids).Scan(&lost)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func TestNothingAcknowledgedIsLostByRestartsKillsSwitchoverAndFailover(t *testing.T) {
	r := newTrial(t, true)
	replicas := []string{"crm1", "crm2", "notification1", "notification2"}
	rolling := r.during(t, "rolling restart", func() {
		for _, name := range replicas {
			r.restart(t, name)
		}
	})
	if rolling.failures() != 0 {
		t.Errorf("%d requests failed in the rolling restart: %v", rolling.failures(), rolling.failed)
	}
	for _, name := range replicas {
		r.during(t, "kill -9 of "+name, r.fault(func() {
			r.kill(name)
			time.Sleep(2 * time.Second) // how long a supervisor waits
			r.startReplica(t, name)
			r.awaitReplicas(t)
		}))
	}
	r.during(t, "switchover", r.fault(func() {
		after := r.standby()
		r.switchover(t)
		eventually(t, "the other node is the primary", func() bool { return after.is("/primary") })
	}))
	eventually(t, "a synchronous standby", func() bool { return r.standby().is("/synchronous") })
	r.during(t, "kill -9 of the primary's node", r.fault(func() {
		dead, after := r.primary(), r.standby()
		dead.kill(t)
		eventually(t, "the other node is the primary", func() bool { return after.is("/primary") })
		r.start(t, dead)
	}))
	r.during(t, "both notification replicas away", r.fault(func() {
		r.kill("notification1")
		r.kill("notification2")
		time.Sleep(10 * time.Second)
		r.startReplica(t, "notification1")
		r.startReplica(t, "notification2")
		r.awaitReplicas(t)
	}))
	r.during(t, "mail server away", r.fault(func() {
		r.mail.Close()
		time.Sleep(15 * time.Second)
		if err := r.mail.Listen(r.mailAddr); err != nil {
			t.Fatal(err)
		}
	}))
	r.load.end()
	began := time.Now()
	eventually(t, "every mail", func() bool { return r.mails.missing(r.load) == 0 })
	lost := r.lost(t)
	explained, unexplained := r.mails.doubled(r.faults)
	t.Logf("%d tickets acknowledged, %d lost; %d mails, all of them %.0f s after the load, %d doubled with an explanation, %d without",
		len(r.load.acknowledged), lost, len(r.mails.at), time.Since(began).Seconds(), explained, unexplained)
	if lost != 0 || unexplained != 0 {
		t.Error("acknowledged tickets are lost, or mails are doubled without a cause")
	}
	eventually(t, "every event", func() bool { n, _ := r.stream.missing(); return n == 0 })
	if _, repeated := r.stream.missing(); repeated > 0 || r.stream.opened < 3 {
		t.Errorf("the event stream had %d events twice and was opened %d times", repeated, r.stream.opened)
	}
	t.Logf("the event stream was opened %d times, missed no ticket and repeated no event", r.stream.opened)
	if path := os.Getenv("FIXDESK_FAILOVER_TABLE"); path != "" {
		r.write(t, path)
	}
}

// write writes the table as Markdown.
func (r *trial) write(t *testing.T, path string) {
	t.Helper()
	var table strings.Builder
	table.WriteString("| what happens | attempts | failed | seconds without service | warnings and errors in all four logs |\n|---|---|---|---|---|\n")
	for _, p := range r.table {
		fmt.Fprintf(&table, "| %s | %d | %d | %.1f | %d |\n", p.name, p.attempts, p.failures(), p.longest.Seconds(), p.lines())
	}
	if err := os.WriteFile(path, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
