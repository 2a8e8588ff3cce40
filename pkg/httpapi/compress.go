package httpapi

import (
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The compression of answers. gzhttp of the same library doesn't fit: it adds the
// coding to the ETag only of what it compresses, so not to that of a 304, and
// leaves HEAD uncompressed.

// compressFrom is the size in bytes of the smallest body that is compressed.
const compressFrom = 1 << 10

// compresses reports whether answers of a media type are worth compressing. A
// stream of events is not: each event is sent at once.
func compresses(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return media != "text/event-stream" && (strings.HasPrefix(media, "text/") ||
		media == "application/json" || media == problemType)
}

// secretFields are fields of answers that hold a secret.
var secretFields = []string{"access_token", "refresh_token", "token", "key", "secret", "api_key", "password", "download_url"}

// requireSecret panics if an operation answers with a secret field and may be
// compressed.
func requireSecret(d *details, out reflect.Type) {
	body, ok := out.FieldByName("Body")
	if !ok || !d.compresses() {
		return
	}
	if name := secretField(body.Type); name != "" {
		panic(fmt.Sprintf("httpapi: %s answers with %s, so it must be a Secret", d.ID, name))
	}
}

// secretField returns the first of secretFields in the JSON of a struct, itself or
// embedded, "" for none.
func secretField(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return ""
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if slices.Contains(secretFields, name) {
			return name
		}
	}
	return ""
}

// encoder is a writer of one coding that can be used again.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// Each encoder has up to 1 MiB of memory, so their number is bounded: bodies
// by the processors, since they are compressed in memory, and streams by
// maxEncodedStreams, beyond which a stream is sent uncompressed.
var (
	bodySlots   = make(chan struct{}, runtime.GOMAXPROCS(0))
	streamSlots = make(chan struct{}, maxEncodedStreams)
)

const maxEncodedStreams = 8

// zstdWindow is the window in bytes: what both sides hold in memory.
const zstdWindow = 128 << 10

var encoders = map[coding]*sync.Pool{
	gzipped: {New: func() any {
		w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		if err != nil {
			panic(err)
		}
		return w
	}},
	zstdded: {New: func() any {
		w, err := zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow))
		if err != nil {
			panic(err)
		}
		return w
	}},
}

// writeEncoded writes body to w in a coding.
func writeEncoded(w io.Writer, c coding, body []byte) error {
	bodySlots <- struct{}{}
	defer func() { <-bodySlots }()
	e := encoders[c].Get().(encoder)
	defer encoders[c].Put(e)
	defer e.Reset(io.Discard)
	e.Reset(w)
	if _, err := e.Write(body); err != nil {
		return err
	}
	return e.Close()
}

// streamEncoder compresses a stream that is larger than compressFrom.
type streamEncoder struct {
	w       *response
	choice  choice
	pending []byte  // what was written before it is known whether it is compressed
	encoder encoder // nil before that
}

// newStreamEncoder returns nil for a stream that isn't to be compressed, and an error
// when it has to be and too many others are.
func newStreamEncoder(w *response, c choice) (*streamEncoder, error) {
	if c.coding == identity {
		return nil, nil
	}
	select {
	case streamSlots <- struct{}{}:
		return &streamEncoder{w: w, choice: c}, nil
	default:
	}
	if c.always {
		return nil, errOverloaded
	}
	return nil, nil
}

// Write compresses b.
func (s *streamEncoder) Write(b []byte) (int, error) {
	if s.encoder == nil {
		if len(s.pending)+len(b) <= compressFrom && !s.choice.always {
			s.pending = append(s.pending, b...)
			return len(b), nil
		}
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	return s.encoder.Write(b)
}

// begin starts the compression with what is pending.
func (s *streamEncoder) begin() error {
	s.w.Header()["Content-Encoding"] = []string{string(s.choice.coding)}
	s.encoder = encoders[s.choice.coding].Get().(encoder)
	s.encoder.Reset(s.w)
	_, err := s.encoder.Write(s.pending)
	s.pending = nil
	return err
}

// Flush writes what the encoder holds. A stream that is flushed early is compressed
// too, since more is to come.
func (s *streamEncoder) Flush() error {
	if s.encoder == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	return s.encoder.Flush()
}

// close writes the end of the stream. It is not called for one that broke, so that
// the client can't take it for complete.
func (s *streamEncoder) close() error {
	if s == nil {
		return nil
	}
	if s.encoder == nil && s.choice.always {
		if err := s.begin(); err != nil {
			return err
		}
	}
	if s.encoder != nil {
		return s.encoder.Close()
	}
	if len(s.pending) == 0 {
		return nil
	}
	_, err := s.w.Write(s.pending)
	return err
}

// release gives the encoder back.
func (s *streamEncoder) release() {
	if s == nil {
		return
	}
	if s.encoder != nil {
		s.encoder.Reset(io.Discard)
		encoders[s.choice.coding].Put(s.encoder)
	}
	<-streamSlots
}
