package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Stream writes an answer that is sent as it is made. Its context ends when
// the client disconnects or the server stops. An error closes the connection, so
// that the client can distinguish an incomplete answer from a complete one.
type Stream func(ctx context.Context, w *StreamWriter) error

// StreamWriter writes to the client.
type StreamWriter struct {
	w       http.ResponseWriter
	encoder *streamEncoder // nil if the stream isn't compressed
	control *http.ResponseController
}

// Write buffers b; Flush sends what is buffered.
func (s *StreamWriter) Write(b []byte) (int, error) {
	if s.encoder != nil {
		return s.encoder.Write(b)
	}
	return s.w.Write(b)
}

// Flush sends what was written so far.
func (s *StreamWriter) Flush() error {
	if s.encoder != nil {
		if err := s.encoder.Flush(); err != nil {
			return err
		}
	}
	return s.control.Flush()
}

// SetWriteDeadline bounds the writes that follow, for clients that stop reading. A
// stream begins without a deadline.
func (s *StreamWriter) SetWriteDeadline(t time.Time) error { return s.control.SetWriteDeadline(t) }

// SetHeader adds a header to the answer; it has no effect after the first
// Write or Flush.
func (s *StreamWriter) SetHeader(name, value string) { s.w.Header().Set(name, value) }

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
	err = s(ctx, &StreamWriter{w: w, encoder: encoder, control: control})
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
