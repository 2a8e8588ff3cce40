package faulttest

import (
	"fmt"
	"net/http"
	"net/smtp"
	"strings"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/dev/trials"
)

// mailKills sends n mails one by one and kills the CRM when it acknowledges each, before
// the notification service knows, and again while it reads what was left. forget is
// called after each kill. It returns how many tickets each mail became.
func mailKills(t *testing.T, n int, forget func(*stack)) (tickets map[string]int) {
	t.Helper()
	s := newStack(t, shared.server)
	p := startProxy(t, "http://"+s.notifyAddr)
	var crm atomic.Pointer[service]
	var armed atomic.Bool
	killed := make(chan struct{}, 1)
	p.tamper = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ack") && armed.CompareAndSwap(true, false) {
			crm.Load().Kill()
			killed <- struct{}{}
			panic(http.ErrAbortHandler)
		}
	}
	settings := variables{
		"CRM_NOTIFICATION_URL": p.url, "CRM_SUPPORT_ADDRESS": "support@fixdesk.test", "CRM_REPLY_SECRET": strings.Repeat("secret ", 10),
	}
	in := freeAddress(t)
	crm.Store(s.startCRM(t, settings))
	s.startNotification(t, variables{"NOTIFICATION_INBOUND_ADDR": in, "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test"})
	for i := range n {
		armed.Store(true)
		message := fmt.Sprintf("From: Ada <ada%d@example.com>\r\nTo: <support@fixdesk.test>\r\nSubject: Mail %d\r\nMessage-ID: <%d@example.com>\r\n\r\nIt smokes.\r\n", i, i, i)
		if err := smtp.SendMail(in, nil, "ada@example.com", []string{"support@fixdesk.test"}, []byte(message)); err != nil {
			t.Fatal(err)
		}
		<-killed
		forget(s)
		crm.Store(s.startCRM(t, settings))
	}
	eventually(t, "every mail is acknowledged", func() bool {
		return len(s.ids(t, s.notify, "select id::text from inbound_mails where status <> 'acknowledged'")) == 0
	})
	tickets = map[string]int{}
	for _, title := range s.ids(t, s.crm, "select title from tickets") {
		tickets[title]++
	}
	return tickets
}

func TestConsumerKilledAtEachAcknowledgementGivesEachMailOneEffect(t *testing.T) {
	t.Parallel()
	n := trials.Count(2, 20)
	tickets := mailKills(t, n, func(*stack) {})
	for i := range n {
		if got := tickets[fmt.Sprint("Mail ", i)]; got != 1 {
			t.Errorf("mail %d became %d tickets", i, got)
		}
	}
	t.Logf("%d kills, %d tickets", n, len(tickets))
}

// The control: a consumer that doesn't remember what it did before it acknowledges does
// it twice.
func TestControlConsumerThatForgetsMailDoublesIt(t *testing.T) {
	t.Parallel()
	tickets := mailKills(t, 1, func(s *stack) {
		if _, err := s.crm.Exec(t.Context(), "delete from inbound_mails"); err != nil {
			t.Fatal(err)
		}
	})
	if tickets["Mail 0"] != 2 {
		t.Errorf("a forgotten mail became %d tickets", tickets["Mail 0"])
	}
}
