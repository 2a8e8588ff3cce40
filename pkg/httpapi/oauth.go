package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
)

// formType is the media type of a form (RFC 6749, appendix B).
const formType = "application/x-www-form-urlencoded"

// The errors of a token endpoint's form.
var (
	errFormMediaType = errs.New(errs.BadRequest, errs.CodeUnsupportedMediaType, "The body must be application/x-www-form-urlencoded in UTF-8, not compressed.")
	errForm          = errs.New(errs.BadRequest, errs.CodeMalformedRequest, "The body is not a well-formed form in UTF-8.")
	errFormRepeated  = errs.New(errs.BadRequest, errs.CodeMalformedRequest, "The form repeats a parameter.")
	errCredentials   = errs.New(errs.BadRequest, errs.CodeMalformedRequest, "The request has more than one Authorization header.")
)

// oauthErrors are the values of the member error at a token endpoint (RFC 6749,
// section 5.2), by code.
var oauthErrors = map[string]string{
	errs.CodeMalformedRequest:     "invalid_request",
	errs.CodeValidationFailed:     "invalid_request",
	errs.CodeUnsupportedMediaType: "invalid_request",
	errs.CodeBodyTooLarge:         "invalid_request",
	errs.CodeInvalidCredentials:   "invalid_client",
	errs.CodeForbidden:            "unauthorized_client",
	errs.CodeInvalidScope:         "invalid_scope",
	errs.CodeUnsupportedGrantType: "unsupported_grant_type",
}

// basicChallenge is the WWW-Authenticate header of a token endpoint (RFC 7617).
const basicChallenge = `Basic realm="fixdesk", charset="UTF-8"`

// formBody converts the form of a token endpoint to JSON for huma. As RFC 6749,
// section 3.2 asks for, unknown parameters are ignored, empty ones count as absent
// and repeated ones are refused.
func (p *pipeline) formBody(r *http.Request) error {
	if len(r.Header["Authorization"]) > 1 {
		return errCredentials
	}
	sent, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case len(sent) > maxBody:
		return errBodyTooLarge
	case err != nil:
		return errForm.Because(err)
	case len(sent) > 0 && !isForm(r.Header):
		return errFormMediaType
	}
	values, err := url.ParseQuery(string(sent))
	if err != nil {
		return errForm
	}
	fields := map[string]string{}
	for name := range p.resolve(p.bodySchema).Properties {
		list := values[name]
		switch {
		case len(list) > 1:
			return errFormRepeated
		case len(list) == 1 && !sane(list[0]):
			return errForm
		case len(list) == 1 && list[0] != "":
			fields[name] = list[0]
		}
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return errForm.Because(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.Header.Set("Content-Type", "application/json") // huma knows no other
	return nil
}

func isForm(h http.Header) bool {
	if len(h["Content-Type"]) != 1 || h.Get("Content-Encoding") != "" {
		return false
	}
	media, params, err := mime.ParseMediaType(h["Content-Type"][0])
	charset := params["charset"]
	return err == nil && media == formType && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// resolve follows references.
func (p *pipeline) resolve(s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = p.api.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}
