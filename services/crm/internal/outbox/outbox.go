// Package outbox owns the notices that are to be posted to the notification
// service: an entry is written in the transaction of its change, the dispatcher
// posts it after the commit, and it is listed until it is posted.
//
// It must not depend on tickets or users except for the id that an entry refers
// to, nor choose recipients.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// Add writes n to the outbox within the transaction of q. reference is the
// ticket or user that n is about; now becomes created_at. Wake the dispatcher
// after the commit. A notice that its recipient refuses is not written, and one
// that they want in a digest waits for it (trigger outbox_recipient).
func Add(ctx context.Context, q *crmdb.Queries, now time.Time, reference uuid.UUID, n notice.Notice) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("add %s to the outbox: %w", n.Kind(), err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("add %s to the outbox: %w", n.Kind(), err)
	}
	err = q.OutboxAdd(ctx, crmdb.OutboxAddParams{
		ID: id, Kind: n.Kind(), Reference: reference, Data: data,
		RequestID: obs.RequestID(ctx), CreatedAt: now, Traceparent: tracing.Parent(ctx),
	})
	if err != nil {
		return fmt.Errorf("add %s to the outbox: %w", n.Kind(), err)
	}
	return nil
}
