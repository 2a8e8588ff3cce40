package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// arrivals is a mail server that notes when each mail was accepted. It speaks
// as much SMTP (RFC 5321) as the notification service asks for.
type arrivals struct {
	listener net.Listener
	mu       sync.Mutex
	mails    map[int][]time.Time // by the ticket's number
	news     chan struct{}
}

func listenForMail() (*arrivals, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &arrivals{listener: listener, mails: map[int][]time.Time{}, news: make(chan struct{}, 1)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go a.serve(conn)
		}
	}()
	return a, nil
}

var ticketNumber = regexp.MustCompile(`#(\d+)`)

func (a *arrivals) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	say := func(text string) { fmt.Fprint(conn, text+"\r\n") }
	say("220 bench")
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "EHLO":
			say("250-bench\r\n250 8BITMIME")
		case "DATA":
			say("354 go ahead")
			number := 0
			for lines.Scan() && lines.Text() != "." {
				if found := ticketNumber.FindStringSubmatch(lines.Text()); found != nil && number == 0 && strings.HasPrefix(lines.Text(), "Subject:") {
					number, _ = strconv.Atoi(found[1])
				}
			}
			a.note(number)
			say("250 accepted")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (a *arrivals) note(number int) {
	a.mu.Lock()
	a.mails[number] = append(a.mails[number], time.Now())
	a.mu.Unlock()
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// wait gives when the nth mail about the ticket was accepted.
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
		case <-a.news:
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
	defer mail.listener.Close()
	if err := s.makeDatabase(ctx, "latency_mail", "notification"); err != nil {
		return nil, err
	}
	if err := s.makeTickets(ctx, "latency_tickets", smallTickets); err != nil {
		return nil, err
	}
	notification, err := s.startNotification(ctx, "latency_mail", mail.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	crm, err := s.startCRM(ctx, "latency_tickets", "http://"+notification.Address)
	if err != nil {
		return nil, err
	}
	d := desk{addr: crm.Address, tickets: smallTickets}
	if d.tokens, err = s.tokens(); err != nil {
		return nil, err
	}
	var took []float64
	for n := range tickets + 5 {
		begin := time.Now()
		number, err := d.raise(ctx, 1+n%customers)
		if err != nil {
			return nil, err
		}
		accepted, err := mail.wait(ctx, number, 2)
		if err != nil {
			return nil, err
		}
		if n >= 5 { // before, connections were opened and statements prepared
			took = append(took, accepted.Sub(begin).Seconds()*1000)
		}
	}
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	return []line{{
		work: "create → both mails accepted by SMTP, otherwise idle", ours: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", p50, p99),
		bar: "p50 ≤ 25 ms, p99 ≤ 150 ms", met: p50 <= 25 && p99 <= 150,
	}}, nil
}

func (d desk) raise(ctx context.Context, person int) (number int, err error) {
	status, body, err := ask(ctx, d.addr, d.request(nil, "POST", "/v1/tickets", person, newTicket))
	if err != nil {
		return 0, err
	}
	var ticket struct {
		Number int `json:"number"`
	}
	if err := json.Unmarshal(body, &ticket); err != nil || status != 201 {
		return 0, fmt.Errorf("the service answered %d: %s", status, body)
	}
	return ticket.Number, nil
}
