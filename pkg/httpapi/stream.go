package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Stream writes an answer that is sent as it is made. Its context ends when
// the client disconnects or the server stops. An error closes the connection, so
// that the client can distinguish an incomplete answer from a complete one.
type Stream func(ctx context.Context, w *StreamWriter) error

// StreamWriter writes to the client.
type StreamWriter struct{ to streamTarget }

// streamTarget is an answer of net/http or a connection.
type streamTarget interface {
	io.Writer
	Flush() error
	SetWriteDeadline(t time.Time) error
	SetHeader(name, value string)
}

// Write buffers b; Flush sends what is buffered.
func (s *StreamWriter) Write(b []byte) (int, error) { return s.to.Write(b) }

// Flush sends what was written so far.
func (s *StreamWriter) Flush() error { return s.to.Flush() }

// SetWriteDeadline bounds the writes that follow, for clients that stop reading. A
// stream begins without a deadline.
func (s *StreamWriter) SetWriteDeadline(t time.Time) error { return s.to.SetWriteDeadline(t) }

// SetHeader adds a header to the answer; it has no effect after the first
// Write or Flush, or after Detach.
func (s *StreamWriter) SetHeader(name, value string) { s.to.SetHeader(name, value) }

// answerWriter writes to net/http.
type answerWriter struct {
	api     *API
	info    *requestInfo
	status  int            // of the answer
	encoder *streamEncoder // nil if the stream isn't compressed
	control *http.ResponseController
}

// Write writes b, compressed if the stream is.
func (w *answerWriter) Write(b []byte) (int, error) {
	if w.encoder != nil {
		return w.encoder.Write(b)
	}
	return w.info.response.Write(b)
}

// Flush sends what is buffered.
func (w *answerWriter) Flush() error {
	if w.encoder != nil {
		if err := w.encoder.Flush(); err != nil {
			return err
		}
	}
	return w.control.Flush()
}

// SetWriteDeadline bounds the writes that follow.
func (w *answerWriter) SetWriteDeadline(t time.Time) error { return w.control.SetWriteDeadline(t) }

// SetHeader adds a header.
func (w *answerWriter) SetHeader(name, value string) { w.info.response.Header().Set(name, value) }

// stream runs s without a slot and without the deadlines of the request and of the
// server. The read deadline is removed too, because net/http cancels the request's
// context when it passes.
func (a *API) stream(ctx context.Context, d *details, s Stream) error {
	info := infoOf(ctx)
	w := info.response
	w.Header()["Content-Type"] = []string{d.produces}
	if d.compresses() {
		w.Header()["Vary"] = append(w.Header()["Vary"], "Accept-Encoding")
	}
	if info.method == http.MethodHead {
		w.WriteHeader(d.Status)
		return nil
	}
	encoder, err := newStreamEncoder(w, info.choice)
	if err != nil {
		return err
	}
	defer encoder.release()
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lift the read deadline: %w", err)
	}
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lift the write deadline: %w", err)
	}
	info.slot.release()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(info.connection, cancel)()
	defer context.AfterFunc(a.stopping, cancel)()
	err = s(ctx, &StreamWriter{&answerWriter{api: a, info: info, status: d.Status, encoder: encoder, control: control}})
	if info.detached {
		return nil
	}
	if err == nil {
		err = encoder.close()
	}
	if err != nil {
		if ctx.Err() != nil {
			panic(http.ErrAbortHandler)
		}
		if w.status == 0 {
			delete(w.Header(), "Content-Encoding")
			return err
		}
		_ = a.problem(ctx, err) // logs it
		panic(http.ErrAbortHandler)
	}
	if w.status == 0 {
		w.WriteHeader(d.Status)
	}
	return nil
}
