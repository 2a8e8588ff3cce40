package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// floorBatch is how many recipients a claim leases and a settlement stores at most, as
// many as those of the service under load.
const floorBatch = 200

// floorTables hold as little of a mail as there is to keep: the recipient with its lease
// and its result, and the record of the try. No index has a column that an update
// changes, and each page has room for a second version of its rows, so that every
// update is HOT.
const floorTables = `
create table recipients (
    id bigint primary key, email text not null, status smallint not null default 0,
    lease_token bigint, leased_until timestamptz, finished_at timestamptz
) with (fillfactor = 40);
create table attempts (
    recipient_id bigint not null, at timestamptz not null, server text not null, code smallint not null, reply text not null
)`

// floorStep is a measurement of the least that mails cost, with all that the one before
// it does as well. Empty statements are left out.
type floorStep struct {
	work string
	// claim leases recipients by their ids from $1 to before $2 with the token $3.
	claim string
	// settle stores results by the ids $1.
	settle string
}

const (
	floorClaim = `update recipients set lease_token = $3, leased_until = clock_timestamp() + interval '1 minute'
where id >= $1 and id < $2 returning id, email`
	floorSettle = `update recipients set lease_token = null, leased_until = null, status = 1, finished_at = now() where id = any($1)`
	floorRecord = `with settled as (` + floorSettle + ` returning id)
insert into attempts select id, now(), 'mail.example.com:25', 250, '250 2.0.0 Ok' from settled`
	floorRead = `select id, email from recipients where id >= $1 and id < $2 and $3::bigint > 0`
)

var floorSteps = []floorStep{
	{work: "the conversations alone"},
	{work: "and each result stored", claim: floorRead, settle: floorSettle},
	{work: "and each recipient leased before", claim: floorClaim, settle: floorSettle},
	{work: "and a record of each try", claim: floorClaim, settle: floorRecord},
}

// measureFloor measures what a program costs that does no more than mails with durable
// states need on this machine, in turns with smtp-source: how much of its rate any
// service could reach.
func measureFloor(ctx context.Context, s *stack, o options) (lines []line, err error) {
	source, err := postfixTool("smtp-source")
	if err != nil {
		return nil, err
	}
	sink, err := s.startSink(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.execute(ctx, "postgres", "create database floor"); err != nil {
		return nil, err
	}
	if err := s.execute(ctx, "floor", strings.Split(floorTables, ";\n")...); err != nil {
		return nil, err
	}
	rates, bounds := make([][]float64, len(floorSteps)), make([][]float64, len(floorSteps))
	for range o.turns {
		for i, step := range floorSteps {
			bound, err := runSource(ctx, source, sink, o.mails)
			if err != nil {
				return nil, err
			}
			rate, err := s.floorRound(ctx, step, sink, o.mails)
			if err != nil {
				return nil, err
			}
			progress("  %s: %.0f/s, smtp-source %.0f/s", step.work, rate, bound)
			rates[i], bounds[i] = append(rates[i], rate), append(bounds[i], bound)
		}
	}
	for i, step := range floorSteps {
		lines = append(lines, atLeast("floor of mails: "+step.work, rates[i], bounds[i], 0, "/s"))
	}
	return lines, nil
}

// runSource returns the mails a second that smtp-source sends to the sink.
func runSource(ctx context.Context, source, sink string, mails int) (float64, error) {
	begin := time.Now()
	output, err := exec.CommandContext(ctx, source, "-d", "-s", strconv.Itoa(smtpConns), "-m", strconv.Itoa(mails),
		"-l", strconv.Itoa(mailBytes), sink).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("smtp-source: %w: %s", err, output)
	}
	return float64(mails) / time.Since(begin).Seconds(), nil
}

// floorRound returns the mails a second of a step.
func (s *stack) floorRound(ctx context.Context, step floorStep, sink string, mails int) (float64, error) {
	if err := s.execute(ctx, "floor", "truncate recipients, attempts",
		fmt.Sprintf("insert into recipients (id, email) select n, 'person' || n || '@example.com' from generate_series(1, %d) n", mails),
		"vacuum analyze recipients", "checkpoint"); err != nil {
		return 0, err
	}
	senders := make([]*floorSender, smtpConns)
	for i := range senders {
		var err error
		if senders[i], err = dialFloor(sink); err != nil {
			return 0, err
		}
		defer senders[i].conn.Close()
	}
	var rate float64
	err := s.inDatabase(ctx, "floor", func(claims *pgx.Conn) error {
		return s.inDatabase(ctx, "floor", func(settlements *pgx.Conn) error {
			before, ownBefore, begin := s.spent(), cpuOf(os.Getpid()), time.Now()
			if err := sendFloor(ctx, step, claims, settlements, senders, mails); err != nil {
				return err
			}
			rate = float64(mails) / time.Since(begin).Seconds()
			own := cpuOf(os.Getpid()) - ownBefore
			progress("  CPU a mail: program %d µs, PostgreSQL %d µs", own.Microseconds()/int64(mails),
				between(before.postgres, s.spent().postgres).Microseconds()/int64(mails))
			var stored int
			err := claims.QueryRow(ctx, "select count(*) from recipients where status = 1").Scan(&stored)
			if err == nil && step.settle != "" && stored != mails {
				err = fmt.Errorf("%d results are stored, want %d", stored, mails)
			}
			return err
		})
	})
	return rate, err
}

// floorRecipient is who a mail goes to.
type floorRecipient struct {
	id    int64
	email string
}

// sendFloor claims, sends and settles as the service does: a claim is made while half of
// those claimed are still to be sent, and what was sent meanwhile is settled together.
func sendFloor(ctx context.Context, step floorStep, claims, settlements *pgx.Conn, senders []*floorSender, mails int) error {
	claimed, sent := make(chan floorRecipient, floorBatch/2), make(chan int64, floorBatch/2)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer close(claimed)
		return claimFloor(ctx, claims, step.claim, mails, claimed)
	})
	sending, _ := errgroup.WithContext(ctx)
	for _, sender := range senders {
		sending.Go(func() error { return sender.run(ctx, claimed, sent) })
	}
	work.Go(func() error {
		defer close(sent)
		return sending.Wait()
	})
	work.Go(func() error { return settleFloor(ctx, settlements, step.settle, sent) })
	return work.Wait()
}

func claimFloor(ctx context.Context, conn *pgx.Conn, claim string, mails int, claimed chan<- floorRecipient) error {
	for from := 1; from <= mails; from += floorBatch {
		batch := make([]floorRecipient, 0, floorBatch)
		if claim == "" {
			for id := from; id < from+floorBatch; id++ {
				batch = append(batch, floorRecipient{int64(id), "person" + strconv.Itoa(id) + "@example.com"})
			}
		} else {
			rows, err := conn.Query(ctx, claim, from, from+floorBatch, from)
			if err != nil {
				return err
			}
			var r floorRecipient
			if _, err := pgx.ForEachRow(rows, []any{&r.id, &r.email}, func() error {
				batch = append(batch, r)
				return nil
			}); err != nil {
				return err
			}
		}
		for _, r := range batch {
			select {
			case claimed <- r:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func settleFloor(ctx context.Context, conn *pgx.Conn, settle string, sent <-chan int64) error {
	for first := range sent {
		batch := []int64{first}
		for more := true; more && len(batch) < floorBatch; {
			select {
			case id, open := <-sent:
				if more = open; open {
					batch = append(batch, id)
				}
			default:
				more = false
			}
		}
		if settle == "" {
			continue
		}
		if _, err := conn.Exec(ctx, settle, batch); err != nil {
			return err
		}
	}
	return nil
}

// floorSender sends mails over one connection to a server that offers PIPELINING, in one
// system call for each mail, with the commands of the next one.
type floorSender struct {
	conn    net.Conn
	replies *bufio.Reader
}

func dialFloor(addr string) (*floorSender, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &floorSender{conn, bufio.NewReader(conn)}
	if err := s.expect("220"); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("EHLO bench.example.com\r\n")); err != nil {
		return nil, err
	}
	return s, s.expect("250")
}

// expect reads replies with the given codes.
func (s *floorSender) expect(codes ...string) error {
	for len(codes) > 0 {
		line, err := s.replies.ReadSlice('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(line), codes[0]) {
			return fmt.Errorf("the sink answered %q instead of %s", line, codes[0])
		}
		if line[len(codes[0])] != '-' {
			codes = codes[1:]
		}
	}
	return nil
}

// run sends a mail for each recipient until no more are claimed.
func (s *floorSender) run(ctx context.Context, claimed <-chan floorRecipient, sent chan<- int64) error {
	var out []byte
	begun := false
	var next floorRecipient
	for {
		r := next
		if !begun {
			var open bool
			if r, open = <-claimed; !open {
				return nil
			}
			if _, err := s.conn.Write(appendFloorEnvelope(out[:0], r)); err != nil {
				return err
			}
		}
		if err := s.expect("250", "250", "354"); err != nil {
			return err
		}
		out = appendFloorMessage(out[:0], r)
		select {
		case next, begun = <-claimed:
		default:
			begun = false
		}
		if begun {
			out = appendFloorEnvelope(out, next)
		}
		if _, err := s.conn.Write(out); err != nil {
			return err
		}
		if err := s.expect("250"); err != nil {
			return err
		}
		select {
		case sent <- r.id:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func appendFloorEnvelope(b []byte, r floorRecipient) []byte {
	b = append(b, "MAIL FROM:<bench@example.com>\r\nRCPT TO:<"...)
	return append(append(b, r.email...), ">\r\nDATA\r\n"...)
}

// appendFloorMessage appends a message as long as those of the service.
func appendFloorMessage(b []byte, r floorRecipient) []byte {
	b = append(append(b, "From: <bench@example.com>\r\nTo: <"...), r.email...)
	b = append(b, ">\r\nSubject: Ticket #4711 was updated\r\n\r\n"...)
	for range (mailBytes - 150) / 52 {
		b = append(b, "A line of text, as mails about tickets have them..\r\n"...)
	}
	return append(b, ".\r\n"...)
}
