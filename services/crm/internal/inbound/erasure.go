package inbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/background"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

const (
	erasureInterval = 10 * time.Second
	erasureBatch    = 100
	// erasureRetry is when a deletion that was refused is tried again.
	erasureRetry = time.Minute
)

// ErasureJob has the notification service delete the mails of people who were erased,
// on one replica at a time. It is needed also where no mail comes in any more.
func (s *Service) ErasureJob(metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "inbound mail erasure", Interval: erasureInterval, Jitter: erasureInterval / 10, Timeout: 10 * time.Minute,
		RunOnce: s.Erase, Remote: true, Exclusive: pg.Exclusive(s.Pool), Log: s.Log, Metrics: metrics,
	})
}

// Erase has the notification service delete the mails that are due, and forgets each
// when it is gone there. One that is refused delays no other and is tried again later.
// It returns whether more may be due.
func (s *Service) Erase(ctx context.Context) (again bool, err error) {
	q := crmdb.New(s.Pool)
	due, err := q.InboundErasuresDue(ctx, crmdb.InboundErasuresDueParams{Now: s.Now(), Most: erasureBatch})
	if err != nil {
		return false, fmt.Errorf("list mails to erase: %w", err)
	}
	for _, id := range due {
		if err := s.erase(ctx, q, id); err != nil {
			return false, fmt.Errorf("erase a mail: %w", err)
		}
	}
	return len(due) == erasureBatch, nil
}

// ofOneMail are answers that say nothing about other mails: it is not acknowledged yet, or
// deleting it fails; and that of an older version, which deletes none.
var ofOneMail = []int{http.StatusConflict, http.StatusInternalServerError, http.StatusMethodNotAllowed}

func (s *Service) erase(ctx context.Context, q *crmdb.Queries, id uuid.UUID) error {
	err := s.Client.InboundDelete(ctx, id)
	var answer *notifyapi.Error
	switch {
	case err == nil || errors.As(err, &answer) && answer.Code == errs.CodeNotFound:
		return q.InboundErasureDone(ctx, id)
	case answer != nil && slices.Contains(ofOneMail, answer.Status):
		s.Log.WarnContext(ctx, "a mail of an erased person can't be deleted yet", "inbound_id", id, "status", answer.Status)
		return q.InboundErasurePostpone(ctx, crmdb.InboundErasurePostponeParams{MailID: id, DueAt: s.Now().Add(erasureRetry)})
	}
	return err
}
