package app_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// switched returns a hook that answers verb with reply until it is switched off.
func switched(verb, reply string) (hook func(smtptest.Event) string, off func()) {
	var isOff atomic.Bool
	return func(e smtptest.Event) string {
		if e.Verb == verb && !isOff.Load() {
			return reply
		}
		return ""
	}, func() { isOff.Store(true) }
}

// troubleTrial mails to a server that answers verb with reply for a while, and
// returns what is wrong with how the trouble shows and whom it cost an attempt.
func troubleTrial(t *testing.T, verb, reply string) (wrong []string) {
	t.Helper()
	hook, off := switched(verb, reply)
	smtp := startSMTP(t, hook)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	id := raise(t, s, numbered("r", 20)...)
	shows := func() bool { return strings.Contains(body(t, s, "/readyz"), "in trouble since") }
	eventually(t, "trouble shows or costs an attempt", func() bool {
		n, err := s.Get(context.Background(), id)
		return shows() || err == nil && n.Counts.Delayed > 0
	})
	if !shows() {
		wrong = append(wrong, "the trouble does not show")
	}
	if !strings.Contains(body(t, s, "/metrics"), `notification_smtp_circuit_open{server="`+smtp.Addr()+`"} 1`) {
		wrong = append(wrong, "the metric does not show the trouble")
	}
	off()
	n := s.until(t, id, notifyapi.StatusCompleted, patience)
	wrong = append(wrong, burnt(n.Recipients)...)
	if shows() {
		wrong = append(wrong, "the trouble still shows")
	}
	if smtp.Count("") != 20 {
		wrong = append(wrong, fmt.Sprintf("%d mails, want 20", smtp.Count("")))
	}
	return wrong
}

func TestServerTroubleCostsNoAttemptAndIsReported(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ verb, reply string }{
		{"CONNECT", "421 4.3.2 Maintenance"},
		{"CONNECT", smtptest.Drop},
		{"MAIL", "550 5.7.1 Sender refused"},
		{"MAIL", "421 4.3.2 Maintenance"},
		{"MAIL", "530 5.7.0 Authenticate first"},
	} {
		t.Run(tc.verb+" "+tc.reply, func(t *testing.T) {
			t.Parallel()
			report(t, troubleTrial(t, tc.verb, tc.reply))
		})
	}
}

func TestTroubleOfSeveralRecipientsIsReportedAsTheServers(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"421 4.3.2 Shutting down", "530 5.7.0 Authenticate first"} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			wrong := troubleTrial(t, "RCPT", reply)
			// Those who met it before it was the server's, and the probes.
			if burnt := len(wrong); burnt == 0 || burnt > 12 {
				t.Errorf("%d of 20 recipients lost an attempt", burnt)
			}
			for _, w := range wrong {
				if !strings.Contains(w, " took 2 attempts") {
					t.Error(w)
				}
			}
		})
	}
}

func TestControlRecipientsOwnTroubleCostsAttemptsAndIsNotReported(t *testing.T) {
	t.Parallel()
	mustFind(t, troubleTrial(t, "RCPT", "450 4.2.1 Mailbox busy"),
		" attempts", "the trouble does not show", "the metric does not show")
}

// loginTrial mails to a server that is down at first and then refuses the
// step, AUTH or RCPT, for a while. It returns whom that cost an attempt.
func loginTrial(t *testing.T, step string) (wrong []string) {
	t.Helper()
	i := newIssuer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c := testConfig(newDatabase(t), i.url)
	c.SMTPURL = config.NewSecret("smtp://joe:canary-password@" + address)
	s := start(t, i, c)
	id := raise(t, s, numbered("r", 5)...)
	trouble := func() bool { return strings.Contains(body(t, s, "/readyz"), "in trouble since") }
	eventually(t, "the trouble of a server that is down shows", trouble)

	var good, refused atomic.Bool
	refuses := func(verb string) bool {
		if verb != step || good.Load() {
			return false
		}
		refused.Store(true)
		return true
	}
	(&smtptest.Server{
		Auth: func(_, user, password string) bool {
			return user == "joe" && password == "canary-password" && !refuses("AUTH")
		},
		Hook: func(e smtptest.Event) string {
			if e.Verb == "RCPT" && refuses("RCPT") {
				return "450 4.2.1 Mailbox busy"
			}
			return ""
		},
	}).Start(t, address)
	eventually(t, "the server refuses", refused.Load)
	if n, err := s.Get(context.Background(), id); err != nil || n.Counts.Sent+n.Counts.Failed+n.Counts.Delayed > 0 {
		wrong = append(wrong, fmt.Sprintf("while it refused: %+v, %v", n.Counts, err))
	}
	good.Store(true)
	n := s.until(t, id, notifyapi.StatusCompleted, patience)
	if out := s.log.String() + body(t, s, "/metrics") + body(t, s, "/readyz"); strings.Contains(out, "canary") {
		wrong = append(wrong, "the password shows")
	}
	return append(wrong, burnt(n.Recipients)...)
}

func TestServerThatIsDownOrRefusesTheLoginCostsNoAttempt(t *testing.T) {
	t.Parallel()
	report(t, loginTrial(t, "AUTH"))
}

func TestControlServerThatRefusesTheRecipientCostsAttempts(t *testing.T) {
	t.Parallel()
	mustFind(t, loginTrial(t, "RCPT"), " attempts")
}

// takeover mails through two servers, or with alone through the first, which
// is in trouble until it is repaired. It reports whether the second took all in
// time, and whether the first was then used again in time.
func takeover(t *testing.T, alone, repaired bool, takeLimit, backLimit time.Duration) (took, back bool) {
	t.Helper()
	within := func(limit time.Duration, holds func() bool) bool {
		for deadline := time.Now().Add(limit); !holds(); pause() {
			if time.Now().After(deadline) {
				return false
			}
		}
		return true
	}
	hook, off := switched("CONNECT", "421 4.3.2 Maintenance")
	first, second := startSMTP(t, hook), startSMTP(t, nil)
	addresses := []string{first.Addr(), second.Addr()}
	if alone {
		addresses = addresses[:1]
	}
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, addresses...))
	id := raise(t, s, numbered("r", 10)...)
	took = within(takeLimit, func() bool {
		n, err := s.Get(context.Background(), id)
		return err == nil && n.Status == notifyapi.StatusCompleted
	}) && second.Count("") == 10 && first.Count("") == 0
	if repaired {
		off()
	}
	return took, within(backLimit, func() bool {
		raise(t, s, "again@example.org")
		return first.Count("") > 0
	})
}

func TestSecondMailServerTakesOverUntilTheFirstWorksAgain(t *testing.T) {
	t.Parallel()
	if took, back := takeover(t, false, true, patience, patience); !took || !back {
		t.Errorf("the second took over: %v, the first came back: %v", took, back)
	}
}

func TestControlNoTakeoverWithoutASecondServerOrReturnWithoutRepair(t *testing.T) {
	t.Parallel()
	if took, _ := takeover(t, true, false, 500*time.Millisecond, 0); took {
		t.Error("without a second server one took over: the trial can't fail")
	}
	if took, back := takeover(t, false, false, patience, 1500*time.Millisecond); !took || back {
		t.Errorf("the second took over: %v, the first came back unrepaired: %v: the trial can't fail", took, back)
	}
}
