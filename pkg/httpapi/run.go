package httpapi

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
)

// Process is what a service does besides answering requests.
type Process struct {
	// Prepare runs before the service is ready, for example migrations.
	Prepare func(ctx context.Context) error
	// Started is called once, when the service has become ready.
	Started func()
	// Jobs run from then on, until their context ends.
	Jobs []func(ctx context.Context) error
	// DrainDelay is how long a stop goes on serving, not ready, before it begins:
	// as long as load balancers need to see that.
	DrainDelay time.Duration
	// StopWithin bounds the stop of requests and jobs.
	StopWithin time.Duration
}

// Run serves requests from l until ctx ends. Until p is prepared the service is
// alive and not ready (see SetStarting). It stops when ctx ends, after
// p.DrainDelay, or when a job fails: requests and jobs end at the same time, within
// p.StopWithin. It returns nil after a clean stop.
func (a *API) Run(ctx context.Context, l net.Listener, p Process) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		a.drain(running, p.DrainDelay)
		stop()
	})()
	a.SetStarting("The database is being migrated.")
	server := NewServer(l.Addr().String(), a.Handler())
	served := make(chan error, 1)
	go func() {
		defer stop()
		served <- Serve(running, server, l, p.StopWithin)
	}()
	err := p.Prepare(running)
	if err == nil {
		debug.FreeOSMemory() // what only the start needed; the heap's next limit follows from the rest
		a.SetStarting("")
		p.Started()
		err = p.runJobs(running, stop)
	} else if running.Err() != nil {
		err = nil // the stop began meanwhile
	}
	stop()
	if serveErr := <-served; serveErr != nil {
		err = serveErr
	}
	return err
}

// drain makes a service that was ready not ready and asks clients to connect anew
// for their next request, until delay is over or ctx ends.
func (a *API) drain(ctx context.Context, delay time.Duration) {
	if delay <= 0 || a.starting.Load() != nil {
		return
	}
	a.cfg.Logger.InfoContext(ctx, "not ready any more, still serving before the stop", "delay", delay.String())
	a.draining.Store(true)
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
}

func (p Process) runJobs(ctx context.Context, stop context.CancelFunc) error {
	var jobs errgroup.Group
	for _, run := range p.Jobs {
		jobs.Go(func() error {
			defer stop()
			return run(ctx)
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- jobs.Wait() }()
	<-ctx.Done()
	select {
	case err := <-ended:
		return err
	case <-time.After(p.StopWithin):
		return fmt.Errorf("jobs still run %s after the stop began", p.StopWithin)
	}
}
