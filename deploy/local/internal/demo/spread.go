package demo

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// spread moves everything into the month before, in the order in which it happened:
// each ticket begins at its place in the month, and its steps follow some hours apart.
func spread(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, statement := range []string{steps, moveTickets, moveComments, moveEvents, movePeople} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, conn.Close(ctx))
}

// steps are the moments of each ticket and where in the month they go. Steps of a
// ticket that happened at the same time stay together.
const steps = `
create temporary table step on commit drop as
with began as (
    select id, now() - interval '30 days' * (1 - percent_rank() over (order by number)) - interval '1 hour' as at,
        interval '20 minutes' + interval '1 minute' * (number * 7919 % 600) as gap
    from tickets
), moments as (
    select e.ticket_id, e.created_at as before, row_number() over (partition by e.ticket_id order by e.created_at) - 1 as n,
        count(*) over (partition by e.ticket_id) as all_steps
    from (select distinct ticket_id, created_at from ticket_events) e
)
select m.ticket_id, m.before, b.at + m.n * least(b.gap, (now() - b.at) / (m.all_steps + 1)) as after
from moments m join began b on b.id = m.ticket_id`

const moveTickets = `
update tickets t set
    created_at = (select min(after) from step s where s.ticket_id = t.id),
    updated_at = (select max(after) from step s where s.ticket_id = t.id),
    accepted_at = (select after from step s where s.ticket_id = t.id and s.before = t.accepted_at),
    resolved_at = (select after from step s where s.ticket_id = t.id and s.before = t.resolved_at),
    closed_at = (select after from step s where s.ticket_id = t.id and s.before = t.closed_at)`

const moveComments = `
update ticket_comments c set created_at = s.after from step s where s.ticket_id = c.ticket_id and s.before = c.created_at`

const moveEvents = `
update ticket_events e set created_at = s.after from step s where s.ticket_id = e.ticket_id and s.before = e.created_at`

const movePeople = `
update users set created_at = created_at - interval '35 days', updated_at = updated_at - interval '35 days' where email like '%@fixdesk.example'`
