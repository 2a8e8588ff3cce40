package inbound

import (
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

const tag = "inbound"

// Register adds the routes of mail that came in to the API.
func Register(api *httpapi.API, s *Service) {
	registerEnums(api)
	h := handlers{s}
	read, ack := []string{notifyapi.ScopeInboundRead}, []string{notifyapi.ScopeInboundAck}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound", ID: "list-inbound-mails", Tag: tag, Allow: read,
		Summary: "List mail that came in, oldest first",
		Description: "With status=pending it lists what waits for its consumer, and with wait it is answered as soon as there is a mail, " +
			"or with an empty list after that time. A page also ends after 8 MiB of text and HTML. " +
			"Delivery reports and complaints that are about mails of this service are applied and have the status handled.",
		Errors: []string{errs.CodeInvalidCursor}, Waits: notifyapi.MaxInboundWait, Example: exampleMails,
	}, h.list)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound/{id}", ID: "get-inbound-mail", Tag: tag, Allow: read,
		Summary: "Get a mail that came in", Description: "What its header says is the sender's claim, save authentication_results.",
		Resource: true, Errors: []string{errs.CodeNotFound}, Example: exampleMail,
	}, func(ctx context.Context, in *idInput) (*mailOutput, error) { return output(s.Get(ctx, in.ID)) })
	h.registerBytes(api, read)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/inbound/{id}/ack", ID: "acknowledge-inbound-mail", Tag: tag, Allow: ack,
		Summary:     "Acknowledge a mail that came in",
		Description: "Stores what became of it, after which it is not pending. It may be repeated; another result than the first is refused.",
		Errors:      []string{errs.CodeNotFound, errs.CodeConflict}, RequestExample: exampleAck, Example: exampleAcknowledged,
	}, func(ctx context.Context, in *ackInput) (*mailOutput, error) {
		return output(s.Ack(ctx, in.ID, in.Body.Result, in.Body.Reference))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/inbound/{id}/reset", ID: "reset-inbound-mail", Tag: tag, Allow: ack,
		Summary:     "Have a mail that came in read again",
		Description: "By the rules of this version, whatever became of it. Unless it is a report, it is pending afterwards.",
		Errors:      []string{errs.CodeNotFound}, Example: exampleReset,
	}, func(ctx context.Context, in *idInput) (*mailOutput, error) { return output(s.Reset(ctx, in.ID)) })
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/inbound/{id}", ID: "delete-inbound-mail", Tag: tag, Status: http.StatusNoContent, Allow: ack,
		Summary: "Delete a mail that came in",
		Description: "With its bytes and files, before the retention does. One that is neither acknowledged nor handled is refused. " +
			"A copy that arrives later is a new mail.",
		Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) { return nil, s.Delete(ctx, in.ID) })
}

type handlers struct{ s *Service }

type listInput struct {
	httpapi.PageParams
	Status notifyapi.InboundStatus `query:"status" doc:"Those with this status."`
	Wait   string                  `query:"wait" pattern:"^(1?[0-9]|20)s$" doc:"How long to wait for the first mail when there is none, 0s to 20s." example:"0s"`
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The mail's id."`
}

type attachmentInput struct {
	ID     uuid.UUID `path:"id" format:"uuid" doc:"The mail's id."`
	Number int       `path:"n" minimum:"0" maximum:"1000" doc:"The attachment's place in attachments, from 0." example:"0"`
}

type ackInput struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"The mail's id."`
	Body ackInboundMailRequest
}

type mailOutput struct{ Body inboundMailBody }

func output(m Mail, err error) (*mailOutput, error) {
	if err != nil {
		return nil, err
	}
	return &mailOutput{viewMail(m)}, nil
}

func (h handlers) list(ctx context.Context, in *listInput) (*httpapi.PageOutput[inboundMailBody], error) {
	wait, _ := time.ParseDuration(in.Wait) // "" is none
	filter := Filter{Status: in.Status}
	cursorOf := []any{"inbound", filter}
	var after *uuid.UUID
	if in.Cursor != "" {
		position, err := httpapi.DecodeCursor[uuid.UUID](in.Cursor, cursorOf)
		if err != nil {
			return nil, err
		}
		after = &position
	}
	mails, more, err := h.s.List(ctx, filter, after, in.Limit, wait)
	if err != nil {
		return nil, err
	}
	items, next := make([]inboundMailBody, len(mails)), ""
	for i, m := range mails {
		items[i] = viewMail(m)
	}
	if more {
		if next, err = httpapi.EncodeCursor(mails[len(mails)-1].ID, cursorOf); err != nil {
			return nil, err
		}
	}
	return httpapi.NewPageOutput(ctx, items, next), nil
}

func (h handlers) registerBytes(api *httpapi.API, read []string) {
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound/{id}/raw", ID: "get-inbound-raw", Tag: tag, Allow: read,
		Summary: "Get the bytes of a mail that came in", Description: "As they were handed in.",
		Errors: []string{errs.CodeNotFound}, Example: exampleRaw,
	}, "message/rfc822", func(ctx context.Context, in *idInput) (httpapi.Stream, error) {
		if _, err := h.s.Get(ctx, in.ID); err != nil {
			return nil, err
		}
		return func(ctx context.Context, w *httpapi.StreamWriter) error {
			return h.s.EachPiece(ctx, in.ID, func(piece []byte) error { return write(w, piece) })
		}, nil
	})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound/{id}/attachments/{n}", ID: "get-inbound-attachment", Tag: tag, Allow: read,
		Summary: "Get an attachment of a mail that came in", Description: "Its bytes, decoded. They are always served as a file to save, whatever type the sender claims.",
		Headers: []string{"Content-Disposition"}, Errors: []string{errs.CodeNotFound}, Example: exampleFile,
	}, "application/octet-stream", func(ctx context.Context, in *attachmentInput) (httpapi.Stream, error) {
		data, file, err := h.s.Attachment(ctx, in.ID, in.Number)
		if err != nil {
			return nil, err
		}
		return func(_ context.Context, w *httpapi.StreamWriter) error {
			w.SetHeader("Content-Disposition", disposition(file.Filename))
			return write(w, data)
		}, nil
	})
}

// disposition is a Content-Disposition that saves the answer (RFC 6266).
func disposition(name string) string {
	if value := mime.FormatMediaType("attachment", map[string]string{"filename": name}); name != "" && value != "" {
		return value
	}
	return "attachment"
}

// writeStep is how much of an answer must be taken within writeLimit.
const (
	writeStep  = 256 << 10
	writeLimit = 30 * time.Second
)

// write writes data in steps, each with a deadline of its own.
func write(w *httpapi.StreamWriter, data []byte) error {
	for len(data) > 0 {
		step := data[:min(len(data), writeStep)]
		if err := w.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil { //nolint:forbidigo // the connection's clock
			return err
		}
		if _, err := w.Write(step); err != nil {
			return err
		}
		data = data[len(step):]
	}
	return w.Flush()
}
