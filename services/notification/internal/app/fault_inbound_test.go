package app_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/trials"
)

// senders hand mails in until they are stopped, as mail servers do: a mail that is not
// answered 250 is sent again until it is. One in ten is sent again although it was, as
// after an answer that was lost.
type senders struct {
	mu     sync.Mutex
	addr   string
	acked  map[string]bool
	stop   chan struct{}
	wg     sync.WaitGroup
	number int
}

func startSenders(n int, addr string) *senders {
	s := &senders{addr: addr, acked: map[string]bool{}, stop: make(chan struct{})}
	for range n {
		s.wg.Go(func() {
			for {
				select {
				case <-s.stop:
					return
				default:
					s.send()
				}
			}
		})
	}
	return s
}

// send hands one mail in, until it is taken or waitLimit has passed.
func (s *senders) send() {
	s.mu.Lock()
	s.number++
	id := strconv.Itoa(s.number) + "@sender.example"
	s.mu.Unlock()
	again := rand.N(10) == 0
	raw := plainMail(id, "trial", strings.Repeat("text\r\n", rand.N(50))+id)
	for deadline := time.Now().Add(waitLimit); time.Now().Before(deadline); {
		err := smtp.SendMail(s.addr, nil, "ada@example.com", []string{"support@desk.test"}, raw)
		if err == nil {
			s.mu.Lock()
			s.acked[id] = true
			s.mu.Unlock()
			if !again {
				return
			}
			again = false
			continue
		}
		if strings.HasPrefix(err.Error(), "5") { // refused for good
			return
		}
		pause()
	}
}

// end lets each sender finish its mail.
func (s *senders) end() {
	close(s.stop)
	s.wg.Wait()
}

func (s *senders) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

// freeAddr is an address that a service can be started at again.
func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// judge counts, when all stored mails are read, which acknowledged mails are not there
// and which are there several times.
func judge(t testing.TB, url string, acked map[string]bool) (lost, doubled int) {
	t.Helper()
	eventually(t, "all mails are read", func() bool {
		return query(t, url, "select count(*)::text from inbound_mails where status = 'received'")[0] == "0"
	})
	stored := map[string]int{}
	for _, id := range query(t, url, "select content->>'message_id' from inbound_mails where content is not null") {
		stored[id]++
	}
	for id := range acked {
		if stored[id] == 0 {
			lost++
		}
	}
	for _, n := range stored {
		if n > 1 {
			doubled++
		}
	}
	return lost, doubled
}

// inboundKillTrial kills the service while mail is handed in, some times, and counts.
// fault is SQL that disables a safeguard. relay, if set, is put before the service.
func inboundKillTrial(t *testing.T, kills int, fault string, relay func(t *testing.T, to string) string) (acked, lost, doubled int) {
	t.Helper()
	i := newIssuer(t)
	c := inboundConfig(t, i)
	c.Inbound.Addr = config.OptionalAddr(freeAddr(t))
	p := run(t, i, c)
	if fault != "" {
		execute(t, c.DatabaseURL.Reveal(), fault)
	}
	addr := string(c.Inbound.Addr)
	if relay != nil {
		addr = relay(t, addr)
	}
	s := startSenders(8, addr)
	for range kills {
		before := s.count()
		eventually(t, "mails are acknowledged", func() bool { return s.count() >= before+20 })
		p = p.runAgain(t, i)
	}
	s.end()
	lost, doubled = judge(t, c.DatabaseURL.Reveal(), s.acked)
	return len(s.acked), lost, doubled
}

func TestKilledListenerLosesAndDoublesNoMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	acked, lost, doubled := inboundKillTrial(t, trials.Count(1, 10), "", nil)
	t.Logf("acknowledged %d, lost %d, doubled %d", acked, lost, doubled)
	if acked == 0 || lost > 0 || doubled > 0 {
		t.Errorf("acknowledged %d, lost %d, doubled %d", acked, lost, doubled)
	}
}

// forgetful is a mail server that answers 250 before it has passed the mail on.
func forgetful(t *testing.T, to string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go converse(conn, to)
		}
	}()
	return listener.Addr().String()
}

func converse(conn net.Conn, to string) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "220 forgetful\r\n")
	var mail strings.Builder
	inData := false
	for {
		line, err := reader.ReadString('\n')
		switch {
		case err != nil:
			return
		case inData && line == ".\r\n":
			inData = false
			_, _ = io.WriteString(conn, "250 taken\r\n")
			raw := mail.String()
			mail.Reset()
			go func() { _ = smtp.SendMail(to, nil, "ada@example.com", []string{"support@desk.test"}, []byte(raw)) }()
		case inData:
			mail.WriteString(line)
		case strings.HasPrefix(line, "DATA"):
			inData = true
			_, _ = io.WriteString(conn, "354 go on\r\n")
		case strings.HasPrefix(line, "QUIT"):
			_, _ = io.WriteString(conn, "221 bye\r\n")
			return
		default:
			_, _ = io.WriteString(conn, "250 ok\r\n")
		}
	}
}

func TestControlAnsweredBeforeTheCommitAKillLosesMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	if !trials.Shows(10, func() bool {
		_, lost, _ := inboundKillTrial(t, 1, "", forgetful)
		return lost > 0
	}) {
		t.Error("nothing was lost without the safeguard: the trial can't fail")
	}
}

// otherFingerprints gives each arrival a fingerprint of its own.
const otherFingerprints = `
create function other_fingerprint() returns trigger language plpgsql as $$
begin
    new.fingerprint := sha256(new.id::text::bytea);
    return new;
end $$;
create trigger other_fingerprint before insert on inbound_mails for each row execute function other_fingerprint();`

func TestControlWithoutFingerprintsMailIsDoubled(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	if !trials.Shows(10, func() bool {
		_, _, doubled := inboundKillTrial(t, 1, otherFingerprints, nil)
		return doubled > 0
	}) {
		t.Error("nothing was doubled without the safeguard: the trial can't fail")
	}
}

// mailboxKillTrial kills the service while a mailbox gets mail. What is in the mailbox
// counts as acknowledged: nobody else keeps it.
func mailboxKillTrial(t *testing.T, kills int) (added, lost, doubled int) {
	t.Helper()
	m, i := startIMAP(t), newIssuer(t)
	c := imapConfig(t, i, m)
	url := c.DatabaseURL.Reveal()
	p := run(t, i, c)
	stop, ids := make(chan struct{}), map[string]bool{}
	var adding sync.WaitGroup
	adding.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				id := fmt.Sprintf("%d@mailbox.example", n)
				m.add(t, plainMail(id, "trial", id))
				ids[id] = true
			}
		}
	})
	stored := func() int {
		n, _ := strconv.Atoi(query(t, url, "select count(*)::text from inbound_mails")[0])
		return n
	}
	for range kills {
		before := stored()
		eventually(t, "mails are stored", func() bool { return stored() > before })
		p = p.runAgain(t, i)
	}
	close(stop)
	adding.Wait()
	eventually(t, "the mailbox is read to its end", func() bool { return m.unseen(t) == 0 })
	lost, doubled = judge(t, url, ids)
	return len(ids), lost, doubled
}

func TestKilledReaderOfAMailboxLosesAndDoublesNoMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	added, lost, doubled := mailboxKillTrial(t, trials.Count(1, 10))
	t.Logf("added %d, lost %d, doubled %d", added, lost, doubled)
	if added == 0 || lost > 0 || doubled > 0 {
		t.Errorf("added %d, lost %d, doubled %d", added, lost, doubled)
	}
}

func TestControlWithoutFingerprintsAMailboxMadeAnewIsDoubled(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	m, i := startIMAP(t), newIssuer(t)
	c := imapConfig(t, i, m)
	s := start(t, i, c)
	m.add(t, plainMail("one@x", "x", "y"))
	s.pending(t, 1)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	execute(t, c.DatabaseURL.Reveal(), otherFingerprints)
	m.rebuild(t)
	m.add(t, plainMail("one@x", "x", "y"), imap.FlagSeen)
	s = start(t, i, c)
	s.pending(t, 2)
}

func TestMailIsDelayedWhileTheDatabaseIsAwayAndNotLost(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	c := inboundConfig(t, i)
	s := start(t, i, c)
	handIn(t, s.inbound(t), plainMail("before@x", "x", "y"), "support@desk.test")
	url := c.DatabaseURL.Reveal()
	execute(t, url, "alter table inbound_mails rename to away")
	err := smtp.SendMail(s.inbound(t), nil, "ada@example.com", []string{"support@desk.test"}, plainMail("during@x", "x", "y"))
	if err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("while it can't be stored: %v", err)
	}
	execute(t, url, "alter table away rename to inbound_mails")
	handIn(t, s.inbound(t), plainMail("during@x", "x", "y"), "support@desk.test")
	if n := len(s.pending(t, 2)); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
}
