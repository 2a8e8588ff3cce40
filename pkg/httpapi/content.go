package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
)

// Content is a file to be sent.
type Content struct {
	MediaType   string
	Disposition string // Content-Disposition
	Tag         string // names these bytes; becomes the ETag
	// Open is called once the checks are over. Its context lasts as long as the
	// transfer.
	Open func(ctx context.Context) (io.ReadSeekCloser, error)
}

// contentHeaders are on every file: a browser runs nothing in it, no other site can
// embed it, and it is shown again only after this service was asked.
var contentHeaders = map[string][]string{
	"Cache-Control":                {revalidate},
	"Content-Security-Policy":      {"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
}

// contentType is the media type of files in the document.
const contentType = "*/*"

var errRange = errs.New(errs.BadRequest, errs.CodeRangeNotSatisfiable, "The header Range names no part of this content; Content-Range has its size.")

// RegisterContent adds a GET that answers with a file of any media type, with
// ETag, Range and If-Range (RFC 9110, sections 13 and 14).
func RegisterContent[In any](a *API, op Operation, handler func(context.Context, *In) (*Content, error)) {
	op.Status = http.StatusOK
	op.Errors = append(op.Errors, errs.CodeRangeNotSatisfiable)
	h := a.humaOperation(op, false, contentType)
	d := h.Metadata[metaOperation].(*details)
	huma.Register(a.huma, h, func(ctx context.Context, in *In) (*struct{}, error) {
		content, err := handler(ctx, in)
		if err == nil {
			err = a.send(ctx, content)
		}
		return nil, a.problemOf(ctx, d, err)
	})
	a.document(d, contentType)
	a.documentContent(d)
}

// send sends a file, outside of admission.
func (a *API) send(ctx context.Context, c *Content) error {
	info := infoOf(ctx)
	info.slot.release()
	end, err := a.transfers.begin(info.principal)
	if err != nil {
		return err
	}
	defer end()
	// net/http cancels the request's context when the read deadline passes.
	_ = http.NewResponseController(info.response).SetReadDeadline(time.Time{})
	file, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	w := &contentWriter{response: info.response, to: a.patient(info, nil)}
	h := w.Header()
	for name, value := range contentHeaders {
		h[name] = value
	}
	h["Content-Type"], h["Content-Disposition"], h["Etag"] = []string{c.MediaType}, []string{c.Disposition}, []string{`"` + c.Tag + `"`}
	source := &watched{ReadSeeker: file}
	http.ServeContent(w, conditional(info), "", time.Time{}, source)
	if w.unsatisfiable {
		for _, name := range []string{"Content-Type", "Content-Disposition", "Etag"} {
			delete(h, name)
		}
		h["Cache-Control"], h["Content-Security-Policy"] = securityHeaders["Cache-Control"], securityHeaders["Content-Security-Policy"]
		if size, err := file.Seek(0, io.SeekEnd); err == nil { // net/http has set it for some ranges alone
			h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
		}
		return errRange
	}
	if source.err != nil { // the client gets less than was announced
		_ = a.problem(ctx, fmt.Errorf("read a file: %w", source.err)) // logs it
		panic(http.ErrAbortHandler)
	}
	return nil
}

// conditional is the request with the headers that this package answers to. A range of
// another unit than bytes is ignored (RFC 9110, section 14.2).
func conditional(info *requestInfo) *http.Request {
	r := info.request.Clone(info.request.Context())
	r.Method, r.Header = info.method, http.Header{}
	for _, name := range []string{"Range", "If-Range", "If-None-Match"} {
		if values := info.request.Header[name]; len(values) == 1 {
			r.Header[name] = values
		}
	}
	if !strings.HasPrefix(r.Header.Get("Range"), "bytes=") {
		r.Header.Del("Range")
	}
	return r
}

// contentWriter holds back the answer 416 of http.ServeContent, which is plain text.
type contentWriter struct {
	*response
	to            *patient
	unsatisfiable bool
}

// WriteHeader sends the status unless it is 416.
func (w *contentWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.unsatisfiable = true
		return
	}
	w.response.WriteHeader(status)
}

// Write sends a part of the file.
func (w *contentWriter) Write(b []byte) (int, error) {
	if w.unsatisfiable {
		return len(b), nil
	}
	return w.to.Write(b)
}

// watched keeps the error of a file that can't be read.
type watched struct {
	io.ReadSeeker
	err error
}

// Read reads the file.
func (s *watched) Read(b []byte) (int, error) {
	n, err := s.ReadSeeker.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return the very value
		s.err = err
	}
	return n, err
}

// documentContent adds what a client needs for a conditional GET and for ranges.
func (a *API) documentContent(d *details) {
	described := operationOf(a.huma.OpenAPI().Paths[d.Path], d.Method)
	documentConditional(described)
	described.Parameters = append(described.Parameters, &huma.Param{
		Name: "Range", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "bytes=0-1023",
		Description: "The part of the file that is wanted (RFC 9110, section 14.2).",
	})
	whole := described.Responses["200"]
	part := *whole
	part.Description = "The part of the file that Range names."
	part.Headers = a.headers([]string{"Content-Range"})
	for name, ref := range whole.Headers {
		part.Headers[name] = ref
	}
	described.Responses["206"] = &part
}
