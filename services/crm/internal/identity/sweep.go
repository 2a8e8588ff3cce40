package identity

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	sweepInterval = 10 * time.Minute
	// keptExpired is how long what has expired stays, for whoever looks into it.
	keptExpired = 24 * time.Hour
)

// Run removes expired sessions, reset tokens and limits until ctx ends. Any
// number of replicas may do so. A failed sweep is logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.Sweep(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.Log.ErrorContext(ctx, "sweep of expired sessions failed", "error", err)
		}
	}
}

// Sweep removes what has expired.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.now()
	for {
		n, err := s.q.SessionPurge(ctx, now.Add(-keptExpired))
		if err != nil {
			return fmt.Errorf("purge sessions: %w", err)
		}
		if n == 0 {
			break
		}
	}
	if _, err := s.q.PasswordResetPurge(ctx, now.Add(-keptExpired)); err != nil {
		return fmt.Errorf("purge reset tokens: %w", err)
	}
	if _, err := s.q.RateLimitPurge(ctx, now); err != nil {
		return fmt.Errorf("purge limits: %w", err)
	}
	return nil
}
