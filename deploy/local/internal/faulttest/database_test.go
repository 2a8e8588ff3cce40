package faulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/trials"
)

// ownServer starts a server for one test, which may crash it.
func ownServer(t *testing.T, options pgserver.Options) (*pgserver.Server, pgserver.Options) {
	t.Helper()
	dir, err := os.MkdirTemp(shared.dir, "pg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options.Dir, options.Template = filepath.Join(dir, "pg"), migrated()
	return startServer(t, options), options
}

// startServer starts a server, or starts it again after it ended.
func startServer(t *testing.T, options pgserver.Options) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // its data is not needed
		_ = server.Stop(ctx)
	})
	return server
}

// crash kills the server.
func crash(t *testing.T, server *pgserver.Server, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(server.Pid(), signal); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = server.Stop(ctx) // unlocks the folder
}

// outage counts the answers that clients got.
type outage struct {
	mu      sync.Mutex
	created idList
	refused int // 503
	slowest time.Duration
	wrong   []string
}

// ask raises one ticket and checks the answer: 201, or 503 with Retry-After.
func (o *outage) ask(ctx context.Context, c person, n int) {
	begin := time.Now()
	a, err := c.do(context.WithoutCancel(ctx), http.MethodPost, "/v1/tickets", newTicket(n))
	o.note(a, err, time.Since(begin))
	if err == nil && a.status == http.StatusServiceUnavailable {
		<-time.After(10 * time.Millisecond) // retry sooner than Retry-After says
	}
}

func (o *outage) note(a answer, err error, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slowest = max(o.slowest, took)
	switch {
	case err != nil:
		o.wrong = append(o.wrong, err.Error())
	case a.status == http.StatusCreated:
		o.created.add(a.id())
	case a.status == http.StatusServiceUnavailable && isUnavailable(a):
		o.refused++
	default:
		o.wrong = append(o.wrong, fmt.Sprintf("%d %s", a.status, a.body))
	}
}

func isUnavailable(a answer) bool {
	var problem struct {
		Code      string
		RequestID string `json:"request_id"`
	}
	return json.Unmarshal(a.body, &problem) == nil && problem.Code == "unavailable" && problem.RequestID != "" &&
		a.header.Get("Retry-After") != "" && a.header.Get("Content-Type") == "application/problem+json" &&
		!strings.Contains(string(a.body), "postgres")
}

func (o *outage) counts() (created, refused int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.created.len(), o.refused
}

// report fails the test if there was any other answer.
func (o *outage) report(t *testing.T) {
	t.Helper()
	if len(o.wrong) > 0 {
		t.Errorf("%d answers were neither 201 nor a proper 503, as: %s", len(o.wrong), o.wrong[0])
	}
	if o.refused == 0 {
		t.Error("control: nothing was refused, so the database was never down")
	}
}

func TestDatabaseThatCrashesLosesNothingAcknowledgedAndServiceResumes(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	server, options := ownServer(t, pgserver.Options{})
	s := newStack(t, server)
	crm := s.startCRM(t, nil)
	s.startNotification(t, nil)
	c := newPeople(t, crm, 1)
	var o outage
	stop := load(8, func(ctx context.Context, _, n int) { o.ask(ctx, c.customer, n) })
	for i := range trials.Count(2, 2) {
		created, _ := o.counts()
		eventually(t, "tickets are raised", func() bool { n, _ := o.counts(); return n > created+30 })
		crash(t, server, []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL}[i%2])
		_, refused := o.counts()
		eventually(t, "requests are refused", func() bool { _, n := o.counts(); return n > refused+10 })
		eventually(t, "the service is not ready", func() bool {
			a, err := c.admin.do(t.Context(), http.MethodGet, "/readyz", nil)
			return err == nil && a.status == http.StatusServiceUnavailable
		})
		c.admin.must(t, http.MethodGet, "/healthz", nil, http.StatusOK)
		server = startServer(t, options)
		begin := time.Now()
		created, _ = o.counts()
		eventually(t, "tickets are raised again", func() bool { n, _ := o.counts(); return n > created })
		t.Logf("first 201 %v after the database was back", time.Since(begin).Round(time.Millisecond))
	}
	stop()
	s.crm.Reset()
	s.notify.Reset()
	s.expireOutboxLeases(t)
	s.expireRecipientLeases(t)
	s.expectConsistent(t, &o.created)
	s.drained(t)
	s.notifiedOnce(t)
	o.report(t)
	recipients := count(t, s.notify, `select count(*) from recipients`)
	different, repeated := s.mail.counts(t)
	if different != recipients {
		t.Errorf("%d recipients got %d different mails", recipients, different)
	}
	t.Logf("%d acknowledged, %d refused, slowest answer %v, %d mails repeated", o.created.len(), o.refused, o.slowest.Round(time.Millisecond), repeated)
}

func TestControlDatabaseThatDoesNotWaitForItsDiskLosesAcknowledgedTickets(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	forgetful := pgserver.Options{Settings: map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10000", "wal_writer_flush_after": "0"}}
	if !trials.Shows(10, func() bool {
		server, options := ownServer(t, forgetful)
		s := newStack(t, server)
		crm := s.startCRM(t, nil)
		c := newPeople(t, crm, 2)
		if _, err := s.crm.Exec(t.Context(), "checkpoint"); err != nil {
			t.Fatal(err)
		}
		var o outage
		stop := load(4, func(ctx context.Context, _, n int) { o.ask(ctx, c.customer, n) })
		eventually(t, "tickets are raised", func() bool { n, _ := o.counts(); return n > 20 })
		crash(t, server, syscall.SIGKILL)
		stop()
		startServer(t, options)
		s.crm.Reset()
		lost := missing(t, s.crm, "tickets", o.created.all())
		t.Logf("%d of %d acknowledged tickets are lost", len(lost), o.created.len())
		return len(lost) > 0
	}) {
		t.Error("control: nothing was lost, so the test above shows nothing")
	}
}
