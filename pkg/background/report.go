package background

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"fixdesk/pkg/obs"
)

// Dependency is something that many jobs of a process use, such as its database. While
// it fails, the log has one line, not one for each job.
type Dependency struct {
	// Fails reports whether an error is certainly that of the dependency, Suspected
	// whether it is when the job uses nothing else.
	Fails, Suspected func(error) bool
	// Late reports whether an error is that of a time limit: the dependency hangs, or
	// the job has much to do.
	Late func(error) bool
	// Ask asks the dependency itself and returns an error when it doesn't answer. It
	// decides what is Late, and what is Suspected of a job that uses other servers.
	Ask func(context.Context) error
	Now func() time.Time

	ended  atomic.Int64 // when the last outage did, as Unix time in ns
	late   atomic.Int64 // when the first of several jobs met a time limit, likewise
	outage obs.Outage
}

// cause says what an error of a job is.
type cause int

const (
	own      cause = iota // the job's, or there is none
	shared                // the dependency's
	leftover              // a time limit that an outage or a hang explains, which is in the log
)

// leftoverFor is longer than a call that began in an outage goes on after it, and than
// the time between the first and the last call that a hang ends.
const leftoverFor = 15 * time.Second

func (d *Dependency) cause(ctx context.Context, err error, remote bool) cause {
	if err == nil {
		return own
	}
	suspected, late := d.Suspected(err), d.Late(err)
	switch {
	case d.Fails(err), suspected && !remote, (suspected || late) && d.Ask(ctx) != nil:
		return shared
	case late && (d.outage.Active() || d.Now().Sub(time.Unix(0, d.ended.Load())) < leftoverFor || !d.firstLate()):
		return leftover
	default:
		return own
	}
}

// firstLate reports whether no job met a time limit shortly before. A hang that is over
// when the dependency is asked is so logged by the first job that met it.
func (d *Dependency) firstLate() bool {
	now, last := d.Now(), d.late.Load()
	return now.Sub(time.Unix(0, last)) >= leftoverFor && d.late.CompareAndSwap(last, now.UnixNano())
}

// Reporter logs when a job begins to fail and when it works again. It is safe for
// concurrent use. Loop has one; a job that is run otherwise has its own.
type Reporter struct {
	// Job is the attribute job of the log.
	Job string
	Log *slog.Logger
	// Metrics may be nil: no dependency is shared then.
	Metrics *Metrics
	// Remote is as in Config.
	Remote bool

	outage obs.Outage
}

// Report notes how a run ended.
func (r *Reporter) Report(ctx context.Context, err error) {
	if r.Metrics != nil && r.Metrics.Database != nil && r.reportDatabase(ctx, r.Metrics.Database, err) {
		return
	}
	if err == nil {
		if failures := r.outage.Succeeded(""); failures > 0 {
			r.Log.InfoContext(ctx, "background job works again", "job", r.Job, "failures", failures)
		}
		return
	}
	if !r.outage.Failed("") {
		return
	}
	attributes := []any{"job", r.Job, "error", err}
	if p := (*panicError)(nil); errors.As(err, &p) {
		attributes = append(attributes, "stack", string(p.stack))
	}
	r.Log.ErrorContext(ctx, "background job fails", attributes...)
}

// reportDatabase reports whether the database failed.
func (r *Reporter) reportDatabase(ctx context.Context, d *Dependency, err error) bool {
	cause := d.cause(ctx, err, r.Remote)
	if cause == shared {
		if d.outage.Failed(r.Job) {
			r.Log.ErrorContext(ctx, "background jobs have no database", "job", r.Job, "error", err)
		}
		return true
	}
	if failures := d.outage.Succeeded(r.Job); failures > 0 {
		d.ended.Store(d.Now().UnixNano())
		r.Log.InfoContext(ctx, "background jobs have their database again", "failures", failures)
	}
	return cause == leftover
}
