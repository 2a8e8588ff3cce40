package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rules each select the violations in the CRM's database: partial writes and
// wrong counts.
var rules = map[string]string{
	"a ticket without its created event":           `select id::text from tickets t where not exists (select from ticket_events e where e.ticket_id = t.id and e.kind = 'created')`,
	"a ticket created twice":                       `select ticket_id::text from ticket_events where kind = 'created' group by ticket_id having count(*) > 1`,
	"a ticket without a mail to its reporter":      `select id::text from tickets t where not exists (select from outbox o where o.reference = t.id and o.kind = 'ticket_received')`,
	"an assignee without a mail":                   `select id::text from tickets t where assignee_id is not null and not exists (select from outbox o where o.reference = t.id and o.kind = 'ticket_assigned')`,
	"a ticket without assignee that does not wait": `select id::text from tickets where status = 'open' and assignee_id is null and waiting_since is null`,
	"a comment without its event":                  `select id::text from ticket_comments c where (select count(*) from ticket_comments where ticket_id = c.ticket_id) <> (select count(*) from ticket_events e where e.ticket_id = c.ticket_id and e.kind = 'commented')`,
	"a comment without a mail":                     `select id::text from ticket_comments c where not exists (select from outbox o where o.reference = c.ticket_id and o.kind = 'ticket_commented')`,
	"an outbox entry without its object":           `select id::text from outbox o where not exists (select from tickets where id = o.reference) and not exists (select from users where id = o.reference)`,
	"a load that differs from a recount":           `select user_id::text from engineers g where active_tickets <> (select count(*) from tickets where assignee_id = g.user_id and status in ('open', 'in_progress', 'blocked'))`,
}

// broken lists the violations of the rules.
func broken(ctx context.Context, db querier) ([]string, error) {
	var found []string
	for rule, sql := range rules {
		rows, err := db.Query(ctx, sql)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rule, err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rule, err)
		}
		for _, id := range ids {
			found = append(found, rule+": "+id)
		}
	}
	return found, nil
}

// missing returns those of the ids that are not in the table.
func missing(t *testing.T, db querier, table string, ids []string) []string {
	t.Helper()
	rows, err := db.Query(context.Background(), `select i from unnest($1::text[]) i where not exists (select from `+table+` where id = i::uuid)`, ids)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// expectConsistent expects every acknowledged ticket and no partial writes.
func (s *stack) expectConsistent(t *testing.T, acknowledged *idList) {
	t.Helper()
	if lost := missing(t, s.crm, "tickets", acknowledged.all()); len(lost) > 0 {
		t.Errorf("acknowledged and lost: %d, as %s", len(lost), lost[0])
	}
	found, err := broken(context.Background(), s.crm)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Errorf("%d partial writes, as %s", len(found), found[0])
	}
}

// expireOutboxLeases ends the leases of entries that a killed CRM holds, so
// that no test waits for them.
func (s *stack) expireOutboxLeases(t *testing.T) { t.Helper(); expireLeases(t, s.crm, "outbox") }

// expireRecipientLeases does the same for recipients. A mail that is being sent
// meanwhile is sent again.
func (s *stack) expireRecipientLeases(t *testing.T) {
	t.Helper()
	expireLeases(t, s.notify, "recipients")
}

func expireLeases(t *testing.T, db *pgxpool.Pool, table string) {
	t.Helper()
	eventually(t, "leases of "+table+" are ended", func() bool { // a worker's own update can deadlock with it
		_, err := db.Exec(context.Background(), `update `+table+` set leased_until = now() where lease_token is not null`)
		return err == nil
	})
}

// drained waits until every outbox entry is posted and every recipient has a
// result, and expects that all of them were mailed.
func (s *stack) drained(t *testing.T) {
	t.Helper()
	eventually(t, "the outbox is empty", func() bool {
		return count(t, s.crm, `select count(*) from outbox where done_at is null`) == 0
	})
	if dead := count(t, s.crm, `select count(*) from outbox where dead_at is not null`); dead > 0 {
		t.Errorf("%d entries were refused for good", dead)
	}
	eventually(t, "every recipient is finished", func() bool {
		return count(t, s.notify, `select count(*) from recipients where finished_at is null`) == 0
	})
	if unsent := count(t, s.notify, `select count(*) from recipients where status <> 'sent'`); unsent > 0 {
		t.Errorf("%d recipients are finished and not mailed", unsent)
	}
}

// notifiedOnce expects exactly one notification for each outbox entry.
func (s *stack) notifiedOnce(t *testing.T) {
	t.Helper()
	if entries, notifications := s.ids(t, s.crm, `select id::text from outbox order by 1`),
		s.ids(t, s.notify, `select idempotency_key from notifications order by 1`); !slices.Equal(entries, notifications) {
		t.Errorf("%d outbox entries became %d notifications", len(entries), len(notifications))
	}
}

// mailedOnce expects exactly one mail for each recipient.
func (s *stack) mailedOnce(t *testing.T) {
	t.Helper()
	recipients := count(t, s.notify, `select count(*) from recipients`)
	if mails, repeated := s.mail.counts(t); mails != recipients || repeated > 0 {
		t.Errorf("%d recipients got %d different mails and %d repeated ones", recipients, mails, repeated)
	}
}

func (s *stack) ids(t *testing.T, db querier, sql string) []string {
	t.Helper()
	rows, err := db.Query(context.Background(), sql)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// recountFindsPartialWrites is the control of expectConsistent: each rule is broken
// on purpose, in a transaction that is rolled back.
func (s *stack) recountFindsPartialWrites(t *testing.T) {
	t.Helper()
	undone := errors.New("undone")
	for damage, sql := range map[string]string{
		"an event is gone":          `delete from ticket_events where id = (select id from ticket_events where kind = 'created' limit 1)`,
		"an outbox entry is gone":   `delete from outbox where id = (select id from outbox where kind = 'ticket_received' limit 1)`,
		"a ticket is gone":          `delete from tickets where id = (select ticket_id from ticket_events limit 1)`,
		"a load is one too high":    `update engineers set active_tickets = active_tickets + 1 where user_id = (select user_id from engineers limit 1)`,
		"a comment's event is gone": `delete from ticket_events where id = (select id from ticket_events where kind = 'commented' limit 1)`,
	} {
		err := pgx.BeginFunc(context.Background(), s.crm, func(tx pgx.Tx) error {
			ctx := context.Background()
			if _, err := tx.Exec(ctx, `set local session_replication_role = replica`); err != nil { // no triggers, no foreign keys
				return err
			}
			if tag, err := tx.Exec(ctx, sql); err != nil || tag.RowsAffected() != 1 {
				return fmt.Errorf("%s: %d rows, %w", damage, tag.RowsAffected(), err)
			}
			if found, err := broken(ctx, tx); err != nil || len(found) == 0 {
				t.Errorf("control: the recount does not see that %s (%v)", damage, err)
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Error("control: ", err)
		}
	}
}
