package faulttest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/smtp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/dev/trials"
)

// points are where a consumer of mail is killed. The first ones are those at which most
// can go wrong, for short tests.
var points = []point{
	{name: "the commit is under way", table: "inbound_mails", on: "update", deferred: true},
	{name: "committed and not acknowledged", request: "/ack"},
	{name: "acknowledged, the answer lost", request: "/ack", answered: true},
	{name: "the file is being stored", table: "attachment_chunks", on: "insert"},
	{name: "fetched", request: "/attachments/0"},
	{name: "acknowledged and answered", request: "/ack", answered: true, passed: true},
	{name: "the file's owner is being stored", table: "users", on: "insert"},
	{name: "the upload begins", table: "attachment_removals", on: "insert"},
	{name: "the file's content is stored", table: "attachment_contents", on: "insert"},
	{name: "the file is stored", table: "attachments", on: "insert"},
	{name: "the transaction begins", table: "inbound_mails", on: "insert"},
	{name: "the ticket is being written", table: "tickets", on: "insert"},
	{name: "the receipt is being written", table: "outbox", on: "insert"},
	{name: "the file is being attached", table: "attachments", on: "update"},
	{name: "the outcome is being written", table: "inbound_mails", on: "update"},
}

// point is a moment in the way of a mail through the CRM: a row is about to be written,
// or, deferred, the transaction that wrote it commits; or a request is on its way.
type point struct {
	name      string
	table, on string
	deferred  bool
	request   string // the end of its path
	answered  bool   // its answer has come, and is lost unless passed
	passed    bool   // its answer was passed on
}

// trigger makes writers at the point wait for the advisory lock n.
func (p point) trigger(n int) string {
	if p.deferred {
		return fmt.Sprintf("create constraint trigger stop_%d after %s on %s deferrable initially deferred for each row execute function stop(%d)", n, p.on, p.table, n)
	}
	return fmt.Sprintf("create trigger stop_%d before %s on %s for each row execute function stop(%d)", n, p.on, p.table, n)
}

const stopFunction = `create function stop() returns trigger language plpgsql as $$
begin perform pg_advisory_xact_lock_shared(tg_argv[0]::bigint); return new; end $$`

// consumer is a stack with mail to its support address.
type consumer struct {
	*stack
	t        *testing.T
	settings variables
	in       string // where mail is handed in
	crm      atomic.Pointer[service]
	armed    atomic.Pointer[point]
	killed   chan struct{}
	mails    int
}

// newConsumer starts both services, with the points at which the CRM can be killed.
func newConsumer(t *testing.T) *consumer {
	t.Helper()
	c := &consumer{stack: newStack(t, shared.server), t: t, in: freeAddress(t), killed: make(chan struct{}, 1)}
	p := startProxy(t, "http://"+c.notifyAddr)
	p.tamper = func(r *http.Request) {
		if c.killsAt(r, false, false) {
			panic(http.ErrAbortHandler)
		}
	}
	p.answered = func(r *http.Request) (deliver bool) { return !c.killsAt(r, true, false) }
	p.passed = func(r *http.Request) { c.killsAt(r, true, true) }
	c.settings = variables{
		"CRM_NOTIFICATION_URL": p.url, "CRM_SUPPORT_ADDRESS": "support@fixdesk.test",
	}
	c.crm.Store(c.startCRM(t, c.settings))
	c.startNotification(t, variables{"NOTIFICATION_INBOUND_ADDR": c.in, "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test"})
	c.exec(stopFunction)
	for n, at := range points {
		if at.table != "" {
			c.exec(at.trigger(n))
		}
	}
	return c
}

func (c *consumer) exec(sql string, arguments ...any) {
	c.t.Helper()
	if _, err := c.stack.crm.Exec(context.Background(), sql, arguments...); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// killsAt kills the CRM if the request is where it is to be killed.
func (c *consumer) killsAt(r *http.Request, answered, passed bool) bool {
	at := c.armed.Load()
	if at == nil || at.request == "" || !strings.HasSuffix(r.URL.Path, at.request) || at.answered != answered || at.passed != passed || !c.armed.CompareAndSwap(at, nil) {
		return false
	}
	c.crm.Load().Kill()
	c.killed <- struct{}{}
	return true
}

// fileSize is that of the file of each mail, more than a chunk of the store.
const fileSize = 300_000

// send hands in a mail of a new sender, with a file of its own.
func (c *consumer) send() {
	c.t.Helper()
	file := base64.StdEncoding.EncodeToString(slices.Repeat(fmt.Appendf(nil, "%10d", c.mails), fileSize/10))
	message := fmt.Sprintf("From: Ada <ada%d@example.com>\r\nTo: <support@fixdesk.test>\r\nSubject: Mail %d\r\nMessage-ID: <%d@example.com>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nIt smokes.\r\n"+
		"--b\r\nContent-Type: image/png; name=smoke.png\r\nContent-Disposition: attachment; filename=smoke.png\r\nContent-Transfer-Encoding: base64\r\n\r\n", c.mails, c.mails, c.mails)
	for line := range slices.Chunk([]byte(file), 76) {
		message += string(line) + "\r\n"
	}
	message += "--b--\r\n"
	if err := smtp.SendMail(c.in, nil, "ada@example.com", []string{"support@fixdesk.test"}, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
	c.mails++
}

// kill sends a mail and kills the CRM at the point.
func (c *consumer) kill(n int) {
	c.t.Helper()
	at := points[n]
	if at.table == "" {
		c.armed.Store(&at)
		c.send()
		<-c.killed
		return
	}
	open := c.shut(n)
	c.send()
	eventually(c.t, at.name, func() bool {
		return count(c.t, c.stack.crm, `select count(*) from pg_locks where locktype = 'advisory' and objid = $1 and classid = 0 and not granted
			and database = (select oid from pg_database where datname = current_database())`, n) > 0
	})
	c.crm.Load().Kill()
	open()
}

// shut makes writers at the point wait until open is called.
func (c *consumer) shut(n int) (open func()) {
	c.t.Helper()
	conn, err := c.stack.crm.Acquire(c.t.Context())
	if err == nil {
		_, err = conn.Exec(c.t.Context(), `select pg_advisory_lock($1::bigint)`, n)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(context.Background(), `select pg_advisory_unlock($1::bigint)`, n); err != nil {
			c.t.Fatal(err)
		}
		conn.Release()
	}
}

// restart starts the CRM again and waits until every mail is acknowledged.
func (c *consumer) restart() {
	c.t.Helper()
	c.crm.Store(c.startCRM(c.t, c.settings))
	c.drained()
}

func (c *consumer) drained() {
	c.t.Helper()
	eventually(c.t, "every mail is acknowledged", func() bool {
		return count(c.t, c.notify, "select count(*) from inbound_mails where status in ('received', 'pending')") == 0
	})
}

// effects counts the mails that had no effect, and those that had more than one ticket
// with one file and one receipt.
func (c *consumer) effects() (lost, doubled int) {
	c.t.Helper()
	for i := range c.mails {
		title := fmt.Sprint("Mail ", i)
		tickets := count(c.t, c.stack.crm, `select count(*) from tickets where title = $1`, title)
		files := count(c.t, c.stack.crm, `select count(*) from attachments a join tickets t on t.id = a.ticket_id where t.title = $1 and a.size = $2`, title, fileSize)
		receipts := count(c.t, c.stack.crm, `select count(*) from outbox o join tickets t on t.id = o.reference where t.title = $1 and o.kind = 'ticket_received'`, title)
		switch {
		case tickets > 1 || files > 1 || receipts > 1:
			doubled++
		case tickets < 1 || files < 1 || receipts < 1:
			lost++
		default:
			continue
		}
		c.t.Logf("mail %d: %d tickets, %d files, %d receipts", i, tickets, files, receipts)
	}
	return lost, doubled
}

func TestConsumerKilledAnywhereGivesEachMailOneEffect(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	c := newConsumer(t)
	kills := trials.Count(5, 2*len(points))
	for i := range kills {
		c.kill(i % len(points))
		c.restart()
	}
	lost, doubled := c.effects()
	if lost > 0 || doubled > 0 {
		t.Errorf("%d mails lost, %d doubled", lost, doubled)
	}
	t.Logf("%d kills at %d points: %d lost, %d doubled", kills, min(kills, len(points)), lost, doubled)
}

// The control: a consumer that doesn't remember what it did before it acknowledges does
// it twice, and one that acknowledges before it commits loses a mail.
func TestControlConsumerThatForgetsOrAcknowledgesEarlyIsFound(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	c := newConsumer(t)
	c.kill(1)
	c.exec("delete from inbound_mails")
	c.restart()
	c.kill(4)
	if _, err := c.notify.Exec(t.Context(), "update inbound_mails set status = 'acknowledged', result = 'ticket', acknowledged_at = now() where status = 'pending'"); err != nil {
		t.Fatal(err)
	}
	c.restart()
	if lost, doubled := c.effects(); lost != 1 || doubled != 1 {
		t.Errorf("%d lost, %d doubled", lost, doubled)
	}
}

// A person is erased while the notification service is down: it deletes their mails, with
// the files, once it is back.
func TestMailsOfAnErasedPersonAreDeletedOnceTheNotificationServiceIsBack(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	s := newStack(t, shared.server)
	in := variables{"NOTIFICATION_INBOUND_ADDR": freeAddress(t), "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test"}
	c := &consumer{stack: s, t: t, in: in["NOTIFICATION_INBOUND_ADDR"]}
	crm := s.startCRM(t, variables{"CRM_SUPPORT_ADDRESS": "support@fixdesk.test"})
	notification := s.startNotification(t, in)
	for range 2 {
		c.send()
	}
	c.drained()
	person := s.ids(t, s.crm, "select id::text from users where email = 'ada0@example.com'")
	notification.terminate(t)
	newClient(t, crm.url, "").login(t, adminEmail).must(t, http.MethodDelete, "/v1/users/"+person[0], nil, http.StatusNoContent)
	pieces := func() int { return count(t, s.notify, "select count(*) from inbound_raw") }
	before := pieces()
	if n := count(t, s.crm, "select count(*) from inbound_erasures"); n != 1 || before < 2 || before%2 != 0 {
		t.Errorf("control: %d erasures and %d pieces of two mails while the service is down", n, before)
	}
	s.startNotification(t, in)
	eventually(t, "the mail is deleted", func() bool { return count(t, s.notify, "select count(*) from inbound_mails") == 1 })
	if n := pieces(); n != before/2 {
		t.Errorf("%d pieces of the other mail are left", n)
	}
	eventually(t, "the erasure is over", func() bool { return count(t, s.crm, "select count(*) from inbound_erasures") == 0 })
}

// One of two replicas reads; when it is killed, the other one goes on.
func TestSecondConsumerGoesOnWhenTheFirstIsKilled(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	c := newConsumer(t)
	other := c.startCRM(t, variables{"CRM_ADDR": freeAddress(t), "CRM_SUPPORT_ADDRESS": c.settings["CRM_SUPPORT_ADDRESS"]})
	c.kill(3) // the first one reads: it started before there was another
	c.drained()
	c.send()
	c.drained()
	c.crm.Store(c.startCRM(t, c.settings))
	for range trials.Count(3, 20) {
		c.send()
	}
	other.Kill()
	c.send()
	c.drained()
	if lost, doubled := c.effects(); lost > 0 || doubled > 0 {
		t.Errorf("%d mails lost, %d doubled", lost, doubled)
	}
}
