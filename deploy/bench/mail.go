package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/subprocess"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// perNotification is how many recipients each notification has; smtpConns is
// the default of NOTIFICATION_SMTP_CONNECTIONS.
const (
	perNotification = notifyapi.MaxRecipients
	smtpConns       = 10
)

var mailText = strings.Repeat("A line of text, as mails about tickets have them.\n", 12)

// mailBytes is about the size of such a mail, headers included.
const mailBytes = 1200

// startSink runs smtp-sink, which takes every mail and keeps none.
func (s *stack) startSink(ctx context.Context) (addr string, err error) {
	program, err := postfixTool("smtp-sink")
	if err != nil {
		return "", err
	}
	if addr, err = launch.FreeAddress(); err != nil {
		return "", err
	}
	args := []string{addr, "1000"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	process, err := subprocess.Start(exec.Command(program, args...), syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	s.sinks = append(s.sinks, process)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := launch.WaitListening(ctx, addr); err != nil {
		return "", fmt.Errorf("start smtp-sink: %w", err)
	}
	return addr, nil
}

func postfixTool(name string) (string, error) {
	for _, path := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("needs %s (apt install postfix)", name)
}

// serviceClient calls the notification service as the CRM does.
func (s *stack) serviceClient(addr string) (*notifyapi.Client, error) {
	token, err := jwtauth.NewSigner(func() *jwtauth.KeySet { return s.keys }).Sign(jwtauth.Claims{
		Issuer: "fixdesk", Subject: "bench", Audience: notifyapi.Audience, ID: "bench",
		Scope: []string{notifyapi.ScopeWrite}, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
	})
	return &notifyapi.Client{
		BaseURL: "http://" + addr,
		Token:   func(context.Context) (string, error) { return token, nil },
	}, err
}

// startMailing starts the notification service on the empty database mail, with a sink.
func (s *stack) startMailing(ctx context.Context) (client *notifyapi.Client, sink string, err error) {
	if sink, err = s.startSink(ctx); err != nil {
		return nil, "", err
	}
	if err := s.makeDatabase(ctx, "mail", "notification"); err != nil {
		return nil, "", err
	}
	svc, err := s.startNotification(ctx, "mail", sink, nil)
	if err != nil {
		return nil, "", err
	}
	client, err = s.serviceClient(svc.Address)
	return client, sink, err
}

// mailLoad returns a function that mails until its context ends.
func (s *stack) mailLoad(ctx context.Context) (func(context.Context) error, error) {
	client, _, err := s.startMailing(ctx)
	return func(ctx context.Context) error {
		return s.inDatabase(ctx, "mail", func(conn *pgx.Conn) error {
			for {
				if _, err := mailRound(ctx, client, conn, 20*perNotification); err != nil {
					return err
				}
			}
		})
	}, err
}

// measureMail creates notifications and waits until every recipient is stored as
// sent, in turns with smtp-source, which stores nothing.
func measureMail(ctx context.Context, s *stack, o options) ([]line, error) {
	source, err := postfixTool("smtp-source")
	if err != nil {
		return nil, err
	}
	client, sink, err := s.startMailing(ctx)
	if err != nil {
		return nil, err
	}
	var rates, bounds []float64
	err = s.inDatabase(ctx, "mail", func(conn *pgx.Conn) error {
		if _, err := mailRound(ctx, client, conn, perNotification); err != nil { // warm up
			return err
		}
		for range o.turns {
			bound, err := runSource(ctx, source, sink, o.mails)
			if err != nil {
				return err
			}
			bounds = append(bounds, bound)
			before := s.spent()
			rate, err := mailRound(ctx, client, conn, o.mails)
			if err != nil {
				return err
			}
			rates = append(rates, rate)
			progress("  mail: %.0f/s, smtp-source %.0f/s; %s", rate, bounds[len(bounds)-1], before.perMail(s.spent(), o.mails))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []line{atLeast("mails over 10 SMTP connections, each recipient's state durable", rates, bounds, 0.60, "/s")}, nil
}

// mailRound returns the mails a second from the first request until none waits.
func mailRound(ctx context.Context, client *notifyapi.Client, conn *pgx.Conn, mails int) (float64, error) {
	begin := time.Now()
	var last notifyapi.Notification
	for done := 0; done < mails; done += perNotification {
		request := notifyapi.Request{Subject: "Ticket #4711 was updated", Text: mailText, Requester: "bench"}
		for n := range perNotification {
			request.Recipients = append(request.Recipients, fmt.Sprintf("person%d@example.com", n))
		}
		var err error
		if last, err = client.Create(ctx, uuid.NewString(), request); err != nil {
			return 0, err
		}
	}
	// A query of all recipients would slow down the mails; the last one of the latest
	// notification ends about last.
	const unfinished = "select finished_at is null from recipients where notification_id = $1 order by ordinal desc limit 1"
	if err := untilNone(ctx, conn, unfinished, last.ID); err != nil {
		return 0, err
	}
	if err := untilNone(ctx, conn, "select exists (select from recipients where finished_at is null)"); err != nil {
		return 0, err
	}
	took := time.Since(begin).Seconds()
	var unsent int
	if err := conn.QueryRow(ctx, "select count(*) from recipients where status <> 'sent'").Scan(&unsent); err != nil {
		return 0, err
	}
	if unsent > 0 {
		return 0, fmt.Errorf("%d recipients were not sent to", unsent)
	}
	return float64(mails) / took, nil
}

// measureBacklog compares the rates at which the first mails of a long and of a
// short queue are sent.
func measureBacklog(ctx context.Context, s *stack, o options) ([]line, error) {
	const short = 1000
	mails := o.mails / 2
	sink, err := s.startSink(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.makeDatabase(ctx, "queue_empty", "notification"); err != nil {
		return nil, err
	}
	if err := s.clone(ctx, "queue_long", "queue_empty"); err != nil {
		return nil, err
	}
	progress("  queueing %d recipients", o.size)
	if err := s.fillQueue(ctx, "queue_long", o.size+o.turns*mails*2); err != nil {
		return nil, err
	}
	var long, base []float64
	for turn := range o.turns {
		name := fmt.Sprintf("queue_short%d", turn)
		if err := s.clone(ctx, name, "queue_empty"); err != nil {
			return nil, err
		}
		if err := s.fillQueue(ctx, name, short+mails); err != nil {
			return nil, err
		}
		for database, rates := range map[string]*[]float64{name: &base, "queue_long": &long} {
			rate, err := s.drain(ctx, database, sink, mails, nil)
			if err != nil {
				return nil, err
			}
			*rates = append(*rates, rate)
			progress("  %s: %.0f/s", database, rate)
		}
	}
	l := atLeast(fmt.Sprintf("claim and send with %d recipients waiting (yardstick: with %d)", o.size, short), long, base, 0.95, "/s")
	return []line{l}, nil
}

// fillQueue stores notifications that are due, in SQL.
func (s *stack) fillQueue(ctx context.Context, database string, recipients int) error {
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		notifications := (recipients + perNotification - 1) / perNotification
		if _, err := conn.Exec(ctx, `set session_replication_role = replica`); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `
insert into notifications (id, caller, idempotency_key, body_hash, subject, text, bytes, requester, request_id, message_domain, recipient_count, created_at)
select ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'bench', n, decode(repeat('00', 32), 'hex'),
    'Ticket #4711 was updated', $2, length($2), 'bench', '', 'example.com', 1000, now()
from generate_series(1, $1::int) n`, notifications, mailText); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `
insert into recipients (id, notification_id, ordinal, email, enqueued_at, next_attempt_at, queue_at)
select ('01990000-0000-7000-9000-' || lpad((n * 1000 + i)::text, 12, '0'))::uuid,
    ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, i, 'person' || i || '@example.com', now(), now(),
    now() + i / 20 * interval '2 s' + i * interval '1 us' + n * interval '1 ms'
from generate_series(1, $1::int) n, generate_series(0, 999) i`, notifications); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "vacuum analyze recipients")
		return err
	})
}

// queuedRecipients are the first and the last id of the recipients of fillQueue.
const queuedRecipients = `'01990000-0000-7000-9000-000000000000' and '01990000-0000-7000-9000-ffffffffffff'`

// drain runs the service until it has sent so many mails, and returns the rate from
// the first to the last of them.
func (s *stack) drain(ctx context.Context, database, sink string, mails int, variables map[string]string) (rate float64, err error) {
	sent := 0
	err = s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		since := time.Now()
		svc, err := s.startNotification(ctx, database, sink, variables)
		if err != nil {
			return err
		}
		defer s.stopService(svc)
		before := s.spent()
		sent, rate, err = sentSince(ctx, conn, since, mails)
		if err != nil {
			return err
		}
		progress("  %s", before.perMail(s.spent(), sent))
		return nil
	})
	return rate, err
}

// sentSince waits until so many mails of fillQueue were sent, and returns the rate from
// the first to the last of them. It asks seldom, since counting the tries takes PostgreSQL
// milliseconds, more with each turn on the same database. It names the ids, since by the
// time alone PostgreSQL reads all of 100,000,000 tries.
func sentSince(ctx context.Context, conn *pgx.Conn, since time.Time, mails int) (sent int, rate float64, err error) {
	for sent < mails {
		select {
		case <-ctx.Done():
			return sent, 0, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		var seconds float64
		if err := conn.QueryRow(ctx, `select count(*), coalesce(extract(epoch from max(at) - min(at)), 0)::float8
			from attempts where at > $1 and recipient_id between `+queuedRecipients, since).Scan(&sent, &seconds); err != nil {
			return sent, 0, err
		}
		rate = float64(sent) / seconds
	}
	return sent, rate, nil
}
