package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"fixdesk/services/notification/internal/notificationdb"
)

const sweepBatch = 1000

// Schedule is what gocron runs beside the loop.
type Schedule struct {
	PollInterval time.Duration // of due recipients and expired leases
}

// RunSchedule sweeps until ctx is canceled: recipients whose time has come and
// leases whose holder is gone. A sweep that is still running is not started again, and one
// that fails or panics is logged and comes again.
func (l *Loop) RunSchedule(ctx context.Context, s Schedule) (err error) {
	scheduler, err := gocron.NewScheduler()
	if err != nil {
		return fmt.Errorf("make the schedule: %w", err)
	}
	defer func() { err = errors.Join(err, scheduler.Shutdown()) }()
	jobs := []struct {
		name  string
		every time.Duration
		run   func(context.Context) error
	}{
		{"due recipients", s.PollInterval, l.sweepDue},
		{"expired leases", s.PollInterval, l.sweepExpired},
	}
	for _, job := range jobs {
		_, err := scheduler.NewJob(gocron.DurationJob(job.every),
			gocron.NewTask(func(jobCtx context.Context) {
				if err := job.run(jobCtx); err != nil && ctx.Err() == nil {
					l.Logger.ErrorContext(ctx, "scheduled job failed", "job", job.name, "error", err)
				}
			}),
			gocron.WithName(job.name), gocron.WithContext(ctx),
			gocron.WithStartAt(gocron.WithStartImmediately()),
			gocron.WithSingletonMode(gocron.LimitModeReschedule),
			gocron.WithEventListeners(gocron.AfterJobRunsWithPanic(func(_ uuid.UUID, name string, p any) {
				l.Logger.ErrorContext(ctx, "scheduled job panicked", "job", name, "panic", fmt.Sprint(p))
			})))
		if err != nil {
			return fmt.Errorf("schedule %s: %w", job.name, err)
		}
	}
	scheduler.Start()
	<-ctx.Done()
	return nil
}

// sweepDue queues recipients whose time has come, and wakes the loop in any
// case, for what another replica left in the queue.
func (l *Loop) sweepDue(ctx context.Context) error {
	defer l.Wake()
	q := notificationdb.New(l.DB)
	for {
		n, err := q.DeliveryPromote(ctx, notificationdb.DeliveryPromoteParams{
			Quantum: interval(Quantum), Now: l.Now(), Max: sweepBatch,
		})
		if err != nil {
			return fmt.Errorf("queue due recipients: %w", err)
		}
		if n < sweepBatch {
			return nil
		}
		l.Wake()
	}
}

// sweepExpired takes recipients back whose lease has run out.
func (l *Loop) sweepExpired(ctx context.Context) error {
	q := notificationdb.New(l.DB)
	for {
		n, err := q.DeliveryReclaim(ctx, notificationdb.DeliveryReclaimParams{
			Now: l.Now(), Quantum: interval(Quantum), Max: sweepBatch,
		})
		if err != nil {
			return fmt.Errorf("take back expired leases: %w", err)
		}
		if n > 0 {
			l.metrics.reclaimed.Add(float64(n))
			l.Logger.WarnContext(ctx, "took recipients back from a worker that is gone", "recipients", n)
			l.Wake()
		}
		if n < sweepBatch {
			return nil
		}
	}
}
