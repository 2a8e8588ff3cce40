package httpapi

import (
	"context"
	"log/slog"
	"time"

	"fixdesk/pkg/obs"
)

// outageCause is a class of causes for which requests are answered 503.
type outageCause int

const (
	dependencyAway  outageCause = iota // Config.Unavailable recognises the error
	deadlineReached                    // of the request
	handlerRefused                     // a handler returned errs.Unavailable
	notReady                           // Config.Ready returned an error
	outageCauses                       // how many there are
)

// outagePause is the least time without a failure after which an outage is over,
// so that failures among successes are one outage.
const outagePause = 5 * time.Second

// outages logs the first failure of an outage and its end, for each cause;
// http_requests_total counts every one.
type outages struct {
	log    *slog.Logger
	causes [outageCauses]obs.Outage
}

func newOutages(log *slog.Logger, now func() time.Time) *outages {
	o := &outages{log: log}
	for i := range o.causes {
		o.causes[i].Quiet, o.causes[i].Now = outagePause, now
	}
	return o
}

// failed records a failure and logs it if it begins an outage.
func (o *outages) failed(ctx context.Context, cause outageCause, msg string, err error) {
	if o.causes[cause].Failed("") {
		logError(ctx, o.log, slog.LevelWarn, msg, err)
	}
}

// succeeded ends the outages of causes below limit whose last failure is
// outagePause ago, and logs that.
func (o *outages) succeeded(ctx context.Context, limit outageCause) {
	failures := 0
	for i := range limit {
		failures += o.causes[i].Succeeded("")
	}
	if failures > 0 {
		o.log.InfoContext(ctx, "available again", "failures", failures)
	}
}
