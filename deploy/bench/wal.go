package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	walChanges = 400
	walBar     = 2
	// longText is how many bytes the description has.
	longText = 20_000
)

// longDescriptions gives the first tickets descriptions that don't compress.
const longDescriptions = `update tickets set description = left((select string_agg(md5(random()::text || n), ' ') from generate_series(1, 700) n where tickets.id is not null), %d)
where number <= %d`

// measureWAL compares the bytes that a status change of a ticket with a long
// description writes to the WAL with those of the plain statements for a ticket with
// a short one: row, event and outbox entry. Without a notification service the
// dispatcher would write too, so it waits for longer than the measurement.
func measureWAL(ctx context.Context, s *stack, _ options) ([]line, error) {
	if err := s.makeOpenTickets(ctx, "wal"); err != nil {
		return nil, err
	}
	for _, database := range []string{"wal_ours", "wal_yardstick"} {
		if err := s.clone(ctx, database, "wal"); err != nil {
			return nil, err
		}
	}
	if err := s.execute(ctx, "wal_ours", fmt.Sprintf(longDescriptions, longText, walChanges), "vacuum analyze tickets"); err != nil {
		return nil, err
	}
	crm, err := s.startCRM(ctx, "wal_ours", closedURL)
	if err != nil {
		return nil, err
	}
	client, err := s.client(crm.Address, openTickets)
	if err != nil {
		return nil, err
	}
	yardstick, err := s.yardstick("patch", "wal_yardstick")
	if err != nil {
		return nil, err
	}
	if err := client.changeStatus(ctx, "in_progress"); err != nil {
		return nil, err
	}
	status := []string{"blocked", "in_progress"}
	ours, err := s.walOf(ctx, "wal_ours", func() error {
		status[0], status[1] = status[1], status[0]
		return client.changeStatus(ctx, status[1])
	})
	if err != nil {
		return nil, err
	}
	changes := 0.0
	bound, err := s.walOf(ctx, "wal_yardstick", func() error {
		_, changes, err = yardstick.run(ctx, 1, time.Second)
		return err
	})
	if err != nil {
		return nil, err
	}
	ours, bound = ours/walChanges, bound/changes
	l := line{
		work: "WAL of a status change with a description of 20 kB (yardstick: plain statements, a short one)",
		ours: fmt.Sprintf("%.0f bytes", ours), yardstick: fmt.Sprintf("%.0f bytes", bound), ratio: ours / bound,
		bar: fmt.Sprintf("≤ %d ×", walBar), met: ours <= walBar*bound,
	}
	progress("  WAL: %s, plain statements %s", l.ours, l.yardstick)
	return []line{l}, nil
}

// changeStatus takes each of the first tickets to a status, as its assignee.
func (client crmClient) changeStatus(ctx context.Context, status string) error {
	for n := 1; n <= walChanges; n++ {
		if _, err := client.do(ctx, "PATCH", "/v1/tickets/"+id(ticketIDs, n), assigneeOf(n), `{"status":"`+status+`"}`); err != nil {
			return err
		}
	}
	return nil
}

// walOf returns the bytes of WAL that the second of two runs of do writes. The first
// one writes the images of whole pages that follow a checkpoint.
func (s *stack) walOf(ctx context.Context, database string, do func() error) (bytes float64, err error) {
	err = s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		const position = "select (pg_current_wal_insert_lsn() - '0/0')::float8"
		var before, after float64
		if _, err := conn.Exec(ctx, "checkpoint"); err != nil {
			return err
		}
		if err := do(); err != nil { // writes images of the pages that it changes
			return err
		}
		if err := conn.QueryRow(ctx, position).Scan(&before); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, position).Scan(&after); err != nil {
			return err
		}
		bytes = after - before
		return nil
	})
	return bytes, err
}
