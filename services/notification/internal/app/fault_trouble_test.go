package app_test

import (
	"context"
	"fmt"
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

// troubleTrial mails to a server that answers verb with reply for a while. It
// returns what is wrong with the report of the trouble, and which recipients
// needed more than one attempt; blamed is how often the server was held to be in
// trouble, at first and after each probe that failed.
func troubleTrial(t *testing.T, verb, reply string) (wrong []string, blamed int) {
	t.Helper()
	hook, off := switched(verb, reply)
	smtp := startSMTP(t, hook)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	id := raise(t, s, numbered("r", 20)...)
	reported := func() bool { return strings.Contains(ops(t, s, "/readyz"), "in trouble since") }
	eventually(t, "the trouble is reported or costs an attempt", func() bool {
		n, err := s.Get(context.Background(), id)
		return reported() || err == nil && n.Counts.Delayed > 0
	})
	if !reported() {
		wrong = append(wrong, "the trouble is not reported")
	}
	if !strings.Contains(ops(t, s, "/metrics"), `notification_smtp_circuit_open{server="`+smtp.Addr()+`"} 1`) {
		wrong = append(wrong, "the metric does not report the trouble")
	}
	off()
	n := s.until(t, id, notifyapi.StatusCompleted, waitLimit)
	wrong = append(wrong, extraAttempts(n.Recipients)...)
	if reported() {
		wrong = append(wrong, "the trouble is still reported")
	}
	if smtp.Count("") != 20 {
		wrong = append(wrong, fmt.Sprintf("%d mails, want 20", smtp.Count("")))
	}
	return wrong, strings.Count(s.log.String(), "mail server in trouble")
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
			wrong, _ := troubleTrial(t, tc.verb, tc.reply)
			report(t, wrong)
		})
	}
}

func TestTroubleOfSeveralRecipientsIsReportedAsTheServers(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"421 4.3.2 Shutting down", "530 5.7.0 Authenticate first"} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			wrong, blamed := troubleTrial(t, "RCPT", reply)
			attempts := 0
			for _, w := range wrong {
				var email string
				var n int
				if _, err := fmt.Sscanf(w, "%s took %d attempts", &email, &n); err != nil {
					t.Error(w)
				}
				attempts += n - 1
			}
			// Two before the one that opened the circuit, three whose conversations
			// ended after it, and one for each probe.
			if most := 5 + blamed; attempts == 0 || attempts > most {
				t.Errorf("%d attempts failed while the server was blamed %d times, want at most %d", attempts, blamed, most)
			}
		})
	}
}

func TestControlRecipientsOwnTroubleCostsAttemptsAndIsNotReported(t *testing.T) {
	t.Parallel()
	wrong, _ := troubleTrial(t, "RCPT", "450 4.2.1 Mailbox busy")
	mustFind(t, wrong, " attempts", "the trouble is not reported", "the metric does not report")
}

// loginTrial mails to a server that is down at first and then refuses the
// step, AUTH or RCPT, for a while. It returns which recipients needed more than
// one attempt.
func loginTrial(t *testing.T, step string) (wrong []string) {
	t.Helper()
	i := newIssuer(t)
	address := freeAddress(t)
	c := testConfig(newDatabase(t), i.url)
	c.SMTPURL = config.NewSecret("smtp://joe:canary-password@" + address)
	s := start(t, i, c)
	id := raise(t, s, numbered("r", 5)...)
	trouble := func() bool { return strings.Contains(ops(t, s, "/readyz"), "in trouble since") }
	eventually(t, "the trouble of a server that is down is reported", trouble)

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
	n := s.until(t, id, notifyapi.StatusCompleted, waitLimit)
	if out := s.log.String() + ops(t, s, "/metrics") + ops(t, s, "/readyz"); strings.Contains(out, "canary") {
		wrong = append(wrong, "the password is in the output")
	}
	return append(wrong, extraAttempts(n.Recipients)...)
}

func TestServerThatIsDownOrRefusesTheLoginCostsNoAttempt(t *testing.T) {
	t.Parallel()
	report(t, loginTrial(t, "AUTH"))
}

func TestControlServerThatRefusesTheRecipientCostsAttempts(t *testing.T) {
	t.Parallel()
	mustFind(t, loginTrial(t, "RCPT"), " attempts")
}

// takeoverTrial mails through two servers, or with alone through the first only.
// The first is in trouble until it is repaired. It reports whether the second
// took all mails within takeLimit, and whether the first was used again within
// backLimit.
func takeoverTrial(t *testing.T, alone, repaired bool, takeLimit, backLimit time.Duration) (took, back bool) {
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
	if took, back := takeoverTrial(t, false, true, waitLimit, waitLimit); !took || !back {
		t.Errorf("the second took over: %v, the first was used again: %v", took, back)
	}
}

func TestControlNoTakeoverWithoutASecondServerOrReturnWithoutRepair(t *testing.T) {
	t.Parallel()
	if took, _ := takeoverTrial(t, true, false, 500*time.Millisecond, 0); took {
		t.Error("without a second server one took over: the trial can't fail")
	}
	if took, back := takeoverTrial(t, false, false, waitLimit, 1500*time.Millisecond); !took || back {
		t.Errorf("the second took over: %v, the first was used unrepaired: %v: the trial can't fail", took, back)
	}
}
