package attachment

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
)

var allRoles = []string{string(identity.RoleCustomer), string(identity.RoleEngineer), string(identity.RoleAdmin)}

// Enums names in the OpenAPI document the types with a fixed list of values.
func Enums(api *httpapi.API) {
	httpapi.Enum(api, "AttachmentScan", "What the scanner for malware said: off where none was configured, pending until it has answered; what is infected, and what is pending while there is a scanner, is not served.", Scans...)
}

// Register mounts the routes below /v1/attachments.
func Register(api *httpapi.API, s *Service) {
	h := handlers{s}
	httpapi.RegisterUpload(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/attachments", ID: "upload-attachment", Tag: "attachments", Status: http.StatusCreated, Allow: allRoles, Scope: identity.ScopeTicketsWrite,
		UploadMax: s.Max,
		Summary:   "Upload a file",
		Description: "The id is then sent as one of the `attachment_ids` of a new ticket or comment, by the same person within 24 hours; else the file is removed. `media_type` is what the bytes are, not what was claimed; the name is cleaned: no path, no control characters, at most 255 bytes. " +
			"A person uploads at most 500 MiB in 24 hours (CRM_ATTACHMENT_QUOTA).",
		Example: ExampleView, Errors: []string{errs.CodeRateLimited},
	}, h.upload)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/attachments/{id}", ID: "get-attachment", Tag: "attachments", Allow: allRoles, Scope: identity.ScopeTicketsRead,
		Summary:     "Read what a file is, and get a link to it",
		Description: "Who may read the ticket or comment may read its files; those of internal comments engineers and admins alone. A file that belongs to nothing yet is its uploader's. Any other id is answered like one that does not exist.",
		Secret:      true, Example: exampleDetail, Errors: []string{errs.CodeNotFound},
	}, h.get)
	httpapi.RegisterContent(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/attachments/{id}/content", ID: "download-attachment", Tag: "attachments", Allow: allRoles, Scope: identity.ScopeTicketsRead,
		SignedURL: true,
		Summary:   "Download a file, or a part of it",
		Description: "With a token, or without one by the `download_url` of `GET /v1/attachments/{id}`, which acts for the person who asked for it and ends after 5 minutes or with their session. " +
			"`Content-Disposition` is inline for raster images and plain text, attachment for all else; nothing in a file is run.",
		Errors: []string{errs.CodeNotFound, errs.CodeConflict, errs.CodeRateLimited},
	}, h.content)
}

type handlers struct{ s *Service }

// AttachmentView is a file in an answer.
type AttachmentView struct {
	ID        uuid.UUID    `json:"id" format:"uuid" doc:"The file's id, a UUIDv7."`
	Filename  string       `json:"filename" doc:"Its name, cleaned."`
	MediaType string       `json:"media_type" doc:"What its bytes are."`
	Size      int64        `json:"size" doc:"In bytes."`
	SHA256    string       `json:"sha256" doc:"The SHA-256 of its bytes, in hexadecimal."`
	Scan      Scan         `json:"scan" doc:"What the scanner said."`
	CreatedAt httpapi.Time `json:"created_at" doc:"When it was uploaded."`
}

// View makes the view of a file.
func View(a Attachment) AttachmentView {
	return AttachmentView{
		ID: a.ID, Filename: a.Filename, MediaType: essence(a.MediaType), Size: a.Size, SHA256: hex.EncodeToString(a.SHA256),
		Scan: a.Scan, CreatedAt: httpapi.NewTime(a.CreatedAt),
	}
}

// Views makes the views of files. It is never nil.
func Views(list []Attachment) []AttachmentView {
	views := make([]AttachmentView, len(list))
	for i, a := range list {
		views[i] = View(a)
	}
	return views
}

type attachmentDetailView struct {
	AttachmentView
	DownloadURL string `json:"download_url" format:"uri-reference" doc:"The path of the content with a signature, for 5 minutes. Whoever has it reads the file as the caller would."`
}

type uploadAnswer struct {
	Location string `header:"Location"`
	Body     AttachmentView
}

func (h handlers) upload(ctx context.Context, _ *struct{}, u *httpapi.Upload) (*uploadAnswer, error) {
	a, err := h.s.Upload(ctx, identity.PrincipalFrom(ctx).UserID, u.Filename, u)
	if err != nil {
		return nil, err
	}
	return &uploadAnswer{Location: pathOf(a.ID), Body: View(a)}, nil
}

func pathOf(id uuid.UUID) string { return "/v1/attachments/" + id.String() }

// AttachmentPath is the path parameter of a file.
type AttachmentPath struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The file's id."`
}

type detailAnswer struct {
	Body attachmentDetailView
}

func (h handlers) get(ctx context.Context, in *AttachmentPath) (*detailAnswer, error) {
	p := identity.PrincipalFrom(ctx)
	a, err := h.s.Get(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	at := pathOf(a.ID) + "/content"
	signature, err := h.s.SignURL(p, at, linkLifetime)
	if err != nil {
		return nil, err
	}
	return &detailAnswer{Body: attachmentDetailView{AttachmentView: View(a), DownloadURL: at + "?signature=" + signature}}, nil
}

type contentInput struct {
	AttachmentPath
	Signature string `query:"signature" maxLength:"4096" doc:"The signature of download_url, in place of a token."`
}

func (h handlers) content(ctx context.Context, in *contentInput) (*httpapi.Content, error) {
	a, err := h.s.Get(ctx, identity.PrincipalFrom(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	if err := h.s.served(a); err != nil {
		return nil, err
	}
	return &httpapi.Content{
		MediaType: servedType(a.MediaType), Disposition: disposition(a.Filename, a.MediaType), Tag: hex.EncodeToString(a.SHA256),
		Open: func(ctx context.Context) (io.ReadSeekCloser, error) { return h.s.Open(ctx, a) },
	}, nil
}
