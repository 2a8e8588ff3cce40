package faulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/dev/trials"
)

// upgrade is a database of the release before, its programs and those of this checkout
// under one load. Requests go to the replicas in turn.
type upgrade struct {
	*stack
	t         *testing.T
	bin       string // the programs of the release before
	proxy     *proxy // in front of all replicas of the notification service
	admin     *client
	customer  *client
	engineers map[string]*client // by id
	unsent    int                // recipients that were due when the dump was made

	mu       sync.RWMutex // held for reading by each request
	crms     []*service
	notifies []*service
	inbound  map[*service]string
	turn     atomic.Int64

	tickets, comments, accepted, mailsIn idList
	wrong                                idList
	slowest                              atomic.Int64
}

// newUpgrade restores the dumps and starts a replica of each service of the release
// before.
func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	u := &upgrade{t: t, bin: releaseBefore(t), engineers: map[string]*client{}, inbound: map[*service]string{}}
	u.stack = restoreRelease(t, shared.server)
	u.unsent = count(t, u.notify, "select count(*) from recipients where finished_at is null and next_attempt_at < now() + interval '1 minute'")
	u.proxy = startProxy(t, "http://any")
	u.proxy.tamper = func(r *http.Request) {
		u.mu.RLock()
		defer u.mu.RUnlock()
		r.URL.Host = u.notifyAddr // of the first one, before it has started
		if len(u.notifies) > 0 {
			r.URL.Host = u.choose(u.notifies).Address
		}
	}
	u.stack.bin = u.bin
	u.addCRM(u.crmAddr)
	u.addNotification(u.notifyAddr)
	u.admin = newClient(t, u.crms[0].url, "").login(t, adminEmail)
	u.customer = u.admin.login(t, "carl@customer.example")
	for n := range 3 {
		engineer := u.admin.login(t, fmt.Sprintf("eve%d@engineer.example", n))
		u.engineers[engineer.must(t, "GET", "/v1/me", nil, 200).id()] = engineer
	}
	return u
}

// choose returns a replica, in turn. u.mu is held.
func (u *upgrade) choose(replicas []*service) *service {
	return replicas[int(u.turn.Add(1))%len(replicas)]
}

func (u *upgrade) addCRM(address string) {
	svc := u.startCRM(u.t, variables{"CRM_ADDR": address, "CRM_NOTIFICATION_URL": u.proxy.url, "CRM_SUPPORT_ADDRESS": "support@fixdesk.test"})
	u.mu.Lock()
	defer u.mu.Unlock()
	u.crms = append(u.crms, svc)
}

func (u *upgrade) addNotification(address string) {
	in := freeAddress(u.t)
	u.mu.RLock()
	keys := u.crms[len(u.crms)-1].url + "/.well-known/jwks.json"
	u.mu.RUnlock()
	svc := u.startNotification(u.t, variables{
		"NOTIFICATION_ADDR": address, "NOTIFICATION_JWKS_URL": keys,
		"NOTIFICATION_INBOUND_ADDR": in, "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test", "NOTIFICATION_BOUNCE_DOMAIN": "bounces.test",
	})
	u.mu.Lock()
	defer u.mu.Unlock()
	u.notifies, u.inbound[svc] = append(u.notifies, svc), in
}

// removeFirst takes the first of the replicas out of use, and stops it.
func (u *upgrade) removeFirst(replicas *[]*service) {
	u.mu.Lock() // waits for the requests to it
	svc := (*replicas)[0]
	*replicas = (*replicas)[1:]
	u.mu.Unlock()
	svc.terminate(u.t)
}

// begin begins the load.
func (u *upgrade) begin() (stop func()) {
	return load(4, func(_ context.Context, worker, n int) {
		if worker == 0 {
			u.handIn(n)
			return
		}
		u.ticket(worker, n)
	})
}

// ask sends a request and notes any other answer than the wanted one.
func (u *upgrade) ask(c *client, path string, body object, want int) (answer, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	began := time.Now()
	a, err := c.at(u.choose(u.crms).url).do(context.Background(), "POST", path, body)
	if took := int64(time.Since(began)); took > u.slowest.Load() {
		u.slowest.Store(took)
	}
	if err != nil || a.status != want {
		u.wrong.add(fmt.Sprintf("%d POST %s: %s (%v)", a.status, path, a.body, err))
		return a, false
	}
	return a, true
}

// ticket raises a ticket, comments on it and has its engineer accept it.
func (u *upgrade) ticket(worker, n int) {
	a, ok := u.ask(u.customer, "/v1/tickets", newTicket(1000*worker+n), http.StatusCreated)
	if !ok {
		return
	}
	u.tickets.add(a.id())
	path := "/v1/tickets/" + a.id()
	if b, ok := u.ask(u.customer, path+"/comments", object{"body": "Still smoking."}, http.StatusCreated); ok {
		u.comments.add(b.id())
	}
	var created struct{ Assignee struct{ ID string } }
	_ = json.Unmarshal(a.body, &created)
	if engineer := u.engineers[created.Assignee.ID]; engineer != nil {
		if _, ok := u.ask(engineer, path+"/accept", nil, http.StatusOK); ok {
			u.accepted.add(a.id())
		}
	}
}

// handIn hands in a mail, which becomes a ticket.
func (u *upgrade) handIn(n int) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	title := fmt.Sprint("Mail while upgrading ", n)
	message := fmt.Sprintf("From: <sender%d@example.com>\r\nTo: <support@fixdesk.test>\r\nSubject: %s\r\nMessage-ID: <upgrade%d@example.com>\r\n\r\nIt smokes.\r\n", n, title, n)
	if err := smtp.SendMail(u.inbound[u.choose(u.notifies)], nil, fmt.Sprintf("sender%d@example.com", n), []string{"support@fixdesk.test"}, []byte(message)); err != nil {
		u.wrong.add("a mail: " + err.Error())
		return
	}
	u.mailsIn.add(title)
}

// progress waits until each part of the load has succeeded some times more.
func (u *upgrade) progress() {
	u.t.Helper()
	lists := []*idList{&u.tickets, &u.comments, &u.accepted, &u.mailsIn}
	var before []int
	for _, l := range lists {
		before = append(before, l.len())
	}
	eventually(u.t, "the load goes on", func() bool {
		for i, l := range lists {
			if l.len() < before[i]+20 {
				return u.wrong.len() > 0
			}
		}
		return true
	})
}

// migrate runs the migrations of this checkout.
func (u *upgrade) migrate() {
	u.t.Helper()
	for name, database := range map[string]string{"crm": u.crmName, "notification": u.notifyName} {
		cmd := exec.Command(binary(name), "migrate")
		cmd.Env = []string{strings.ToUpper(name) + "_DATABASE_URL=" + u.server.URL(database)}
		if output, err := cmd.CombinedOutput(); err != nil {
			u.t.Fatalf("%s migrate: %v\n%s", name, err, output)
		}
	}
}

func TestReleaseBeforeServesWhileThisOneMigratesAndStarts(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	u := newUpgrade(t)
	broke, err := broken(context.Background(), u.crm)
	if err != nil {
		t.Fatal(err)
	}
	before := u.read(u.crms[0].url)
	since := u.firstEvent()
	stop := u.begin()
	u.progress()
	u.migrate()
	u.progress() // the release before on the newer schema
	u.stack.bin = filepath.Join(shared.dir, "bin")
	u.addCRM(freeAddress(t))
	u.progress()
	u.addNotification(freeAddress(t))
	for range trials.Count(1, 3) {
		u.progress() // all four at the same time
	}
	u.removeFirst(&u.crms)
	u.removeFirst(&u.notifies)
	u.progress()
	stop()
	for _, wrong := range u.wrong.all()[:min(3, u.wrong.len())] {
		t.Error(wrong)
	}
	u.nothingIsLost(broke)
	u.eachMailOnce()
	u.readAgain(before)
	u.streamGoesOn(since)
	t.Logf("%d tickets, %d comments, %d accepted, %d mails in; slowest answer %v", u.tickets.len(), u.comments.len(), u.accepted.len(), u.mailsIn.len(),
		time.Duration(u.slowest.Load()).Round(time.Millisecond))
}

func TestControlMigrationThatRemovesWhatTheReleaseBeforeReadsIsFound(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	u := newUpgrade(t)
	stop := u.begin()
	u.progress()
	u.migrate()
	if u.wrong.len() > 0 {
		t.Fatal(u.wrong.all()[0])
	}
	if _, err := u.stack.crm.Exec(t.Context(), "alter table tickets drop column description cascade"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a request is answered 5xx", func() bool {
		return slices.ContainsFunc(u.wrong.all(), func(wrong string) bool { return strings.HasPrefix(wrong, "50") })
	})
	stop()
}

// nothingIsLost expects what was acknowledged, and no partial write that wasn't there.
func (u *upgrade) nothingIsLost(broke []string) {
	u.t.Helper()
	eventually(u.t, "mails that came in are processed", func() bool {
		return count(u.t, u.notify, "select count(*) from inbound_mails where status in ('received', 'pending')") == 0
	})
	for table, list := range map[string]*idList{
		"tickets": &u.tickets, "ticket_comments": &u.comments, "(select ticket_id as id from ticket_events where kind = 'accepted') accepted": &u.accepted,
	} {
		if lost := missing(u.t, u.stack.crm, table, list.all()); len(lost) > 0 {
			u.t.Errorf("%d of %s are lost", len(lost), table)
		}
	}
	titles := append(u.mailsIn.all(), "Nobody reads this yet")
	if n := count(u.t, u.stack.crm, "select count(*) from unnest($1::text[]) wanted where (select count(*) from tickets where title = wanted) <> 1", titles); n > 0 {
		u.t.Errorf("%d of %d mails didn't become one ticket", n, len(titles))
	}
	after, err := broken(context.Background(), u.stack.crm)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, violation := range after {
		if !slices.Contains(broke, violation) {
			u.t.Errorf("a partial write: %s", violation)
		}
	}
}

// eachMailOnce waits until the queues are empty and expects one notification for each
// entry of the outbox, and one mail for each recipient that was sent since the dump.
func (u *upgrade) eachMailOnce() {
	u.t.Helper()
	eventually(u.t, "the outbox is empty", func() bool {
		return count(u.t, u.stack.crm, "select count(*) from outbox where done_at is null and dead_at is null") == 0
	})
	eventually(u.t, "every recipient that is due is finished", func() bool {
		return count(u.t, u.notify, "select count(*) from recipients where finished_at is null and next_attempt_at < now() + interval '1 minute'") == 0
	})
	entries := u.ids(u.t, u.stack.crm, "select id::text from outbox where done_at is not null order by 1")
	if posted := count(u.t, u.notify, "select count(*) from notifications where idempotency_key = any($1)", entries); posted != len(entries) {
		u.t.Errorf("%d entries of the outbox became %d notifications", len(entries), posted)
	}
	sent := count(u.t, u.notify, "select count(*) from recipients r where status = 'sent' and exists (select from attempts a where a.recipient_id = r.id and a.outcome = 'sent' and a.server like $1)", "%"+u.mail.Addr()+"%")
	different, repeated := u.mail.counts(u.t)
	if sent != different || repeated > 0 || sent < u.tickets.len()+u.unsent {
		u.t.Errorf("%d recipients were sent, %d of them due before, and %d mails came, %d of them again", sent, u.unsent, different, repeated)
	}
}

// read reads what the dump has through the API of a replica of the CRM, by path.
func (u *upgrade) read(url string) map[string]any {
	u.t.Helper()
	answers := map[string]any{}
	get := func(path string) {
		var content any
		a := u.admin.at(url).must(u.t, "GET", path, nil, 200)
		if content = string(a.body); !isFile(path) {
			if err := json.Unmarshal(a.body, &content); err != nil {
				u.t.Fatalf("%s: %v", path, err)
			}
		}
		answers[path] = content
	}
	for _, id := range u.ids(u.t, u.stack.crm, "select id::text from tickets where created_at < now() - interval '1 day' and status in ('resolved', 'closed', 'blocked')") {
		for _, part := range []string{"", "/comments", "/events", "/followers", "/notifications"} {
			get("/v1/tickets/" + id + part)
		}
	}
	for table, path := range map[string]string{"users where erased_at is null": "/v1/users/%s", "attachments": "/v1/attachments/%s/content", "inbound_mails where outcome is not null": "/v1/inbound/%s"} {
		for _, id := range u.ids(u.t, u.stack.crm, "select id::text from "+table) {
			get(fmt.Sprintf(path, id))
		}
	}
	for _, id := range u.ids(u.t, u.notify, "select notification_id::text from recipients where finished_at is not null") {
		get("/v1/operations/notifications/" + id)
	}
	return answers
}

// readAgain expects everything that the release before answered in the answers of this
// one, which may have more fields.
func (u *upgrade) readAgain(before map[string]any) {
	u.t.Helper()
	if len(before) < 50 {
		u.t.Errorf("only %d objects were read", len(before))
	}
	u.admin = u.admin.at(u.crms[0].url).login(u.t, adminEmail)
	for path, want := range before {
		a := u.admin.must(u.t, "GET", path, nil, 200)
		var got any = string(a.body)
		if !isFile(path) {
			if err := json.Unmarshal(a.body, &got); err != nil {
				u.t.Fatal(err)
			}
		}
		if !contains(got, want) {
			u.t.Errorf("%s: %s\nwas %v", path, a.body, want)
		}
	}
}

func isFile(path string) bool { return strings.HasSuffix(path, "/content") }

// contains reports whether a JSON value has all that another one has.
func contains(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		for name, value := range want {
			ok = ok && contains(got[name], value)
		}
		return ok
	case []any:
		got, ok := got.([]any)
		ok = ok && len(got) == len(want)
		for i := 0; ok && i < len(want); i++ {
			ok = contains(got[i], want[i])
		}
		return ok
	}
	return reflect.DeepEqual(got, want)
}

// firstEvent raises a ticket and returns the first event that the release before streams.
func (u *upgrade) firstEvent() (first event) {
	u.t.Helper()
	u.admin.at(u.crms[0].url).stream(u.t, "", func() { u.ticket(9, 9) }, func(e event) bool {
		first = e
		return false
	})
	return first
}

// streamGoesOn expects every event since the one that the release before streamed.
func (u *upgrade) streamGoesOn(since event) {
	u.t.Helper()
	eventually(u.t, "every event has its position", func() bool {
		return count(u.t, u.stack.crm, "select count(*) from ticket_events where position is null") == 0
	})
	want := u.ids(u.t, u.stack.crm, "select id::text from ticket_events where position > (select position from ticket_events where id::text = '"+since.id+"') order by position")
	var got []string
	u.admin.at(u.crms[0].url).stream(u.t, since.position, func() {}, func(e event) bool {
		got = append(got, e.id)
		return len(got) < len(want)
	})
	if !slices.Equal(got, want) || len(want) < 20 {
		u.t.Errorf("%d events since the position of the release before, the stream has %d", len(want), len(got))
	}
}
