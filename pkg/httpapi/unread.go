package httpapi

import (
	"io"
	"net/http"
	"strings"
)

const (
	// readAnyway is what net/http itself reads of a body that nobody read.
	readAnyway = 256 << 10
	// maxUnread bounds what is read, in bytes, for the sake of a client that
	// sends all of its body before it listens.
	maxUnread = 32 << 20
)

// answerFirst prepares for a refusal whose body is still on its way: closing the
// connection on unread bytes would reset it, and many clients would never see
// the answer. Afterwards the answer goes out first and discard reads the rest.
func (info *requestInfo) answerFirst(w http.ResponseWriter, r *http.Request) {
	small := r.ContentLength >= 0 && r.ContentLength <= readAnyway
	// A client that waits for 100 Continue sends no body after a refusal.
	asked := strings.EqualFold(r.Header.Get("Expect"), "100-continue")
	if !small && !asked {
		info.unread = http.NewResponseController(w).EnableFullDuplex() == nil
	}
}

// discard reads the rest of a refused body, within the server's ReadTimeout.
func (info *requestInfo) discard(r *http.Request) {
	if info.unread {
		_, _ = io.CopyN(io.Discard, r.Body, maxUnread)
	}
}
