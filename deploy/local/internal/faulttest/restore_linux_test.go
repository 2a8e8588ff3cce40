package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/dev/trials"
)

// backups is the folder in the commands of docs/operating.md.
const backups = "/var/backups/fixdesk"

// settingsOfPage returns the settings of PostgreSQL that follow a heading of the section
// on restoring to a moment, with another folder.
func settingsOfPage(t *testing.T, after, dir string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), after)
	_, block, _ := strings.Cut(rest, "```\n")
	block, _, _ = strings.Cut(block, "```")
	settings := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+) = '(.*)'$`).FindAllStringSubmatch(block, -1) {
		settings[m[1]] = strings.ReplaceAll(m[2], backups, dir)
	}
	if !found || len(settings) == 0 {
		t.Fatalf("the page has no settings after %q", after)
	}
	return settings
}

// pointInTime is an installation whose WAL is archived.
type pointInTime struct {
	*stack
	t      *testing.T
	dir    string // in place of backups
	people people
	later  atomic.Bool // the mail server refuses temporarily
	moment string
	kept   []string // tickets of before the moment
	event  event    // the last one before the moment
}

func (p *pointInTime) start() (crm *service) {
	crm = p.startCRM(p.t, nil)
	p.startNotification(p.t, nil)
	return crm
}

func (p *pointInTime) raise(n int) string {
	return p.people.customer.must(p.t, "POST", "/v1/tickets", newTicket(n), http.StatusCreated).id()
}

// record makes a base backup, a moment at which mails are due that are sent after it, and
// tickets of after the moment; then the server is lost.
func record(t *testing.T) *pointInTime {
	t.Helper()
	p := &pointInTime{t: t, dir: filepath.Join(shared.dir, "backups")}
	if err := os.MkdirAll(filepath.Join(p.dir, "wal"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(p.dir, "wal"), 0o777); err != nil {
		t.Fatal(err)
	}
	server, options := ownServer(t, pgserver.Options{Settings: settingsOfPage(t, "Archive the WAL", p.dir)})
	p.stack = newStack(t, server)
	p.mail = &mailServer{Server: (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb == "RCPT" && p.later.Load() {
			return "450 4.2.0 later"
		}
		return ""
	}}).Start(t, "")}
	crm := p.start()
	p.people = newPeople(t, crm, 1)
	p.kept = append(p.kept, p.raise(1))
	p.base(server, options)
	p.later.Store(true)
	p.people.admin.stream(t, "", func() { p.kept = append(p.kept, p.raise(2)) }, func(e event) bool {
		p.event = e
		return false
	})
	eventually(t, "mails wait", func() bool {
		return count(t, p.notify, "select count(*) from recipients where status = 'delayed'") == 2
	})
	if err := p.stack.crm.QueryRow(t.Context(), "select clock_timestamp()::text").Scan(&p.moment); err != nil {
		t.Fatal(err)
	}
	p.later.Store(false)
	p.raise(3)
	eventually(t, "all mails are sent", func() bool {
		return count(t, p.notify, "select count(*) from recipients where finished_at is null") == 0
	})
	var segment string
	if err := p.stack.crm.QueryRow(t.Context(), "select pg_walfile_name(pg_switch_wal())").Scan(&segment); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the WAL is archived", func() bool {
		_, err := os.Stat(filepath.Join(p.dir, "wal", segment))
		return err == nil
	})
	return p
}

// base makes a base backup by the command of the page.
func (p *pointInTime) base(server *pgserver.Server, options pgserver.Options) {
	data := filepath.Join(p.dir, "base", "data")
	if output, err := exec.Command(postgresProgram(p.t, "pg_basebackup"), "-d", server.URL("postgres"), "-D", data, "-c", "fast", "-X", "none").CombinedOutput(); err != nil {
		p.t.Fatalf("pg_basebackup: %v\n%s", err, output)
	}
	if err := os.WriteFile(filepath.Join(data, "recovery.signal"), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if output, err := exec.Command("chown", "-R", "--reference="+filepath.Join(options.Dir, "data"), filepath.Join(p.dir, "base")).CombinedOutput(); err != nil {
		p.t.Fatalf("%v\n%s", err, output)
	}
}

// restored restores to the moment on a server of its own, with other mail servers and
// addresses than the lost one.
func (p *pointInTime) restored() *stack {
	p.t.Helper()
	dir, err := os.MkdirTemp(shared.dir, "restored-")
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	settings := settingsOfPage(p.t, "Restore to a moment", p.dir)
	settings["recovery_target_time"] = p.moment
	server := startServer(p.t, pgserver.Options{Dir: filepath.Join(dir, "pg"), Template: filepath.Join(p.dir, "base"), Settings: settings})
	s := &stack{
		dir: p.t.TempDir(), bin: p.bin, server: server, keys: p.keys, mail: startMail(p.t), crmName: p.crmName, notifyName: p.notifyName,
		crmAddr: freeAddress(p.t), notifyAddr: freeAddress(p.t),
	}
	s.crm, s.notify = newPool(p.t, server.URL(s.crmName)), newPool(p.t, server.URL(s.notifyName))
	eventually(p.t, "the restored server takes writes", func() bool {
		var recovering bool
		return s.crm.QueryRow(context.Background(), "select pg_is_in_recovery()").Scan(&recovering) == nil && !recovering
	})
	return s
}

// mailsOf counts the mails that a restored stack sent about a ticket.
func mailsOf(t *testing.T, s *stack, id string) int {
	number := count(t, s.crm, "select number from tickets where id::text = $1", id)
	n := 0
	for _, m := range s.mail.Messages() {
		if strings.Contains(header(t, m, "Subject"), fmt.Sprintf("#%d]", number)) {
			n++
		}
	}
	return n
}

func TestDatabasesAreRestoredToAMomentAndMailsOfThenAreHeld(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	p := record(t)

	s := p.restored()
	if ids := s.ids(t, s.crm, "select id::text from tickets order by number"); !slices.Equal(ids, p.kept) {
		t.Errorf("the tickets %v, want those of before the moment: %v", ids, p.kept)
	}
	hold := exec.Command(filepath.Join(s.bin, "notification"), "after-restore")
	hold.Env = []string{"NOTIFICATION_DATABASE_URL=" + s.server.URL(s.notifyName)}
	if output, err := hold.CombinedOutput(); err != nil || !bytes.Contains(output, []byte("2 recipients are held back")) {
		t.Fatalf("%v\n%s", err, output)
	}
	crm := s.startCRM(t, nil)
	notification := s.startNotification(t, nil)
	customer := newClient(t, crm.url, "").login(t, p.people.customer.email)
	fresh := customer.must(t, "POST", "/v1/tickets", newTicket(4), http.StatusCreated).id()
	eventually(t, "new mails are sent", func() bool { return mailsOf(t, s, fresh) == 2 })
	if n := mailsOf(t, s, p.kept[1]); n != 0 {
		t.Errorf("%d mails that had been sent after the moment were sent again", n)
	}
	var streamed []string
	admin := newClient(t, crm.url, "").login(t, adminEmail)
	eventually(t, "events have positions", func() bool { return count(t, s.crm, "select count(*) from ticket_events where position is null") == 0 })
	want := s.ids(t, s.crm, "select id::text from ticket_events where position > (select position from ticket_events where id::text = '"+p.event.id+"') order by position")
	admin.stream(t, p.event.position, func() {}, func(e event) bool {
		streamed = append(streamed, e.id)
		return len(streamed) < len(want)
	})
	if !slices.Equal(streamed, want) {
		t.Errorf("the stream goes on with %v, want %v", streamed, want)
	}
	newClient(t, notification.url, s.serviceToken(t, "notifications:manage")).must(t, "POST", "/v1/sending/release", nil, http.StatusOK)
	eventually(t, "released mails are sent", func() bool { return mailsOf(t, s, p.kept[1]) == 2 })

	control := p.restored()
	control.startCRM(t, nil)
	control.startNotification(t, nil)
	eventually(t, "control: without after-restore they are sent again by themselves", func() bool { return mailsOf(t, control, p.kept[1]) == 2 })
}
