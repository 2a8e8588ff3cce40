package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-co-op/gocron/v2"
)

const (
	queueBatch = 1000
	// jobTimeout bounds one run of a job.
	jobTimeout = time.Minute
)

// Schedule has the jobs that gocron runs beside the loop.
type Schedule struct {
	PollInterval time.Duration // of due and expired recipients and expired leases
}

// RunSchedule runs the jobs until ctx is canceled: recipients that became due,
// expired leases, and recipients that are not sent any more. A job that still runs is not started again. One that fails
// or panics is logged and runs again at its next time.
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
		{"due recipients", s.PollInterval, l.queueDue},
		{"expired leases", s.PollInterval, l.queueExpired},
		{"expired recipients", s.PollInterval, l.expire},
	}
	for _, job := range jobs {
		runs := l.reporter(job.name)
		l.Metrics.Declare(job.name, job.every)
		_, err := scheduler.NewJob(gocron.DurationJob(job.every),
			gocron.NewTask(func(jobCtx context.Context) {
				jobCtx, cancel := context.WithTimeout(jobCtx, jobTimeout)
				defer cancel()
				if err := l.Metrics.Observe(jobCtx, job.name, job.run); ctx.Err() == nil {
					runs.Report(ctx, err)
				}
			}),
			gocron.WithName(job.name), gocron.WithContext(ctx),
			gocron.WithStartAt(gocron.WithStartImmediately()),
			gocron.WithSingletonMode(gocron.LimitModeReschedule))
		if err != nil {
			return fmt.Errorf("schedule %s: %w", job.name, err)
		}
	}
	scheduler.Start()
	<-ctx.Done()
	return nil
}

// queueDue queues recipients that became due, and wakes the loop in any case,
// since another replica may have queued some.
func (l *Loop) queueDue(ctx context.Context) error {
	defer l.Wake(true)
	for {
		n, err := l.store.queueDue(ctx, l.Now())
		if err != nil {
			return fmt.Errorf("queue due recipients: %w", err)
		}
		if n < queueBatch {
			return nil
		}
		l.Wake(true)
	}
}

// expire ends the waiting recipients that are not sent any more.
func (l *Loop) expire(ctx context.Context) error {
	for {
		n, err := l.store.expire(ctx, l.Now())
		if err != nil {
			return fmt.Errorf("end expired recipients: %w", err)
		}
		l.metrics.expired.Add(float64(n))
		if n < queueBatch {
			return nil
		}
	}
}

// queueExpired queues recipients again whose lease has expired, unless this
// replica holds results that are still to be stored.
func (l *Loop) queueExpired(ctx context.Context) error {
	for !l.unsettled.Load() {
		n, err := l.store.queueExpired(ctx, l.Now())
		if err != nil {
			return fmt.Errorf("queue recipients with expired leases: %w", err)
		}
		if n > 0 {
			l.metrics.reclaimed.Add(float64(n))
			l.Logger.WarnContext(ctx, "leases expired, their recipients are queued again", "recipients", n)
			l.Wake(true)
		}
		if n < queueBatch {
			return nil
		}
	}
	return nil
}
