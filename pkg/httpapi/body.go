package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// maxBody is the size in bytes of the largest request body: 1 MiB.
const maxBody = 1 << 20

// largeBodies is how many bodies of more than maxBody are in memory at a time.
const largeBodies = 2

var (
	errBodyTooLarge   = errs.New(errs.BadRequest, errs.CodeBodyTooLarge, "The body is larger than 1 MiB.")
	errBodyMissing    = errs.New(errs.BadRequest, errs.CodeMalformedJSON, "A JSON body is required.")
	errBodyUnread     = errs.New(errs.BadRequest, errs.CodeMalformedJSON, "The body could not be read to its end.")
	errBodyMediaType  = errs.New(errs.BadRequest, errs.CodeUnsupportedMediaType, "The body must be application/json in UTF-8, not compressed.")
	errPatchMediaType = errs.New(errs.BadRequest, errs.CodeUnsupportedMediaType, "The body must be application/json or application/merge-patch+json in UTF-8, not compressed.")
	errBodyUnwanted   = errs.Validation(errs.Field{Location: "body", Message: "must be empty: this operation takes none"})
)

// emptyObject is the longest body that an operation without one accepts, since
// many clients send {} with every POST.
const emptyObject = 16

// body reads, bounds and checks the request's body. The bytes are valid until
// release is called.
func (p *pipeline) body(r *http.Request) (release func(), err error) {
	release = func() {}
	if p.details.UploadMax > 0 {
		return release, nil // the handler reads it
	}
	if p.bodySchema == nil && p.details.AnyBody {
		return release, ignoreBody(r)
	}
	if p.bodySchema == nil {
		return release, noBody(r)
	}
	if p.details.TokenEndpoint {
		return release, p.formBody(r)
	}
	buf := newBuffer()
	n, release, err := p.readInto(buf, r)
	switch {
	case err != nil:
		return release, err
	case n == 0 && p.op.RequestBody.Required:
		return release, errBodyMissing
	case n == 0:
		return release, nil
	case !isJSON(r.Header, p.op.Method == http.MethodPatch):
		return release, p.mediaTypeError()
	}
	hasNull, err := checkJSON(buf.Bytes())
	if err != nil {
		return release, errs.New(errs.BadRequest, errs.CodeMalformedJSON, err.Error())
	}
	if hasNull || p.hasTime(buf.Bytes()) {
		if err := p.refuseValues(buf.Bytes()); err != nil {
			return release, err
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
	r.Header.Set("Content-Type", "application/json") // huma knows no other
	return release, nil
}

// ignoreBody reads the body to its end.
func ignoreBody(r *http.Request) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxBody+1))
	switch {
	case n > maxBody:
		return errBodyTooLarge
	case err != nil:
		return errBodyUnread.Because(err)
	}
	return nil
}

// readInto reads the body, at most as much as the operation takes. release must be
// called in any case, once the bytes are not needed any more.
func (p *pipeline) readInto(buf *bytes.Buffer, r *http.Request) (n int64, release func(), err error) {
	release = func() { releaseBuffer(buf) }
	if r.ContentLength > p.details.maxBody() {
		return 0, release, errBodyTooLarge
	}
	if r.ContentLength > 0 && r.ContentLength <= maxBody {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err = buf.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	switch {
	case n > maxBody && p.details.LargeBody != nil:
		select {
		case p.api.large <- struct{}{}:
		case <-r.Context().Done():
			return 0, release, errOverloaded
		}
		return n, func() { releaseBuffer(buf); <-p.api.large }, p.readLarge(r, buf)
	case n > maxBody:
		return 0, release, errBodyTooLarge
	case err != nil:
		return 0, release, errBodyUnread.Because(err)
	}
	return n, release, nil
}

// readLarge reads the rest of a body of more than 1 MiB.
func (p *pipeline) readLarge(r *http.Request, buf *bytes.Buffer) error {
	large := p.details.LargeBody
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) - buf.Len() + bytes.MinRead)
	}
	rest := large.Max - int64(buf.Len())
	n, err := buf.ReadFrom(io.LimitReader(r.Body, rest+1))
	switch {
	case n > rest:
		return errBodyTooLarge
	case err != nil:
		return errBodyUnread.Because(err)
	case !bytes.Contains(buf.Bytes(), []byte(`"`+large.Member+`"`)):
		return errBodyTooLarge
	}
	return nil
}

// noBody refuses a body of an operation that takes none.
func noBody(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength > emptyObject {
		return errBodyUnwanted
	}
	sent, err := io.ReadAll(io.LimitReader(r.Body, emptyObject+1))
	if err != nil {
		return errBodyUnread.Because(err)
	}
	if text := string(bytes.TrimSpace(sent)); text != "" && text != "{}" {
		return errBodyUnwanted
	}
	return nil
}

// mergePatch is the other media type that a body of PATCH may have (RFC 7396).
// Since the schema refuses null, it means the same as JSON.
const mergePatch = "application/merge-patch+json"

func (p *pipeline) mediaTypeError() error {
	if p.op.Method == http.MethodPatch {
		return errPatchMediaType
	}
	return errBodyMediaType
}

// isJSON reports whether the Content-Type is JSON or, where that is allowed, a
// merge patch.
func isJSON(h http.Header, patch bool) bool {
	if len(h["Content-Type"]) != 1 || h.Get("Content-Encoding") != "" {
		return false
	}
	if h["Content-Type"][0] == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(h["Content-Type"][0])
	if err != nil || media != "application/json" && (!patch || media != mergePatch) {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// refuseValues lists the values that huma takes and the OpenAPI document does not
// describe: null for an optional field, and times that only time.Parse reads.
func (p *pipeline) refuseValues(data []byte) error {
	var parsed any
	if err := json.Unmarshal(data, &parsed); err != nil {
		return errs.New(errs.BadRequest, errs.CodeMalformedJSON, errJSONSyntax.Error()).Because(err)
	}
	var found []error
	p.findValues(p.bodySchema, "body", parsed, &found)
	if len(found) > 0 {
		return errs.Validation(fields(found)...)
	}
	return nil
}

func (p *pipeline) findValues(s *huma.Schema, location string, v any, found *[]error) {
	s = p.resolve(s)
	if s == nil || v == nil && s.Nullable || s.Type == "" {
		return
	}
	switch v := v.(type) {
	case nil:
		*found = append(*found, &huma.ErrorDetail{Location: location, Message: "must not be null"})
	case string:
		if s.Format == formatTime && !isTime(v) {
			*found = append(*found, &huma.ErrorDetail{Location: location, Message: validation.MsgExpectedRFC3339DateTime})
		}
	case map[string]any:
		additional, _ := s.AdditionalProperties.(*huma.Schema)
		for name, item := range v {
			schema, ok := s.Properties[name]
			if !ok {
				schema = additional
			}
			p.findValues(schema, location+"."+name, item, found)
		}
	case []any:
		for i, item := range v {
			p.findValues(s.Items, location+"["+strconv.Itoa(i)+"]", item, found)
		}
	}
}

// findTimes lists the fields of a body, at any depth, that are times.
func (p *pipeline) findTimes(s *huma.Schema) {
	s = p.resolve(s)
	if s == nil {
		return
	}
	p.findTimes(s.Items)
	for name, field := range s.Properties {
		if p.findTimes(field); p.resolve(field).Format == formatTime {
			p.times = append(p.times, []byte(`"`+name+`"`))
		}
	}
}

// hasTime reports whether a body may have a time, so that one without is not parsed
// once more. A name with an escape could be that of one.
func (p *pipeline) hasTime(body []byte) bool {
	return len(p.times) > 0 && bytes.Contains(body, []byte(`\u`)) ||
		slices.ContainsFunc(p.times, func(name []byte) bool { return bytes.Contains(body, name) })
}
