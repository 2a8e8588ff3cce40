package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// requester is the name under which the notification service files our posts.
const requester = "crm"

// outcome is what became of one claimed entry.
type outcome struct {
	entry crmdb.OutboxClaimRow
	judgement
	err error
}

// batch collects the outcomes of a claim. After the first trouble nothing more
// is posted.
type batch struct {
	mu       sync.Mutex
	outcomes []outcome
	trouble  *outcome
}

func (b *batch) add(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes = append(b.outcomes, o)
	if o.trouble && b.trouble == nil {
		b.trouble = &o
	}
}

func (b *batch) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trouble != nil
}

func (b *batch) count(v verdict) (n int) {
	for _, o := range b.outcomes {
		if o.verdict == v {
			n++
		}
	}
	return n
}

// firstFailure is the first entry that the service could not take, nil if there
// is none.
func (b *batch) firstFailure() *outcome {
	i := slices.IndexFunc(b.outcomes, func(o outcome) bool {
		return o.verdict == failed && !errors.Is(o.err, notice.ErrUnknownKind)
	})
	if i < 0 {
		return nil
	}
	return &b.outcomes[i]
}

// postAll posts what was claimed: concurrently, but in order what is about the
// same thing.
func (r *Relay) postAll(ctx context.Context, entries []crmdb.OutboxClaimRow) *batch {
	start, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	b := &batch{outcomes: make([]outcome, 0, len(entries))}
	groups := byReference(entries)
	work := make(chan []crmdb.OutboxClaimRow, len(groups))
	for _, g := range groups {
		work <- g
	}
	close(work)
	var wg sync.WaitGroup
	for range min(concurrency, len(groups)) {
		wg.Go(func() {
			for g := range work {
				r.postInOrder(start, g, b)
			}
		})
	}
	wg.Wait()
	return b
}

// postInOrder ends at the first entry that must be tried again.
func (r *Relay) postInOrder(start context.Context, entries []crmdb.OutboxClaimRow, b *batch) {
	held := false
	for _, e := range entries {
		if held || b.over() || start.Err() != nil {
			b.add(outcome{entry: e, judgement: judgement{verdict: untried}})
			continue
		}
		err := r.post(context.WithoutCancel(start), e)
		o := outcome{entry: e, judgement: judge(err), err: err}
		r.tell(start, o)
		b.add(o)
		held = o.verdict == failed || o.verdict == notReached
	}
}

// post puts an entry into words and posts it under its id as Idempotency-Key.
func (r *Relay) post(ctx context.Context, e crmdb.OutboxClaimRow) error {
	n, err := notice.Decode(e.Kind, e.Data)
	switch {
	case errors.Is(err, notice.ErrUnknownKind):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUndecodable, err)
	}
	ctx, cancel := context.WithTimeout(obs.WithRequestID(ctx, e.RequestID), postTimeout)
	defer cancel()
	m := n.Message(r.links)
	reference := e.Reference.String()
	request := notifyapi.Request{
		Subject: m.Subject, Text: m.Text, HTML: &m.HTML, Recipients: m.To,
		Requester: requester, Reference: &reference,
	}
	if m.Thread != "" {
		request.Thread = &m.Thread
	}
	_, err = r.client.Create(ctx, e.ID.String(), request)
	return err
}

// tell counts a try and logs it, without a word of what was written to whom.
func (r *Relay) tell(ctx context.Context, o outcome) {
	r.metrics.posts.WithLabelValues(string(o.verdict)).Inc()
	level, message := slog.LevelInfo, "notice posted"
	attrs := []any{
		"outcome", string(o.verdict), "entry", o.entry.ID, "kind", o.entry.Kind,
		"reference", o.entry.Reference, "attempts", o.entry.Attempts,
	}
	switch o.verdict {
	case repeated:
		level, message = slog.LevelWarn, "notice had been posted before in other words"
	case refused:
		level, message = slog.LevelError, "notice refused for good"
	case failed:
		level, message = slog.LevelWarn, "notice not posted"
	case notReached:
		return
	}
	if o.err != nil {
		attrs = append(attrs, "error", errorText(o.err))
	}
	r.log.Log(obs.WithRequestID(ctx, o.entry.RequestID), level, message, attrs...)
}

// settle writes the outcomes down, each statement guarded by the lease token: what
// another replica has taken over meanwhile is left alone.
func (r *Relay) settle(ctx context.Context, token uuid.UUID, b *batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	var done []uuid.UUID
	bury := crmdb.OutboxBuryParams{Token: token}
	again := crmdb.OutboxPostponeParams{Token: token}
	for _, o := range b.outcomes {
		switch o.verdict {
		case posted, repeated:
			done = append(done, o.entry.ID)
		case refused:
			bury.Ids = append(bury.Ids, o.entry.ID)
			bury.LastErrors = append(bury.LastErrors, errorText(o.err))
		default:
			appendAgain(&again, o)
		}
	}
	var settled int64
	var problems []error
	note := func(n int64, err error) { settled += n; problems = append(problems, err) }
	if len(done) > 0 {
		note(r.queries.OutboxFinish(ctx, crmdb.OutboxFinishParams{Ids: done, Token: token}))
	}
	if len(bury.Ids) > 0 {
		note(r.queries.OutboxBury(ctx, bury))
	}
	if len(again.Ids) > 0 {
		note(r.queries.OutboxPostpone(ctx, again))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("settle outbox entries: %w", err)
	}
	if lost := int64(len(b.outcomes)) - settled; lost > 0 {
		r.log.WarnContext(ctx, "outbox lease was lost before it was settled", "entries", lost)
	}
	return nil
}

func appendAgain(p *crmdb.OutboxPostponeParams, o outcome) {
	var delay time.Duration
	if o.verdict == failed {
		delay = backoff(int(o.entry.Attempts)+1, o.retryAfter)
	}
	text := ""
	if o.err != nil {
		text = errorText(o.err)
	}
	p.Ids = append(p.Ids, o.entry.ID)
	p.Reached = append(p.Reached, o.verdict == failed)
	p.DelaysSeconds = append(p.DelaysSeconds, delay.Seconds())
	p.LastErrors = append(p.LastErrors, text)
}

// byReference groups entries by what they are about, each group in the order
// in which they were written; UUIDv7 sorts by age.
func byReference(entries []crmdb.OutboxClaimRow) [][]crmdb.OutboxClaimRow {
	slices.SortFunc(entries, func(a, b crmdb.OutboxClaimRow) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	place := map[uuid.UUID]int{}
	var groups [][]crmdb.OutboxClaimRow
	for _, e := range entries {
		i, known := place[e.Reference]
		if !known {
			i = len(groups)
			place[e.Reference] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], e)
	}
	return groups
}
