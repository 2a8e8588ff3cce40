package httpapi

import (
	"io"
	"net/http"
	"strings"
)

const (
	// readAnyway is what net/http itself reads of a body that no handler read.
	readAnyway = 256 << 10
	// maxUnread bounds in bytes what is read for clients that send their whole
	// body before they read the answer.
	maxUnread = 32 << 20
)

// answerFirst prepares the refusal of a request whose body is still being sent.
// Closing the connection on unread bytes would reset it, and many clients would
// not receive the answer; so the answer is sent first, and discard reads the rest.
// HTTP/2 has a reset that lets the answer through (RFC 9113, section 8.1).
func (info *requestInfo) answerFirst(w http.ResponseWriter, r *http.Request) {
	small := r.ContentLength >= 0 && r.ContentLength <= readAnyway
	// A client that waits for 100 Continue sends no body after a refusal.
	asked := strings.EqualFold(r.Header.Get("Expect"), "100-continue")
	if !small && !asked && r.ProtoMajor < 2 {
		info.unread = http.NewResponseController(w).EnableFullDuplex() == nil
	}
}

// sendFirst sends what answerFirst prepared.
func (info *requestInfo) sendFirst(w http.ResponseWriter) {
	if info.unread {
		_ = http.NewResponseController(w).Flush()
	}
}

// discard reads the rest of a refused body, within the server's ReadTimeout.
func (info *requestInfo) discard(r *http.Request) {
	if info.unread {
		_, _ = io.CopyN(io.Discard, r.Body, maxUnread)
	}
}
