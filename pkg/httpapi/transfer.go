package httpapi

import (
	"io"
	"net/http"
	"sync"
	"time"

	"fixdesk/pkg/errs"
)

const (
	// maxTransfers is how many files are received and sent at the same time, and
	// maxTransfersEach how many of them for one caller.
	maxTransfers     = 128
	maxTransfersEach = 32

	// transferTimeout ends the transfer of one file, and transferIdle one in which the
	// client neither sends nor receives.
	transferTimeout = 15 * time.Minute
	transferIdle    = 30 * time.Second
)

var (
	errTransfersFull = errs.New(errs.Unavailable, errs.CodeUnavailable, "Too many files are being transferred. Try again soon.").After(5 * time.Second)
	errTransfersMine = errs.New(errs.RateLimited, errs.CodeRateLimited, "You are transferring too many files at the same time. Wait until one is complete.").After(5 * time.Second)
)

// transfers counts the files that are being received and sent. They hold no slot of
// admission, since clients may be slow.
type transfers struct {
	mu    sync.Mutex
	all   int
	each  map[string]int
	limit int // of all
}

func newTransfers() *transfers { return &transfers{each: map[string]int{}, limit: maxTransfers} }

// begin counts one more transfer of a caller until end is called.
func (t *transfers) begin(caller string) (end func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.all >= t.limit:
		return nil, errTransfersFull
	case t.each[caller] >= maxTransfersEach:
		return nil, errTransfersMine
	}
	t.all++
	t.each[caller]++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all--
		if t.each[caller]--; t.each[caller] == 0 {
			delete(t.each, caller)
		}
	}), nil
}

// patient reads and writes a connection with a new deadline for each call, so that
// a transfer may take longer than the server's timeouts as long as it goes on.
type patient struct {
	body    io.Reader
	w       http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
}

func (a *API) patient(info *requestInfo, body io.Reader) *patient {
	return &patient{body: body, w: info.response, control: http.NewResponseController(info.response), now: a.cfg.Now}
}

// Read reads the body.
func (p *patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(p.now().Add(transferIdle)) // a test's recorder has none
	return p.body.Read(b)
}

// Write sends a part of the answer.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(p.now().Add(transferIdle))
	return p.w.Write(b)
}

// answerSoon sets the deadlines for the answer to a body that was read, and for the
// rest of one that was refused.
func (p *patient) answerSoon() {
	_ = p.control.SetReadDeadline(p.now().Add(readTimeout))
	_ = p.control.SetWriteDeadline(p.now().Add(writeTimeout))
}
