package app_test

import (
	"fmt"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// pointTrial kills the service at one point of the way in, again and again.
type pointTrial struct {
	*testing.T
	issuer  *issuer
	config  app.Config
	url     string
	barrier *barrier
	process *process
	number  int // of mails
	acked   map[string]bool
	relay   string // hands the mails on, if it is set
}

// newPointTrial starts the service. fault is SQL that disables a safeguard.
func newPointTrial(t *testing.T, c app.Config, i *issuer, fault string) *pointTrial {
	t.Helper()
	p := &pointTrial{T: t, issuer: i, config: c, url: c.DatabaseURL.Reveal(), acked: map[string]bool{}}
	p.barrier = newBarrier(t, p.url)
	if fault != "" {
		execute(t, p.url, fault)
	}
	p.process = run(t, i, c)
	return p
}

func newListenerTrial(t *testing.T, protocol notifyapi.InboundSource, fault string) *pointTrial {
	t.Helper()
	i := newIssuer(t)
	c := inboundConfig(t, i)
	c.Inbound.Addr, c.Inbound.Protocol = config.OptionalAddr(freeAddr(t)), app.InboundProtocol(protocol)
	return newPointTrial(t, c, i, fault)
}

func (p *pointTrial) restart() {
	p.Helper()
	p.process = p.process.runAgain(p, p.issuer)
}

func (p *pointTrial) addr() string {
	if p.relay != "" {
		return p.relay
	}
	return string(p.config.Inbound.Addr)
}

// send hands a mail in and reports on the channel whether it was acknowledged.
func (p *pointTrial) send(id string) <-chan bool {
	acked := make(chan bool, 1)
	go func() {
		acked <- smtp.SendMail(p.addr(), nil, "ada@example.com", []string{"support@desk.test"}, plainMail(id, "x", id)) == nil
	}()
	return acked
}

// converse begins a mail and leaves it to the test to go on.
func (p *pointTrial) converse(hello string, to ...string) *talk {
	p.Helper()
	c := converseWith(p, p.addr())
	c.say(250, "%s client.example", hello)
	c.say(250, "MAIL FROM:<ada@example.com>")
	for _, address := range to {
		c.say(250, "RCPT TO:<%s>", address)
	}
	c.say(354, "DATA")
	return c
}

// stored counts the mails that are in the database.
func (p *pointTrial) stored() string {
	p.Helper()
	return query(p, p.url, "select count(*)::text from inbound_mails")[0]
}

// atInsert kills the service while it stores a mail, which fails or is committed.
func (p *pointTrial) atInsert(id string, after func()) (acked bool) {
	p.Helper()
	p.barrier.block(barrierInsert)
	answer := p.send(id)
	p.barrier.reached()
	p.process.Kill()
	after()
	return <-answer
}

// atRead kills the service while it stores what an acknowledged mail says.
func (p *pointTrial) atRead(id string, after func()) (acked bool) {
	p.Helper()
	p.barrier.block(barrierRead)
	acked = <-p.send(id)
	p.barrier.reached()
	p.process.Kill()
	after()
	return acked
}

// committed waits until a mail is stored by a service that is dead.
func (p *pointTrial) committed() {
	p.Helper()
	before := p.stored()
	p.barrier.release()
	eventually(p, "the mail is stored", func() bool { return p.stored() != before })
}

// listenerPoints are the points of the way in by SMTP. Each hands a mail in, kills the
// service at its point, and returns whether the mail was acknowledged.
var listenerPoints = map[string]func(p *pointTrial, id string) (acked bool){
	"within the mail": func(p *pointTrial, id string) bool {
		c := p.converse("EHLO", "support@desk.test")
		_ = c.PrintfLine("Message-ID: <%s>\r\n\r\nhalf", id)
		p.process.Kill()
		return false
	},
	"between the pieces of a large mail": func(p *pointTrial, id string) bool {
		c := p.converse("EHLO", "support@desk.test")
		pieces := query(p, p.url, "select count(*)::text from inbound_raw")[0]
		_ = c.PrintfLine("Message-ID: <%s>\r\n\r\n%s", id, strings.Repeat(strings.Repeat("x", 98)+"\r\n", 4000))
		eventually(p, "a piece is stored", func() bool { return query(p, p.url, "select count(*)::text from inbound_raw")[0] != pieces })
		p.process.Kill()
		return false
	},
	"after the last byte, before the commit": func(p *pointTrial, id string) bool { return p.atInsert(id, p.barrier.fail) },
	"after the commit, before the answer":    func(p *pointTrial, id string) bool { return p.atInsert(id, p.committed) },
	"after the answer": func(p *pointTrial, id string) bool {
		acked := <-p.send(id)
		p.process.Kill()
		return acked
	},
	"while it is taken apart, before the commit": func(p *pointTrial, id string) bool { return p.atRead(id, p.barrier.fail) },
	"while it is taken apart, at the commit":     func(p *pointTrial, id string) bool { return p.atRead(id, p.barrier.release) },
}

// repeat kills the service n times at a point. A mail that was not acknowledged is sent
// again, as its server would.
func (p *pointTrial) repeat(n int, point func(p *pointTrial, id string) bool) (lost, doubled int) {
	p.Helper()
	for range n {
		p.number++
		id := fmt.Sprintf("%d@point.example", p.number)
		acked := point(p, id)
		p.restart()
		for deadline := time.Now().Add(waitLimit); !acked; pause() {
			if acked = <-p.send(id); !acked && time.Now().After(deadline) {
				p.Fatalf("the mail %s is still refused", id)
			}
		}
		p.acked[id] = true
	}
	return judge(p, p.url, p.acked)
}

func TestListenerKilledAtEachPointLosesAndDoublesNoMail(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	p, n := newListenerTrial(t, notifyapi.InboundSMTP, ""), trials.Count(1, 4)
	for name, point := range listenerPoints {
		lost, doubled := p.repeat(n, point)
		t.Logf("killed %d times %s: lost %d, doubled %d", n, name, lost, doubled)
		if lost > 0 || doubled > 0 {
			t.Fatalf("%s: lost %d, doubled %d", name, lost, doubled)
		}
	}
	if len(p.acked) != n*len(listenerPoints) {
		t.Errorf("%d mails were acknowledged, want %d", len(p.acked), n*len(listenerPoints))
	}
}

func TestControlAnsweredBeforeTheCommitMailIsLostAtThatPoint(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	p := newListenerTrial(t, notifyapi.InboundSMTP, "")
	p.relay = forgetful(t, string(p.config.Inbound.Addr))
	if lost, _ := p.repeat(1, listenerPoints["after the last byte, before the commit"]); lost != 1 {
		t.Errorf("lost %d without the safeguard, want 1: the trial can't fail", lost)
	}
}

func TestControlWithoutFingerprintsMailIsDoubledAtThatPoint(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	p := newListenerTrial(t, notifyapi.InboundSMTP, otherFingerprints)
	if _, doubled := p.repeat(1, listenerPoints["after the commit, before the answer"]); doubled != 1 {
		t.Errorf("doubled %d without the safeguard, want 1: the trial can't fail", doubled)
	}
}

// TestLMTPListenerKilledBetweenTwoAnswersLosesNoRecipient sends a mail again to the
// recipients that were not answered alone, as Postfix does. The mail to them is stored
// beside the mail to all; the consumer recognises the two as one.
func TestLMTPListenerKilledBetweenTwoAnswersLosesNoRecipient(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	p := newListenerTrial(t, notifyapi.InboundLMTP, "")
	n := trials.Count(1, 4)
	for k := range n {
		c := p.converse("LHLO", "a@desk.test", "b@desk.test")
		c.body(k)
		c.expect(250)
		p.restart()
		c = p.converse("LHLO", "b@desk.test")
		c.body(k)
		c.expect(250)
	}
	for _, to := range []string{"{a@desk.test,b@desk.test}", "{b@desk.test}"} {
		stored := query(t, p.url, "select count(distinct fingerprint)::text || ' of ' || count(*) from inbound_mails where envelope_to = $1::text[]", to)[0]
		if want := fmt.Sprintf("%d of %[1]d", n); stored != want {
			t.Errorf("%s: %s are stored, want %s", to, stored, want)
		}
	}
}

// body ends a mail.
func (c *talk) body(number int) {
	for line := range strings.Lines(string(plainMail(fmt.Sprintf("%d@lmtp.example", number), "x", "y"))) {
		_ = c.PrintfLine("%s", strings.TrimRight(line, "\r\n"))
	}
	_ = c.PrintfLine(".")
}
