package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"fixdesk/pkg/dev/launch"
)

// profileTime is how long each profile is taken, all at the same time.
const profileTime = 10 * time.Second

// profiles are the loads that can be profiled.
func profiles() []string {
	var names []string
	for _, c := range append(append([]comparison{}, reads...), actions...) {
		names = append(names, c.name)
	}
	return append(names, "mail", "overload")
}

// profile writes pprof files of the services under a load.
func (s *stack) profile(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil { //nolint:gosec // profiles are no secret
		return err
	}
	s.ops = map[string]string{}
	running, stop := context.WithCancel(ctx)
	defer stop()
	load, err := s.profiledLoad(ctx, o)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- load(running) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the load ended: %w", err)
	case <-time.After(2 * time.Second): // connections are open, statements prepared
	}
	var all errgroup.Group
	for service, addr := range s.ops {
		for _, kind := range []string{"profile", "allocs", "mutex"} {
			all.Go(func() error { return fetchProfile(ctx, o, service, addr, kind) })
		}
	}
	err = all.Wait()
	stop()
	if loadErr := <-ended; err == nil && !errors.Is(loadErr, context.Canceled) && running.Err() == nil {
		err = loadErr
	}
	return err
}

// profiledLoad starts what the load needs and returns a function that repeats it
// until its context ends.
func (s *stack) profiledLoad(ctx context.Context, o options) (func(context.Context) error, error) {
	switch o.work {
	case "mail":
		return s.mailLoad(ctx)
	case "overload":
		return s.overloadLoad(ctx)
	}
	for _, group := range []struct {
		name string
		make func(context.Context, string) error
		list []comparison
	}{
		{"tickets", func(ctx context.Context, name string) error { return s.makeTickets(ctx, name, smallTickets) }, reads},
		{"actions", s.makeOpenTickets, actions},
	} {
		for _, c := range group.list {
			if c.name != o.work {
				continue
			}
			if err := group.make(ctx, group.name); err != nil {
				return nil, err
			}
			both, err := s.makeSides(ctx, group.name)
			return func(ctx context.Context) error {
				got, err := load{addr: both.client.addr, conns: c.conns, request: c.request(both.client)}.run(ctx, 2*profileTime)
				progress("  %.0f/s", got.rate)
				return err
			}, err
		}
	}
	return nil, fmt.Errorf("there is no load %q", o.work)
}

func fetchProfile(ctx context.Context, o options, service, addr, kind string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", addr, kind, int(profileTime.Seconds()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d: %s", url, answer.StatusCode, body)
	}
	if err != nil {
		return err
	}
	if kind == "profile" {
		kind = "cpu"
	}
	file := filepath.Join(o.out, o.work+"-"+service+"-"+kind+".pprof")
	progress("  %s", file)
	return os.WriteFile(file, body, 0o644) //nolint:gosec // profiles are no secret
}

// opsAddress is where a service's operations listener serves profiles, "off" without
// -profile.
func (s *stack) opsAddress(name string) (string, error) {
	if s.ops == nil {
		return "off", nil
	}
	addr, err := launch.FreeAddress()
	s.ops[name] = addr
	return addr, err
}
