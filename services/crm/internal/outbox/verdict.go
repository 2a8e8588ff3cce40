package outbox

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/notice"
)

// verdict is what becomes of an entry after a try.
type verdict string

const (
	posted     verdict = "posted"      // the service has it
	repeated   verdict = "repeated"    // the service had it already, in the words of an older version
	refused    verdict = "refused"     // it will never take it: dead
	failed     verdict = "failed"      // not this time; the attempt counts
	notReached verdict = "not_reached" // no fault of the entry: no attempt is counted, it keeps its place
	untried    verdict = "untried"     // the batch ended before its turn
)

// judgement is a verdict with what follows from it. trouble means that other
// entries would fare no better now, so the batch ends.
type judgement struct {
	verdict    verdict
	trouble    bool
	retryAfter time.Duration
}

// judge says what the outcome of one post means. Answers that tell of a wrong
// address or wrong credentials condemn the configuration, never the entry.
func judge(err error) judgement {
	var answer *notifyapi.Error
	switch {
	case err == nil:
		return judgement{verdict: posted}
	case errors.Is(err, notice.ErrUnknownKind):
		return judgement{verdict: failed}
	case errors.Is(err, errUndecodable):
		return judgement{verdict: refused}
	case !errors.As(err, &answer):
		if neverConnected(err) {
			return judgement{verdict: notReached, trouble: true}
		}
		return judgement{verdict: failed, trouble: true}
	}
	switch answer.Status {
	case http.StatusUnprocessableEntity:
		if answer.Code == errs.CodeIdempotencyMismatch {
			return judgement{verdict: repeated}
		}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusNotFound, http.StatusMethodNotAllowed:
		return judgement{verdict: notReached, trouble: true, retryAfter: answer.RetryAfter}
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return judgement{verdict: failed, trouble: true, retryAfter: answer.RetryAfter}
	}
	if answer.Temporary() || answer.Status < 400 {
		return judgement{verdict: failed, retryAfter: answer.RetryAfter}
	}
	return judgement{verdict: refused}
}

// errUndecodable marks an entry whose stored facts can't be read.
var errUndecodable = errors.New("the entry's facts can't be read")

func neverConnected(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

const (
	backoffBase   = time.Second
	backoffCap    = 5 * time.Minute
	maxRetryAfter = time.Hour
)

// backoff is how long an entry waits after its nth failed attempt (from 1):
// doubling from 1 s to 5 min with full jitter, and no less than the service
// asked for, within an hour.
func backoff(attempt int, retryAfter time.Duration) time.Duration {
	ceiling := backoffCap
	if attempt < 10 {
		ceiling = min(ceiling, backoffBase<<max(attempt-1, 0))
	}
	return max(rand.N(ceiling), min(retryAfter, maxRetryAfter))
}

// pause is how long the relay leaves a service in trouble alone after its nth
// bad batch in a row: it doubles from 1 s and stays within the interval, so
// that the backlog starts to drain soon after the service is back.
func pause(trial int, interval, retryAfter time.Duration) time.Duration {
	ceiling := interval
	if trial < 10 {
		ceiling = min(ceiling, time.Second<<max(trial-1, 0))
	}
	return max(ceiling/2+rand.N(ceiling/2+1), min(retryAfter, maxRetryAfter))
}

const maxErrorText = 500

// errorText is err as it is stored: one line of at most 500 characters.
func errorText(err error) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "?"))
	if runes := []rune(s); len(runes) > maxErrorText {
		s = string(runes[:maxErrorText-1]) + "…"
	}
	return s
}
