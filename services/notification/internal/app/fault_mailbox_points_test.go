package app_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"fixdesk/pkg/dev/trials"
)

// mailboxTrial kills the reader of a mailbox at one point, again and again.
type mailboxTrial struct {
	*pointTrial
	mailbox *imapMailbox
	added   int
}

func newMailboxTrial(t *testing.T, fault string) *mailboxTrial {
	t.Helper()
	server, i := startIMAP(t), newIssuer(t)
	m := &mailboxTrial{pointTrial: newPointTrial(t, imapConfig(t, i, server), i, fault), mailbox: server}
	m.add()
	m.caughtUp()
	return m
}

// add puts the next mail into the mailbox. It counts as acknowledged: nobody else
// keeps it.
func (m *mailboxTrial) add(flags ...imap.Flag) {
	m.Helper()
	m.added++
	id := fmt.Sprintf("%d@mailbox.example", m.added)
	m.mailbox.add(m, plainMail(id, "x", id), flags...)
	m.acked[id] = true
}

// killAt kills the service when the server is at a step, which it doesn't take then.
// begin leads to the step.
func (m *mailboxTrial) killAt(step string, begin func()) {
	m.Helper()
	reached, killed := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(reached) })
	m.mailbox.observe(func(e imapEvent) error {
		if e.step != step {
			return nil
		}
		once()
		<-killed
		return errors.New("the client was killed")
	})
	begin()
	eventually(m, "the server is at the step "+step, func() bool {
		select {
		case <-reached:
			return true
		default:
			return false
		}
	})
	m.process.Kill()
	m.mailbox.observe(nil)
	close(killed)
}

// killHeld kills the service while a statement about the next mail is held.
func (m *mailboxTrial) killHeld(statement int, begin, after func()) {
	m.Helper()
	m.barrier.block(statement)
	begin()
	m.barrier.reached()
	m.process.Kill()
	after()
}

// madeAnew makes the mailbox anew while the service is away, with a mail that is known,
// one that somebody has read meanwhile, and one that nobody has, and starts the service.
func (m *mailboxTrial) madeAnew() {
	m.Helper()
	m.process.Kill()
	m.mailbox.rebuild(m)
	known := fmt.Sprintf("%d@mailbox.example", m.added)
	m.mailbox.add(m, plainMail(known, "x", known))
	m.add(imap.FlagSeen)
	m.add()
	m.restart()
}

func (m *mailboxTrial) one() { m.add() }

// mailboxPoints are the points of the way in by IMAP. Each leads to its point and kills
// the service there.
var mailboxPoints = map[string]func(m *mailboxTrial){
	"while it waits in IDLE": func(m *mailboxTrial) {
		m.killAt("idle", m.restart)
		m.add()
	},
	"at the search":                                func(m *mailboxTrial) { m.killAt("search", m.one) },
	"at the fetch":                                 func(m *mailboxTrial) { m.killAt("fetch", m.one) },
	"after the fetch, before the commit":           func(m *mailboxTrial) { m.killHeld(barrierInsert, m.one, m.barrier.fail) },
	"at the commit":                                func(m *mailboxTrial) { m.killHeld(barrierInsert, m.one, m.barrier.release) },
	"after the commit, before the mark":            func(m *mailboxTrial) { m.killAt("store", m.one) },
	"after the mark":                               func(m *mailboxTrial) { m.killAt("stored", m.one) },
	"while it is taken apart":                      func(m *mailboxTrial) { m.killHeld(barrierRead, m.one, m.barrier.fail) },
	"made anew, at the search":                     func(m *mailboxTrial) { m.killAt("search", m.madeAnew) },
	"made anew, at the fetch":                      func(m *mailboxTrial) { m.killAt("fetch", m.madeAnew) },
	"made anew, after the fetch before the commit": func(m *mailboxTrial) { m.killHeld(barrierInsert, m.madeAnew, m.barrier.fail) },
	"made anew, after the commit before the mark":  func(m *mailboxTrial) { m.killAt("store", m.madeAnew) },
}

// repeat kills the service n times at a point. meanwhile runs before each start.
func (m *mailboxTrial) repeat(n int, point func(m *mailboxTrial), meanwhile func()) (lost, doubled int) {
	m.Helper()
	for range n {
		point(m)
		meanwhile()
		m.restart()
		m.caughtUp()
	}
	return judge(m, m.url, m.acked)
}

// caughtUp waits until the mailbox is read to its end and all of it is marked as seen.
func (m *mailboxTrial) caughtUp() {
	m.Helper()
	eventually(m, "the mailbox is read to its end", func() bool {
		status, err := m.mailbox.user.Status(folder, &imap.StatusOptions{NumUnseen: true, UIDNext: true, UIDValidity: true})
		if err != nil || *status.NumUnseen > 0 {
			return false
		}
		read := query(m, m.url, "select uid_validity::text || ' ' || last_uid || ' ' || backlog::text from inbound_mailboxes")
		return len(read) == 1 && read[0] == fmt.Sprintf("%d %d {}", status.UIDValidity, status.UIDNext-1)
	})
}

func TestReaderOfAMailboxKilledAtEachPointLosesAndDoublesNoMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	m, n := newMailboxTrial(t, ""), trials.Count(1, 4)
	for name, point := range mailboxPoints {
		lost, doubled := m.repeat(n, point, func() {})
		t.Logf("killed %d times %s: lost %d, doubled %d", n, name, lost, doubled)
		if lost > 0 || doubled > 0 {
			t.Fatalf("%s: lost %d, doubled %d", name, lost, doubled)
		}
	}
}

// forget has the service forget how far it read, as one that relies on the marks.
func (m *mailboxTrial) forget() { execute(m, m.url, "delete from inbound_mailboxes") }

func TestControlMarkedBeforeTheCommitAMailOfAMailboxIsLost(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	m := newMailboxTrial(t, "")
	m.mailbox.observe(func(e imapEvent) error {
		if e.step == "fetch" {
			e.mark(imap.FlagSeen)
		}
		return nil
	})
	if lost, _ := m.repeat(1, mailboxPoints["after the fetch, before the commit"], m.forget); lost != 1 {
		t.Errorf("lost %d without the safeguard, want 1: the trial can't fail", lost)
	}
}

func TestControlWithoutPositionAndFingerprintsAMailOfAMailboxIsDoubled(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	m := newMailboxTrial(t, otherFingerprints)
	if _, doubled := m.repeat(1, mailboxPoints["after the commit, before the mark"], m.forget); doubled != 1 {
		t.Errorf("doubled %d without the safeguard, want 1: the trial can't fail", doubled)
	}
}
