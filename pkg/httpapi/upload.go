package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
)

const (
	multipartType = "multipart/form-data"
	// uploadPart is the name of the part that has the file.
	uploadPart = "file"
	// maxPartHeader bounds in bytes what stands before the content of a part, and
	// after it.
	maxPartHeader = 16 << 10
)

var (
	errUploadMediaType = errs.New(errs.BadRequest, errs.CodeUnsupportedMediaType, "The body must be multipart/form-data with a boundary, not compressed.")
	errUploadUnread    = errs.New(errs.BadRequest, errs.CodeMalformedRequest, "The body is no multipart/form-data, or could not be read to its end.")
	errUploadParts     = errs.Validation(errs.Field{Location: "body.file", Message: "must be the one part of the body"})
)

// Upload is the file in a body of multipart/form-data (RFC 7578), read while it
// arrives.
type Upload struct {
	// Filename is what the client calls the file: any text, "" for none.
	Filename string

	parts *multipart.Reader
	part  *multipart.Part
	body  *budget
	left  int64 // of Operation.UploadMax, and one more
	max   int64
	err   error
}

// budget fails when more is read than allowed.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errUploadUnread
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// RegisterUpload is Register for an operation whose body is a file, of at most
// op.UploadMax bytes. The handler reads it to its end, and stores nothing for good
// before: what follows the file may be refused.
func RegisterUpload[In, Out any](a *API, op Operation, handler func(context.Context, *In, *Upload) (*Out, error)) {
	if op.UploadMax <= 0 {
		panic(fmt.Sprintf("httpapi: %s needs UploadMax", op.ID))
	}
	h := a.humaOperation(op, false, "application/json")
	d := h.Metadata[metaOperation].(*details)
	requireSecret(d, reflect.TypeFor[Out]())
	huma.Register(a.huma, h, func(ctx context.Context, in *In) (*Out, error) {
		var out *Out
		err := a.receive(ctx, op.UploadMax, func(ctx context.Context, u *Upload) (err error) {
			out, err = handler(ctx, in, u)
			return err
		})
		if err != nil {
			return nil, a.problemOf(ctx, d, err)
		}
		return out, nil
	})
	a.document(d, "")
}

// receive calls handle with the file of the request, outside of admission.
func (a *API) receive(ctx context.Context, most int64, handle func(context.Context, *Upload) error) (err error) {
	info := infoOf(ctx)
	info.slot.release()
	r, body := info.request, a.patient(info, info.request.Body)
	defer body.answerSoon()
	defer func() {
		if err != nil {
			info.answerFirst(info.response, r)
		}
	}()
	end, err := a.transfers.begin(info.principal)
	if err != nil {
		return err
	}
	defer end()
	u, err := openUpload(r, body, most)
	if err != nil {
		return err
	}
	if err := handle(ctx, u); err != nil {
		return err
	}
	if u.err != io.EOF { //nolint:errorlint // the very value
		return errors.New("the handler did not read the file to its end")
	}
	return nil
}

// openUpload reads what stands before the file.
func openUpload(r *http.Request, body io.Reader, most int64) (*Upload, error) {
	if len(r.Header["Content-Type"]) != 1 || r.Header.Get("Content-Encoding") != "" {
		return nil, errUploadMediaType
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != multipartType || params["boundary"] == "" || len(params["boundary"]) > 70 {
		return nil, errUploadMediaType
	}
	if r.ContentLength > most+2*maxPartHeader {
		return nil, tooLarge(most)
	}
	u := &Upload{body: &budget{body, maxPartHeader}, left: most + 1, max: most}
	u.parts = multipart.NewReader(u.body, params["boundary"])
	if u.part, err = u.parts.NextRawPart(); err == io.EOF { //nolint:errorlint // one that is cut off wraps it
		return nil, errUploadParts
	} else if err != nil {
		return nil, unreadable(err)
	}
	if u.part.FormName() != uploadPart {
		return nil, errUploadParts
	}
	_, params, _ = mime.ParseMediaType(u.part.Header.Get("Content-Disposition"))
	u.Filename = params["filename"]
	u.body.left = most + 1 + 2*maxPartHeader
	return u, nil
}

func tooLarge(most int64) error {
	return errs.New(errs.BadRequest, errs.CodeBodyTooLarge, "The file is larger than "+size(most)+".")
}

// size is a number of bytes in words.
func size(bytes int64) string {
	if bytes >= 1<<20 && bytes%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// Read reads the file. At its end it returns io.EOF only if nothing follows; every
// other error is an *errs.Error.
func (u *Upload) Read(b []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err = u.part.Read(b[:min(int64(len(b)), u.left)])
	u.left -= int64(n)
	switch {
	case u.left == 0:
		u.err = tooLarge(u.max)
	case err == io.EOF: //nolint:errorlint // the end of the part is the very value
		u.err = u.end()
	case err != nil:
		u.err = unreadable(err)
	}
	return n, u.err
}

// unreadable is the refusal of a body that can't be read.
func unreadable(cause error) error { return errUploadUnread.Because(cause) }

// end returns io.EOF unless more follows the file.
func (u *Upload) end() error {
	u.body.left = maxPartHeader
	_, err := u.parts.NextRawPart()
	switch {
	case err == nil:
		return errUploadParts
	case err != io.EOF: //nolint:errorlint // one that is cut off wraps it
		return unreadable(err)
	}
	if _, err := io.Copy(io.Discard, u.body); err != nil {
		return unreadable(err)
	}
	return io.EOF
}

// uploadBody describes the body of an upload.
func uploadBody(most int64) *huma.RequestBody {
	return &huma.RequestBody{
		Required: true, Description: "A form with one part, named file.",
		Content: map[string]*huma.MediaType{multipartType: {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{uploadPart}, AdditionalProperties: false,
			Properties: map[string]*huma.Schema{uploadPart: {
				Type: huma.TypeString, Format: "binary", Description: "The file, of at most " + size(most) + " unless configured otherwise.",
			}},
		}}},
	}
}
