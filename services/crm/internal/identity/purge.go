package identity

import (
	"context"
	"fmt"
	"time"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	purgeInterval = 10 * time.Minute
	purgeBatch    = 1000 // rows
	// keptExpired is how long expired rows are kept for investigations.
	keptExpired = 24 * time.Hour

	auditInterval = time.Hour
)

// Jobs are the background work of this package, each on one replica at a time:
// expired sessions, tokens and limits are deleted in batches, partitions of the
// audit are made ahead and dropped after AuditRetention.
func (s *Service) Jobs(metrics *background.Metrics) []*background.Loop {
	job := func(name string, interval time.Duration, run func(context.Context) error) *background.Loop {
		return background.New(background.Config{
			Name: name, Interval: interval, Jitter: interval / 10, Timeout: interval,
			RunOnce: background.All(run), Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
		})
	}
	return []*background.Loop{
		job("account purge", purgeInterval, s.Purge),
		job("audit partitions", auditInterval, s.MaintainAudit),
	}
}

// Purge deletes rows that expired a day ago, in batches.
func (s *Service) Purge(ctx context.Context) error {
	now := s.now()
	before := now.Add(-keptExpired)
	for _, table := range []struct {
		name   string
		delete func(ctx context.Context, limit int32) (int64, error)
	}{
		{"sessions", func(ctx context.Context, n int32) (int64, error) {
			return s.q.SessionPurge(ctx, crmdb.SessionPurgeParams{Before: before, MaxRows: n})
		}},
		{"expired keys", func(ctx context.Context, n int32) (int64, error) {
			return s.q.KeyPurge(ctx, crmdb.KeyPurgeParams{Before: now.Add(-keptKeys), MaxRows: n})
		}},
		{"rotated secrets of keys", func(ctx context.Context, n int32) (int64, error) {
			return s.q.KeySecretPurge(ctx, crmdb.KeySecretPurgeParams{Before: before, MaxRows: n})
		}},
		{"reset tokens", func(ctx context.Context, n int32) (int64, error) {
			return s.q.PasswordResetPurge(ctx, crmdb.PasswordResetPurgeParams{Before: before, MaxRows: n})
		}},
		{"verification tokens", func(ctx context.Context, n int32) (int64, error) {
			return s.q.EmailVerificationPurge(ctx, crmdb.EmailVerificationPurgeParams{Before: before, MaxRows: n})
		}},
		{"limits", func(ctx context.Context, n int32) (int64, error) {
			return s.q.RateLimitPurge(ctx, crmdb.RateLimitPurgeParams{Before: now, MaxRows: n})
		}},
	} {
		if _, err := (&pg.Purge{Max: purgeBatch, Delete: table.delete}).Run(ctx); err != nil {
			return fmt.Errorf("purge %s: %w", table.name, err)
		}
	}
	return nil
}

// auditPartitions are the months of the audit. Nothing can be recorded in a month that
// has none.
func (s *Service) auditPartitions() pg.Partitions {
	return pg.Partitions{
		Table: "the audit", Make: s.q.AuditPartitionsPrepare, Retention: s.AuditRetention, Now: s.now,
		Drop: func(ctx context.Context, before time.Time) error {
			_, err := s.q.AuditPartitionsDrop(ctx, before)
			return err
		},
	}
}

// MaintainAudit makes the partitions of the audit for the months ahead and drops those
// in which every entry is older than AuditRetention.
func (s *Service) MaintainAudit(ctx context.Context) error { return s.auditPartitions().Maintain(ctx) }

// PrepareAudit makes the partitions of the audit for the months ahead.
func (s *Service) PrepareAudit(ctx context.Context) error { return s.auditPartitions().Prepare(ctx) }
