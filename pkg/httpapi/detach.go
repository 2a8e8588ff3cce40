package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"fixdesk/pkg/obs"
)

// maxUnasked bounds in bytes what a client may send while it gets a detached stream,
// for example pipelined requests; nobody answers it.
const maxUnasked = 64 << 10

// Detach runs the rest of a stream that has not written yet. Over HTTP/1.1, when there
// is neither compression nor a trace, run gets the connection for itself, in a new
// goroutine: it holds neither the request and the buffers of net/http nor the stack that
// the handler needed, and takes a few KiB while it waits. The connection is closed at its
// end. Otherwise run runs as the stream itself. It is called exactly once, with a context
// that ends like that of the stream but has only the request id of its values. The
// stream returns what Detach returns and does nothing after it.
func (s *StreamWriter) Detach(ctx context.Context, run Stream) error {
	to, ok := s.to.(*answerWriter)
	if !ok || !to.detachable() {
		return run(ctx, s)
	}
	conn, _, err := to.control.Hijack()
	if err != nil {
		return run(ctx, s)
	}
	to.info.detached = true
	to.info.response.status = to.status // so that huma sends none
	d := newDetached(ctx, to, conn)
	to.api.detached.add(conn)
	d.sendHead(to.info.response.Header())
	go d.serve(run)
	return nil
}

func (w *answerWriter) detachable() bool {
	r := w.info.request
	return w.encoder == nil && w.info.response.status == 0 && w.api.cfg.Tracing == nil &&
		r.ProtoMajor == 1 && r.ProtoMinor >= 1
}

// detached is a stream with a connection of its own.
type detached struct {
	api    *API
	info   *requestInfo // what the access log line has of the request
	ctx    context.Context
	cancel context.CancelFunc
	status int
	w      chunkWriter
}

// newDetached copies what is needed of the request, so that the rest of it can be freed.
func newDetached(ctx context.Context, to *answerWriter, conn net.Conn) *detached {
	i := to.info
	info := &requestInfo{method: i.method, route: i.route, principal: i.principal, client: i.client, start: i.start}
	d := &detached{api: to.api, info: info, status: to.status, w: chunkWriter{conn: conn}}
	own := obs.WithRequestID(to.api.stopping, strings.Clone(obs.RequestID(ctx))) // a client's id is a part of its headers
	d.ctx, d.cancel = context.WithCancel(context.WithValue(own, requestInfoKey{}, info))
	return d
}

// sendHead sends the status line and the headers (RFC 9112). When that fails, so does
// the first write of the stream.
func (d *detached) sendHead(h http.Header) {
	h["Date"] = []string{d.api.cfg.Now().UTC().Format(http.TimeFormat)}
	h["Transfer-Encoding"] = []string{"chunked"}
	h["Connection"] = []string{"close"}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", d.status, http.StatusText(d.status))
	_ = h.Write(&head)
	head.WriteString("\r\n")
	_ = d.w.conn.SetWriteDeadline(d.api.cfg.Now().Add(writeTimeout))
	if _, err := d.w.conn.Write(head.Bytes()); err != nil {
		_ = d.w.conn.Close()
	}
	_ = d.w.conn.SetWriteDeadline(time.Time{})
}

// serve runs the stream and then closes the connection: after the last chunk of a
// complete answer, and without it after an error, so that the client can distinguish them.
func (d *detached) serve(run Stream) {
	defer d.end()
	defer d.recovered()
	go d.awaitClient()
	err := run(d.ctx, &StreamWriter{&d.w})
	if err == nil {
		err = d.w.Flush()
	}
	if err == nil {
		_, _ = d.w.conn.Write([]byte("0\r\n\r\n"))
	} else if d.ctx.Err() == nil {
		_ = d.api.problem(d.ctx, err) // logs it
	}
}

// end closes the connection, logs and counts.
func (d *detached) end() {
	d.cancel()
	_ = d.w.conn.Close()
	d.api.record(d.ctx, d.info, d.status, d.w.bytes)
	d.api.detached.remove(d.w.conn)
}

func (d *detached) recovered() {
	if v := recover(); v != nil {
		d.api.logPanic(d.ctx, d.info, v)
	}
}

// awaitClient ends the stream when the client closes the connection.
func (d *detached) awaitClient() {
	defer d.cancel()
	var unasked [64]byte
	for n := 0; n <= maxUnasked; {
		read, err := d.w.conn.Read(unasked[:])
		if err != nil {
			return
		}
		n += read
	}
}

// chunkWriter writes the chunks of an answer (RFC 9112, section 7.1). It has a buffer
// only while something is to be sent.
type chunkWriter struct {
	conn    net.Conn
	pending *bytes.Buffer
	bytes   int64
}

const (
	// chunkSize is the space for the size of a chunk before its data.
	chunkSize = "00000000\r\n"
	// fullChunk is the size in bytes from which a chunk is sent without a Flush, and
	// largestChunk that of the largest buffer that is used again.
	fullChunk, largestChunk = 16 << 10, 64 << 10
)

var chunks = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Write adds b to the chunk that the next Flush sends.
func (w *chunkWriter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil // a chunk of no bytes would be the last
	}
	if w.pending == nil {
		w.pending = chunks.Get().(*bytes.Buffer)
		w.pending.WriteString(chunkSize)
	}
	w.pending.Write(b)
	w.bytes += int64(len(b))
	if w.pending.Len() < fullChunk {
		return len(b), nil
	}
	return len(b), w.Flush()
}

// Flush sends the chunk.
func (w *chunkWriter) Flush() error {
	if w.pending == nil {
		return nil
	}
	chunk := w.pending
	w.pending = nil
	size := strconv.FormatInt(int64(chunk.Len()-len(chunkSize)), 16) + "\r\n"
	chunk.WriteString("\r\n")
	begin := len(chunkSize) - len(size)
	copy(chunk.Bytes()[begin:], size)
	_, err := w.conn.Write(chunk.Bytes()[begin:])
	if chunk.Cap() <= largestChunk {
		chunk.Reset()
		chunks.Put(chunk)
	}
	return err
}

// SetWriteDeadline bounds the writes that follow.
func (w *chunkWriter) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }

// SetHeader does nothing, since the headers are sent.
func (w *chunkWriter) SetHeader(string, string) {}

// detachedStreams are those that a stop waits for.
type detachedStreams struct {
	metrics *metrics
	mu      sync.Mutex
	open    map[net.Conn]struct{}
	none    chan struct{} // closed when none is left; nil while nobody waits
}

// add counts the connection as open, which net/http no longer does.
func (d *detachedStreams) add(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[conn] = struct{}{}
	d.metrics.connections.Inc()
}

func (d *detachedStreams) remove(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, conn)
	d.metrics.connections.Dec()
	if len(d.open) == 0 && d.none != nil {
		close(d.none)
		d.none = nil
	}
}

// wait waits until all have ended. When ctx ends first, it closes their connections
// and returns an error.
func (d *detachedStreams) wait(ctx context.Context) error {
	d.mu.Lock()
	if len(d.open) == 0 {
		d.mu.Unlock()
		return nil
	}
	none := make(chan struct{})
	d.none = none
	d.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.open {
		_ = conn.Close()
	}
	return ctx.Err()
}
