package outbox

import (
	"context"
	"fmt"
	"time"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
)

const (
	erasureInterval = 30 * time.Second
	erasureBatch    = 100
)

// erasureLoop has the notification service erase the mails to people who were erased, on
// one replica at a time.
func erasureLoop(d *Dispatcher, metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "erasure of mails", Interval: erasureInterval, Jitter: erasureInterval / 10, Timeout: 10 * time.Minute,
		RunOnce: d.erase, Remote: true, Exclusive: pg.Exclusive(d.pool), Log: d.log, Metrics: metrics,
	})
}

// erase asks for what is due and forgets each address when the service has taken it over.
// It returns whether more may be due.
func (d *Dispatcher) erase(ctx context.Context) (again bool, err error) {
	due, err := d.queries.MailErasuresDue(ctx, erasureBatch)
	if err != nil {
		return false, fmt.Errorf("list addresses whose mails are to be erased: %w", err)
	}
	for _, hash := range due {
		if err := d.client.Erase(ctx, hash); err != nil {
			return false, fmt.Errorf("erase mails: %w", err)
		}
		if err := d.queries.MailErasureDone(ctx, hash); err != nil {
			return false, fmt.Errorf("forget an address whose mails are erased: %w", err)
		}
	}
	return len(due) == erasureBatch, nil
}
