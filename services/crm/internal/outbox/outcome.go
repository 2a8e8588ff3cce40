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

// outcome is how an attempt to post an entry ended.
type outcome string

const (
	outcomePosted     outcome = "posted"      // the service has stored it
	outcomeRepeated   outcome = "repeated"    // the service had stored it before, with another text or other files
	outcomeRefused    outcome = "refused"     // permanently: the entry is dead
	outcomeFailed     outcome = "failed"      // temporarily; the attempt counts
	outcomeNotReached outcome = "not_reached" // the service failed; the attempt does not count
	outcomeNotTried   outcome = "untried"     // the batch ended before its turn
)

// classification is an outcome with its consequences. serviceFailed means that
// other entries would fail, too, so that the batch ends.
type classification struct {
	outcome       outcome
	serviceFailed bool
	retryAfter    time.Duration
}

// classify derives the outcome of one post from its error. Answers that show a
// wrong address or wrong credentials are failures of the configuration, never of
// the entry.
func classify(err error) classification {
	var answer *notifyapi.Error
	switch {
	case err == nil:
		return classification{outcome: outcomePosted}
	case errors.Is(err, notice.ErrUnknownKind):
		return classification{outcome: outcomeFailed}
	case errors.Is(err, errUndecodable):
		return classification{outcome: outcomeRefused}
	case !errors.As(err, &answer):
		if neverConnected(err) {
			return classification{outcome: outcomeNotReached, serviceFailed: true}
		}
		return classification{outcome: outcomeFailed, serviceFailed: true}
	}
	switch answer.Status {
	case http.StatusUnprocessableEntity:
		if answer.Code == errs.CodeIdempotencyMismatch {
			return classification{outcome: outcomeRepeated}
		}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusNotFound, http.StatusMethodNotAllowed:
		return classification{outcome: outcomeNotReached, serviceFailed: true, retryAfter: answer.RetryAfter}
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return classification{outcome: outcomeFailed, serviceFailed: true, retryAfter: answer.RetryAfter}
	}
	if answer.Temporary() || answer.Status < 400 {
		return classification{outcome: outcomeFailed, retryAfter: answer.RetryAfter}
	}
	return classification{outcome: outcomeRefused}
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
	serviceCap    = 5 * time.Second
	maxRetryAfter = time.Hour
)

// backoff is how long an entry waits after its nth failed attempt (from 1):
// doubling from 1 s to 5 min with full jitter, and no less than the service
// asked for, within an hour. When the service failed, it is 5 s at most: the pause is
// that of all entries then (servicePause), and they are to be posted soon after the
// service is back.
func backoff(attempt int, serviceFailed bool, retryAfter time.Duration) time.Duration {
	ceiling := backoffCap
	if serviceFailed {
		ceiling = serviceCap
	}
	if attempt < 10 {
		ceiling = min(ceiling, backoffBase<<max(attempt-1, 0))
	}
	return max(rand.N(ceiling), min(retryAfter, maxRetryAfter))
}

// servicePause is the pause after the nth bad batch in a row. It doubles from 1 s
// and is at most the interval, so that posting resumes soon after the service has
// recovered.
func servicePause(failures int, interval, retryAfter time.Duration) time.Duration {
	ceiling := interval
	if failures < 10 {
		ceiling = min(ceiling, time.Second<<max(failures-1, 0))
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
