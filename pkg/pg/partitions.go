package pg

import (
	"context"
	"fmt"
	"time"
)

// partitionsAhead is how far ahead partitions are made. It is far longer than an outage
// of all replicas.
const partitionsAhead = 3 * 31 * 24 * time.Hour

// PartitionGrace is how long a month that could be dropped, save for few rows that are
// still needed, waits for these before the others are deleted one by one.
const PartitionGrace = 31 * 24 * time.Hour

// Partitions keeps the monthly partitions of a table: they are made ahead, and old
// months are dropped whole. All fields are required save Drop and Retention.
type Partitions struct {
	// Table names the table in errors.
	Table string
	// Make makes the partitions of all months that begin before until. Several
	// processes may do so at the same time.
	Make func(ctx context.Context, until time.Time) error
	// Drop drops the partitions of the months that ended before the given time.
	Drop func(ctx context.Context, before time.Time) error
	// Retention is how long rows are kept, since months are dropped whole up to a
	// month longer; 0 keeps them without limit.
	Retention time.Duration
	Now       func() time.Time
}

// Prepare makes the partitions of this month and the next three.
func (p Partitions) Prepare(ctx context.Context) error {
	if err := p.Make(ctx, p.Now().Add(partitionsAhead)); err != nil {
		return fmt.Errorf("make partitions of %s: %w", p.Table, err)
	}
	return nil
}

// Maintain makes the partitions of the months ahead and drops those in which every row
// is older than the retention.
func (p Partitions) Maintain(ctx context.Context) error {
	if err := p.Prepare(ctx); err != nil {
		return err
	}
	if p.Retention <= 0 {
		return nil
	}
	if err := p.Drop(ctx, p.Now().Add(-p.Retention)); err != nil {
		return fmt.Errorf("drop old partitions of %s: %w", p.Table, err)
	}
	return nil
}
