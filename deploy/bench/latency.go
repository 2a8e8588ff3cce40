package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"fixdesk/pkg/dev/smtptest"
)

// arrivals is when the mails about each ticket were accepted.
type arrivals struct {
	smtptest.Server
	mu      sync.Mutex
	mails   map[int][]time.Time // by the ticket's number
	changed chan struct{}
}

func listenForMail() (*arrivals, error) {
	a := &arrivals{mails: map[int][]time.Time{}, changed: make(chan struct{}, 1)}
	a.Hook = a.record
	return a, a.Listen("")
}

var ticketNumber = regexp.MustCompile(`(?m)^Subject:.*#(\d+)`)

// record notes a message just before its 250 is sent.
func (a *arrivals) record(e smtptest.Event) string {
	if e.Verb != "DOT" {
		return ""
	}
	number := 0
	if found := ticketNumber.FindStringSubmatch(e.Arg); found != nil {
		number, _ = strconv.Atoi(found[1])
	}
	a.mu.Lock()
	a.mails[number] = append(a.mails[number], time.Now())
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
	return ""
}

// wait returns when the nth mail about the ticket was accepted.
func (a *arrivals) wait(ctx context.Context, number, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		a.mu.Lock()
		mails := a.mails[number]
		a.mu.Unlock()
		if len(mails) >= n {
			return mails[n-1], nil
		}
		select {
		case <-a.changed:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("mail %d about ticket #%d did not come", n, number)
		}
	}
}

// measureLatency raises tickets one after the other and waits each time until
// the mail server has accepted both mails, the reporter's and the engineer's.
func measureLatency(ctx context.Context, s *stack, o options) ([]line, error) {
	tickets := 200
	if o.turns == 1 {
		tickets = 50
	}
	mail, err := listenForMail()
	if err != nil {
		return nil, err
	}
	defer mail.Close()
	if err := s.makeDatabase(ctx, "latency_mail", "notification"); err != nil {
		return nil, err
	}
	if err := s.makeTickets(ctx, "latency_tickets", smallTickets); err != nil {
		return nil, err
	}
	notification, err := s.startNotification(ctx, "latency_mail", mail.Addr(), nil)
	if err != nil {
		return nil, err
	}
	crm, err := s.startCRM(ctx, "latency_tickets", "http://"+notification.Address)
	if err != nil {
		return nil, err
	}
	client := crmClient{addr: crm.Address, tickets: smallTickets}
	if client.tokens, err = s.tokens(); err != nil {
		return nil, err
	}
	var took []float64
	for n := range tickets + 5 {
		begin := time.Now()
		number, err := client.raise(ctx, 1+n%customers)
		if err != nil {
			return nil, err
		}
		accepted, err := mail.wait(ctx, number, 2)
		if err != nil {
			return nil, err
		}
		if n >= 5 { // the first ones open connections and prepare statements
			took = append(took, accepted.Sub(begin).Seconds()*1000)
		}
	}
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	return []line{{
		work: "create → both mails accepted by SMTP, otherwise idle", ours: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", p50, p99),
		bar: "p50 ≤ 8 ms, p99 ≤ 30 ms", met: p50 <= 8 && p99 <= 30,
	}}, nil
}

func (client crmClient) raise(ctx context.Context, person int) (number int, err error) {
	body, err := client.do(ctx, "POST", "/v1/tickets", person, newTicket)
	if err != nil {
		return 0, err
	}
	var ticket struct {
		Number int `json:"number"`
	}
	err = json.Unmarshal(body, &ticket)
	return ticket.Number, err
}
