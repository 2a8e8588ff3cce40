package attachment

import (
	"context"
	"fmt"
	"time"

	"fixdesk/pkg/background"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	purgeInterval = time.Minute
	// unattachedBatch is how many files one transaction removes, and objectBatch how
	// many objects one run.
	unattachedBatch = 100
	objectBatch     = 20
)

// Jobs are the background work of this package, each on one replica at a time.
func (s *Service) Jobs(metrics *background.Metrics) []*background.Loop {
	purge := background.New(background.Config{
		Name: "attachment purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: 10 * time.Minute,
		RunOnce: s.Purge, Remote: true, Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
	})
	scan := background.New(background.Config{
		Name: "attachment scan", Interval: scanInterval, Jitter: scanInterval / 10, Timeout: 10 * time.Minute,
		RunOnce: s.RunScan, Remote: true, Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
	})
	s.wake = scan.Wake
	return []*background.Loop{purge, scan}
}

// Purge removes files that belong to nothing after 24 hours, and the objects that are
// due. It reports whether more may be left.
func (s *Service) Purge(ctx context.Context) (again bool, err error) {
	files := &pg.Purge{Max: unattachedBatch, Delete: func(ctx context.Context, limit int32) (int64, error) {
		now := s.Now()
		return s.q.AttachmentRemoveUnattached(ctx, crmdb.AttachmentRemoveUnattachedParams{Before: now.Add(-keptUnattached), Most: limit, Now: now})
	}}
	again, err = files.RunOnce(ctx)
	if err != nil {
		return false, fmt.Errorf("remove unattached files: %w", err)
	}
	due, err := s.q.AttachmentRemovalNext(ctx, crmdb.AttachmentRemovalNextParams{Now: s.Now(), Most: objectBatch})
	if err != nil {
		return false, fmt.Errorf("list objects to remove: %w", err)
	}
	for _, d := range due {
		if err := s.removeObject(ctx, d); err != nil {
			return false, err
		}
	}
	return again || len(due) == objectBatch, nil
}

func (s *Service) removeObject(ctx context.Context, d crmdb.AttachmentRemovalNextRow) error {
	b, err := s.stores.of(d.Store)
	if err == nil {
		err = b.remove(ctx, d.Object)
	}
	if err == nil {
		err = s.q.AttachmentRemovalDone(ctx, d.Object)
	}
	if err != nil {
		return fmt.Errorf("remove an object: %w", err)
	}
	return nil
}
