package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// largeEach is how many recipients each ended notification has, and largeStep how
	// many are stored by one statement.
	largeEach = 100
	largeStep = 1_000_000
	// largeDays is the time that they fill; half of it is beyond the retention.
	largeDays   = 180
	purgeFor    = 30 * time.Second
	largeQueue  = 1000 // waiting beside them
	scrapeBar   = time.Second
	readTimeout = 2 * time.Minute
)

// measureLarge compares the notification service on a database of many recipients
// that are over with one of none: mails a second, the gauges of the queue, the purge
// and mails beside it. At 100,000,000 it needs about 50 GB of disk and some hours.
func measureLarge(ctx context.Context, s *stack, o options) ([]line, error) {
	size, mails := o.size, o.mails/2
	sink, err := s.startSink(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.makeDatabase(ctx, "large_empty", "notification"); err != nil {
		return nil, err
	}
	if err := s.clone(ctx, "large", "large_empty"); err != nil {
		return nil, err
	}
	if err := s.fillEnded(ctx, "large", size); err != nil {
		return nil, err
	}
	stored, err := s.measureStored(ctx, size)
	if err != nil {
		return nil, err
	}
	kept := map[string]string{"RETENTION": "0"}
	var with, without []float64
	for range o.turns {
		for database, rates := range map[string]*[]float64{"large": &with, "large_empty": &without} {
			rate, err := s.queueAndDrain(ctx, database, sink, mails, kept)
			if err != nil {
				return nil, err
			}
			*rates = append(*rates, rate)
			progress("  %s: %.0f/s", database, rate)
		}
	}
	lines := []line{stored, atLeast(fmt.Sprintf("mails with %d recipients that are over (yardstick: with none)", size), with, without, 0.95, "/s")}
	gauges, err := s.measureGauges(ctx, sink, kept)
	if err != nil {
		return lines, err
	}
	purge, err := s.measurePurge(ctx, sink, mails, median(with))
	return append(append(lines, gauges), purge...), err
}

// measureStored returns the bytes of a recipient that is over, with its attempt and its
// part of a notification, in tables and indexes.
func (s *stack) measureStored(ctx context.Context, size int) (l line, err error) {
	var bytes, ofRecipients float64
	err = s.inDatabase(ctx, "large", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select pg_database_size(current_database())::float8, pg_total_relation_size('recipients')::float8").Scan(&bytes, &ofRecipients)
	})
	return line{
		work: "a recipient that is over, stored with its attempt", ours: fmt.Sprintf("%.0f B", bytes/float64(size)),
		note: fmt.Sprintf("%.0f B of it in recipients; %.1f GB in all", ofRecipients/float64(size), bytes/1e9),
	}, err
}

// fillEnded stores recipients that were mailed, over the last days.
func (s *stack) fillEnded(ctx context.Context, database string, size int) error {
	now := time.Now()
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "set session_replication_role = replica"); err != nil {
			return err
		}
		for stored := 0; stored < size; stored += largeStep {
			first, last := stored/largeEach, min(stored+largeStep, size)/largeEach
			for _, statement := range []string{endedNotifications, endedRecipients, endedAttempts} {
				if _, err := conn.Exec(ctx, statement, first, last, float64(largeDays)/float64(size/largeEach), mailText, now); err != nil {
					return err
				}
			}
			progress("  %d of %d recipients are stored", min(stored+largeStep, size), size)
		}
		for _, statement := range []string{
			fmt.Sprintf("insert into recipient_counts (status, recipients) values ('sent', %d)", size),
			"vacuum analyze", "checkpoint",
		} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// The ids are UUIDv7 of the time at which each notification was created, since its
// age is read from them.
const (
	ended = `
with ended as (
    select n, $5::timestamptz - $3::float8 * interval '1 day' * n as at, length($4::text) as bytes
    from generate_series($1::int, $2::int - 1) n
), ids as (select *, lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') as start from ended)
`
	endedNotifications = ended + `
insert into notifications (id, caller, idempotency_key, body_hash, subject, text, bytes, requester, request_id, message_domain, recipient_count, created_at)
select (start || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, 'bench', 'ended ' || n, decode(repeat('00', 32), 'hex'),
    'Ticket #4711 was updated', $4, bytes, 'bench', '', 'example.com', 100, at
from ids`
	endedRecipients = ended + `
insert into recipients (id, notification_id, ordinal, email, status, attempts, enqueued_at, next_attempt_at, finished_at)
select (start || '70009000' || lpad(to_hex(n::bigint * 100 + i), 12, '0'))::uuid, (start || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    i, 'person' || i || '@example.com', 'sent', 1, at, at, at
from ids, generate_series(0, 99) i`
	endedAttempts = ended + `
insert into attempts (recipient_id, number, at, server, code, reply, outcome)
select (start || '70009000' || lpad(to_hex(n::bigint * 100 + i), 12, '0'))::uuid, 1, at + bytes * interval '0 s', 'mail.example.com:25', 250, '2.0.0 Ok: queued', 'sent'
from ids, generate_series(0, 99) i`
)

// withoutQueue removes the notifications of fillQueue, whose ids come again, with what was
// sent of them: attempts stay when their recipients are deleted.
const withoutQueue = `
delete from notifications where id between '01990000-0000-7000-8000-000000000000' and '01990000-0000-7000-8000-ffffffffffff';
delete from attempts where recipient_id between ` + queuedRecipients

// queueAndDrain adds a queue and returns the rate at which its first mails are sent.
func (s *stack) queueAndDrain(ctx context.Context, database, sink string, mails int, variables map[string]string) (float64, error) {
	if err := s.execute(ctx, database, withoutQueue); err != nil {
		return 0, err
	}
	if err := s.fillQueue(ctx, database, largeQueue+mails); err != nil {
		return 0, err
	}
	return s.drain(ctx, database, sink, mails, variables)
}

var sentGauge = regexp.MustCompile(`(?m)^notification_recipients\{status="sent"\} ([0-9.e+]+)$`)

// measureGauges returns how long a scrape takes, once the gauges are known.
func (s *stack) measureGauges(ctx context.Context, sink string, variables map[string]string) (line, error) {
	before := s.ops
	s.ops = map[string]string{}
	defer func() { s.ops = before }()
	begin := time.Now()
	svc, err := s.startNotification(ctx, "large", sink, variables)
	if err != nil {
		return line{}, err
	}
	defer s.stopService(svc)
	var slowest time.Duration
	for known := false; !known; {
		text, took, err := scrape(ctx, s.ops["notification"])
		if err != nil {
			return line{}, err
		}
		slowest = max(slowest, took)
		if found := sentGauge.FindStringSubmatch(text); found != nil {
			sent, err := strconv.ParseFloat(found[1], 64)
			known = err == nil && sent > 0
		}
		if time.Since(begin) > readTimeout {
			return line{}, fmt.Errorf("the gauges were not known within %s", readTimeout)
		}
	}
	return line{
		work: "the gauges of the queue: from the start until they are known", ours: fmt.Sprintf("%.1f s", time.Since(begin).Seconds()),
		note: fmt.Sprintf("the slowest scrape took %d ms", slowest.Milliseconds()), bar: "scrape ≤ 1 s", met: slowest <= scrapeBar,
	}, nil
}

func scrape(ctx context.Context, addr string) (text string, took time.Duration, err error) {
	begin := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return "", 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	return string(all), time.Since(begin), err
}

// measurePurge lets the service delete what is older than the retention, first alone
// and then while it sends mails.
func (s *stack) measurePurge(ctx context.Context, sink string, mails int, alone float64) (lines []line, err error) {
	deleting := map[string]string{"RETENTION": fmt.Sprintf("%dh", largeDays*24/2)}
	if err := s.execute(ctx, "large", withoutQueue); err != nil {
		return nil, err
	}
	svc, err := s.startNotification(ctx, "large", sink, deleting)
	if err != nil {
		return nil, err
	}
	defer s.stopService(svc)
	err = s.inDatabase(ctx, "large", func(conn *pgx.Conn) error {
		first, err := purgedBelow(ctx, conn, math.Inf(1), 0)
		if err != nil {
			return err
		}
		began, err := purgedBelow(ctx, conn, first, readTimeout)
		if err != nil {
			return err
		}
		begin := time.Now()
		last, err := purgedBelow(ctx, conn, 0.6*first, purgeFor) // half of them are old
		if err != nil {
			return err
		}
		took := time.Since(begin).Seconds()
		lines = append(lines, line{
			work: "recipients purged, with their attempts", ours: fmt.Sprintf("%.0f /s", (began-last)/took),
			note: fmt.Sprintf("%.0f in %.0f s", began-last, took),
		})
		if last <= 0.6*first {
			return nil // there is nothing left to purge beside mails
		}
		since := time.Now()
		if err := s.fillQueue(ctx, "large", largeQueue+mails); err != nil {
			return err
		}
		_, rate, err := sentSince(ctx, conn, since, mails)
		lines = append(lines, atLeast("mails while it purges (yardstick: while it doesn't)", []float64{rate}, []float64{alone}, 0, "/s"))
		return err
	})
	return lines, err
}

// purgedBelow waits until fewer recipients than the limit are stored as sent, at most
// so long, and returns how many there are.
func purgedBelow(ctx context.Context, conn *pgx.Conn, limit float64, most time.Duration) (count float64, err error) {
	for begin := time.Now(); ; {
		err := conn.QueryRow(ctx, "select coalesce(sum(recipients), 0)::float8 from recipient_counts where status = 'sent'").Scan(&count)
		if err != nil || count < limit || time.Since(begin) >= most {
			return count, err
		}
		select {
		case <-ctx.Done():
			return count, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
