package app_test

import (
	"fmt"
	"net/smtp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/trials"
	"fixdesk/services/notification/internal/app"
)

// listenersTrial hands each mail in to two replicas at once, again until both have
// acknowledged it, while first one and then the other is killed.
func listenersTrial(t *testing.T, n int, fault string) (acked, lost, doubled int) {
	t.Helper()
	i := newIssuer(t)
	c := inboundConfig(t, i)
	if fault != "" {
		execute(t, c.DatabaseURL.Reveal(), fault)
	}
	configs := [2]app.Config{c, c}
	var replicas [2]*process
	for k := range configs {
		configs[k].Inbound.Addr = config.OptionalAddr(freeAddr(t))
		replicas[k] = run(t, i, configs[k])
	}
	s := &bothSenders{acked: map[string]bool{}, addrs: [2]string{string(configs[0].Inbound.Addr), string(configs[1].Inbound.Addr)}}
	s.start(n)
	for k := range replicas {
		eventually(t, "mails are acknowledged", func() bool { return s.count() >= (k+1)*n/3 })
		replicas[k] = replicas[k].runAgain(t, i)
	}
	s.wg.Wait()
	lost, doubled = judge(t, c.DatabaseURL.Reveal(), s.acked)
	return len(s.acked), lost, doubled
}

// bothSenders hand the same mails in at two addresses.
type bothSenders struct {
	addrs [2]string
	mu    sync.Mutex
	acked map[string]bool
	wg    sync.WaitGroup
}

func (s *bothSenders) start(n int) {
	numbers := make(chan int)
	for range 4 {
		s.wg.Go(func() {
			for k := range numbers {
				s.send(fmt.Sprintf("%d@both.example", k))
			}
		})
	}
	s.wg.Go(func() {
		defer close(numbers)
		for k := range n {
			numbers <- k
		}
	})
}

func (s *bothSenders) send(id string) {
	raw := plainMail(id, "x", id)
	var both sync.WaitGroup
	for _, addr := range s.addrs {
		both.Go(func() {
			for smtp.SendMail(addr, nil, "ada@example.com", []string{"support@desk.test"}, raw) != nil {
				pause()
			}
		})
	}
	both.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[id] = true
}

func (s *bothSenders) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

func TestTwoListenersStoreEachMailOnceAndOneGoesOnAlone(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	n := trials.Count(60, 500)
	acked, lost, doubled := listenersTrial(t, n, "")
	t.Logf("acknowledged by both %d, lost %d, doubled %d", acked, lost, doubled)
	if acked != n || lost > 0 || doubled > 0 {
		t.Errorf("acknowledged %d of %d, lost %d, doubled %d", acked, n, lost, doubled)
	}
}

func TestControlWithoutFingerprintsTwoListenersDoubleMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	if _, _, doubled := listenersTrial(t, 6, otherFingerprints); doubled == 0 {
		t.Error("nothing was doubled without the safeguard: the trial can't fail")
	}
}

// fetches counts how often each mail is fetched.
type fetches struct {
	mu sync.Mutex
	n  map[imap.UID]int
}

func (f *fetches) observe(e imapEvent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.step == "fetch" {
		for _, uid := range e.uids {
			f.n[uid]++
		}
	}
	return nil
}

// repeated counts the mails that were fetched more than once.
func (f *fetches) repeated() (mails int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.n {
		if n > 1 {
			mails++
		}
	}
	return mails
}

// readersTrial has two replicas read one mailbox.
func readersTrial(t *testing.T, fault string) (m *mailboxTrial, second *process, f *fetches) {
	t.Helper()
	m = newMailboxTrial(t, fault)
	second = run(t, m.issuer, m.config)
	f = &fetches{n: map[imap.UID]int{}}
	m.mailbox.observe(f.observe)
	return m, second, f
}

func TestTwoReadersOfAMailboxFetchEachMailOnceAndOneGoesOnAlone(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	m, second, f := readersTrial(t, "")
	for range trials.Count(30, 200) {
		m.add()
	}
	m.caughtUp()
	if n := f.repeated(); n > 0 {
		t.Errorf("%d mails were fetched by both", n)
	}
	m.process.Kill() // it reads, unless the other was faster
	m.add()
	m.caughtUp()
	m.restart()
	second.Kill()
	m.add()
	m.caughtUp()
	lost, doubled := judge(t, m.url, m.acked)
	t.Logf("mails %d, lost %d, doubled %d", len(m.acked), lost, doubled)
	if lost > 0 || doubled > 0 {
		t.Errorf("lost %d, doubled %d", lost, doubled)
	}
}

// everybodysLock gives the lock of a job to all who ask.
const everybodysLock = `
create schema fault;
create function fault.pg_try_advisory_xact_lock(bigint) returns boolean language sql as 'select true';
do $$ begin execute format('alter database %I set search_path = fault, pg_catalog, public', current_database()); end $$;`

// Each mail is fetched by both here, and stored once all the same: its position is
// stored in the transaction that stores the mail.
func TestControlWithoutTheLockTwoReadersFetchTheSameMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	m, second, f := readersTrial(t, everybodysLock)
	if !trials.Shows(50, func() bool {
		m.add()
		eventually(t, "the mail is stored", func() bool { // one that lost the race may mark nothing until its IDLE ends
			return query(t, m.url, "select count(*)::text from inbound_mails")[0] == strconv.Itoa(m.added)
		})
		return f.repeated() > 0
	}) {
		t.Errorf("nothing was fetched twice without the safeguard: the trial can't fail\n%s", strings.TrimSpace(second.log.String()))
	}
	if lost, doubled := judge(t, m.url, m.acked); lost > 0 || doubled > 0 {
		t.Errorf("lost %d, doubled %d", lost, doubled)
	}
}
