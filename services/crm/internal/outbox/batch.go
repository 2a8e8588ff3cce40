package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// requester is the name of the CRM in its notifications.
const requester = "crm"

// result is a claimed entry with the outcome of its post.
type result struct {
	entry crmdb.OutboxClaimRow
	classification
	err error
}

// batch collects the results of a claim. After the first failure of the service
// it starts no post.
type batch struct {
	mu             sync.Mutex
	results        []result
	serviceFailure *result
}

func (b *batch) add(r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results = append(b.results, r)
	if r.serviceFailed && b.serviceFailure == nil {
		b.serviceFailure = &r
	}
}

func (b *batch) isOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.serviceFailure != nil
}

func (b *batch) count(o outcome) (n int) {
	for _, r := range b.results {
		if r.outcome == o {
			n++
		}
	}
	return n
}

// firstFailure is the first entry whose post failed because of the service, nil if
// there is none.
func (b *batch) firstFailure() *result {
	i := slices.IndexFunc(b.results, func(r result) bool {
		return r.outcome == outcomeFailed && !errors.Is(r.err, notice.ErrUnknownKind)
	})
	if i < 0 {
		return nil
	}
	return &b.results[i]
}

// postAll posts the claimed entries concurrently, those of one reference to one recipient
// in their order.
func (d *Dispatcher) postAll(ctx context.Context, entries []crmdb.OutboxClaimRow) *batch {
	start, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	b := &batch{results: make([]result, 0, len(entries))}
	groups := byRecipient(entries)
	work := make(chan []crmdb.OutboxClaimRow, len(groups))
	for _, g := range groups {
		work <- g
	}
	close(work)
	var wg sync.WaitGroup
	for range min(concurrency, len(groups)) {
		wg.Go(func() {
			for g := range work {
				d.postInOrder(start, g, b)
			}
		})
	}
	wg.Wait()
	return b
}

// postInOrder stops at the first entry that must be tried again.
func (d *Dispatcher) postInOrder(start context.Context, entries []crmdb.OutboxClaimRow, b *batch) {
	stopped := false
	for _, e := range entries {
		if stopped || b.isOver() || start.Err() != nil {
			b.add(result{entry: e, classification: classification{outcome: outcomeNotTried}})
			continue
		}
		r := d.try(start, e, b)
		b.add(r)
		stopped = r.outcome == outcomeFailed || r.outcome == outcomeNotReached
	}
}

// try posts one entry. A mail that may have files with it first waits for its turn.
func (d *Dispatcher) try(start context.Context, e crmdb.OutboxClaimRow, b *batch) result {
	n, err := decode(e)
	if err == nil && len(d.mailed(n)) > 0 {
		select {
		case d.slots <- struct{}{}:
			defer func() { <-d.slots }()
		case <-start.Done():
		}
		if b.isOver() || start.Err() != nil {
			return result{entry: e, classification: classification{outcome: outcomeNotTried}}
		}
	}
	if err == nil {
		err = d.post(context.WithoutCancel(start), e, n)
	}
	r := result{entry: e, classification: classify(err), err: err}
	d.record(start, r)
	return r
}

func decode(e crmdb.OutboxClaimRow) (notice.Notice, error) {
	n, err := notice.Decode(e.Kind, e.Data)
	if err != nil && !errors.Is(err, notice.ErrUnknownKind) {
		return nil, fmt.Errorf("%w: %w", errUndecodable, err)
	}
	return n, err
}

// post makes the mail of an entry and posts it with the entry's id as
// Idempotency-Key, with its files or, where the service refuses them, without.
func (d *Dispatcher) post(ctx context.Context, e crmdb.OutboxClaimRow, n notice.Notice) error {
	ctx, cancel := context.WithTimeout(within(ctx, e), postTimeout)
	defer cancel()
	if files := d.read(ctx, e, n); len(files) > 0 {
		request := d.request(e, notice.Attached(n))
		request.Attachments = files
		_, err := d.client.Create(ctx, e.ID.String(), request)
		if classify(err).outcome != outcomeRefused {
			return err
		}
		d.log.WarnContext(ctx, "notice refused with its files, which are linked", "entry", e.ID, "error", errorText(err))
	}
	_, err := d.client.Create(ctx, e.ID.String(), d.request(e, n))
	return err
}

// request makes the mail of a notice, without its files.
func (d *Dispatcher) request(e crmdb.OutboxClaimRow, n notice.Notice) notifyapi.Request {
	m := n.Message(d.links)
	reference := e.Reference.String()
	request := notifyapi.Request{
		Subject: m.Subject, Text: m.Text, HTML: &m.HTML, Recipients: m.To,
		Requester: requester, Reference: &reference, Sensitive: notice.IsSensitive(e.Kind),
	}
	if request.Sensitive { // somebody waits for its token
		request.Priority = notifyapi.PriorityUrgent
	}
	if m.Thread != "" {
		request.Thread = &m.Thread
	}
	if m.ReplyTo != "" {
		request.ReplyTo = &m.ReplyTo
	}
	if notifyapi.IsUnsubscribeURL(m.Unsubscribe) {
		request.UnsubscribeURL = &m.Unsubscribe
	}
	return request
}

// record counts and logs an attempt, without the text and the recipients.
func (d *Dispatcher) record(ctx context.Context, r result) {
	d.metrics.posts.WithLabelValues(string(r.outcome)).Inc()
	level, message := slog.LevelInfo, "notice posted"
	switch r.outcome {
	case outcomeRepeated:
		level, message = slog.LevelWarn, "notice was posted before with another text or other files"
	case outcomeRefused:
		level, message = slog.LevelError, "notice refused permanently"
	case outcomeFailed:
		if r.serviceFailed { // the job logs when that begins and when it ends
			return
		}
		level, message = slog.LevelWarn, "notice not posted"
	case outcomeNotReached:
		return
	}
	attrs := []any{
		"outcome", string(r.outcome), "entry", r.entry.ID, "kind", r.entry.Kind,
		"reference", r.entry.Reference, "attempts", r.entry.Attempts,
	}
	if r.err != nil {
		attrs = append(attrs, "error", errorText(r.err))
	}
	d.log.Log(within(ctx, r.entry), level, message, attrs...)
}

// within is ctx with the request id and the trace of the change that wrote the entry.
func within(ctx context.Context, e crmdb.OutboxClaimRow) context.Context {
	return tracing.WithParent(obs.WithRequestID(ctx, e.RequestID), e.Traceparent)
}

// settle stores the results. Each statement is guarded by the lease token, so that
// entries that another replica has leased meanwhile are unchanged.
func (d *Dispatcher) settle(ctx context.Context, token uuid.UUID, b *batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	done := crmdb.OutboxFinishParams{Token: token, SensitiveKinds: notice.SensitiveKinds}
	dead := crmdb.OutboxMarkDeadParams{Token: token}
	again := crmdb.OutboxPostponeParams{Token: token}
	for _, r := range b.results {
		switch r.outcome {
		case outcomePosted, outcomeRepeated:
			done.Ids = append(done.Ids, r.entry.ID)
		case outcomeRefused:
			dead.Ids = append(dead.Ids, r.entry.ID)
			dead.LastErrors = append(dead.LastErrors, errorText(r.err))
		default:
			appendAgain(&again, r)
		}
	}
	var settled int64
	var problems []error
	add := func(n int64, err error) { settled += n; problems = append(problems, err) }
	if len(done.Ids) > 0 {
		add(d.queries.OutboxFinish(ctx, done))
	}
	if len(dead.Ids) > 0 {
		add(d.queries.OutboxMarkDead(ctx, dead))
	}
	if len(again.Ids) > 0 {
		add(d.queries.OutboxPostpone(ctx, again))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("settle outbox entries: %w", err)
	}
	if lost := int64(len(b.results)) - settled; lost > 0 {
		d.log.WarnContext(ctx, "outbox lease was lost before it was settled", "entries", lost)
	}
	return nil
}

func appendAgain(p *crmdb.OutboxPostponeParams, r result) {
	var delay time.Duration
	if r.outcome == outcomeFailed {
		delay = backoff(int(r.entry.Attempts)+1, r.serviceFailed, r.retryAfter)
	}
	text := ""
	if r.err != nil {
		text = errorText(r.err)
	}
	p.Ids = append(p.Ids, r.entry.ID)
	p.Reached = append(p.Reached, r.outcome == outcomeFailed)
	p.DelaysSeconds = append(p.DelaysSeconds, delay.Seconds())
	p.LastErrors = append(p.LastErrors, text)
}

// byRecipient groups entries by their reference and recipient, each group in the order
// in which they were written; UUIDv7 sorts by age.
func byRecipient(entries []crmdb.OutboxClaimRow) [][]crmdb.OutboxClaimRow {
	type key struct {
		reference uuid.UUID
		recipient string
	}
	slices.SortFunc(entries, func(a, b crmdb.OutboxClaimRow) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	index := map[key]int{}
	var groups [][]crmdb.OutboxClaimRow
	for _, e := range entries {
		k := key{e.Reference, recipient(e.Data)}
		i, known := index[k]
		if !known {
			i = len(groups)
			index[k] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], e)
	}
	return groups
}

// recipient is the address to which the facts of a notice are sent; for several it is the
// list of them.
func recipient(facts []byte) string {
	var notice struct {
		To json.RawMessage `json:"to"`
	}
	_ = json.Unmarshal(facts, &notice) // facts that can't be read have no recipient
	var person struct {
		Email string `json:"email"`
	}
	if json.Unmarshal(notice.To, &person) != nil || person.Email == "" {
		return string(notice.To)
	}
	return person.Email
}
