package attachment_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// testEnv is the shared environment with the routes of tickets and attachments.
type testEnv struct {
	*crmtest.Env
	files   *attachment.Service
	tickets *ticket.Service
}

func newTestEnv(t testing.TB, change ...func(*attachment.Config)) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.NewWithLongTimeouts(t, func(e *crmtest.Env, api *httpapi.API) { d.mount(e, api, change) })
	return d
}

func (d *testEnv) mount(e *crmtest.Env, api *httpapi.API, change []func(*attachment.Config)) {
	d.tickets = ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}, ReopenWithin: 14 * 24 * time.Hour})
	c := attachment.Config{
		Pool: e.Pool, Now: e.Now, Log: slog.New(slog.NewTextHandler(e.Log, nil)), SignURL: e.SignURL,
		MayRead: func(ctx context.Context, p identity.Principal, id uuid.UUID, internal bool) error {
			return d.tickets.MayRead(ctx, ticket.ViewerOf(p), id, internal)
		},
	}
	for _, f := range change {
		f(&c)
	}
	d.files = attachment.NewService(c)
	ticket.Register(api, d.tickets)
	attachment.Register(api, d.files)
}

// file is an attachment as the API answers it.
type file struct {
	ID          uuid.UUID
	Filename    string
	MediaType   string `json:"media_type"`
	Size        int64
	SHA256      string
	Scan        string
	CreatedAt   time.Time `json:"created_at"`
	DownloadURL string    `json:"download_url"`
}

// form makes a body of multipart/form-data with the given parts: names and contents
// by turns. A part is named file unless its name has another before a colon.
func form(filename string, content []byte) (body *bytes.Buffer, contentType string) {
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	part, err := w.CreateFormFile("file", filename)
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return body, w.FormDataContentType()
}

// send sends a request with any body.
func (d *testEnv) send(who crmtest.User, method, path, contentType string, body io.Reader, headers ...string) crmtest.Response {
	d.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, body)
	if who.ID != uuid.Nil {
		r.Header.Set("Authorization", "Bearer "+who.ID.String())
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.Handler.ServeHTTP(w, r)
	if w.Code >= 500 {
		d.Errorf("%s %s: %d %s\n%s", method, path, w.Code, w.Body, d.Log)
	}
	return crmtest.Response{Env: d.Env, Code: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
}

func (d *testEnv) tryUpload(who crmtest.User, filename string, content []byte) crmtest.Response {
	d.Helper()
	body, contentType := form(filename, content)
	return d.send(who, http.MethodPost, "/v1/attachments", contentType, body)
}

func (d *testEnv) upload(who crmtest.User, filename string, content []byte) file {
	d.Helper()
	return crmtest.Parse[file](d.tryUpload(who, filename, content).Want(201))
}

// content downloads a file.
func (d *testEnv) content(who crmtest.User, f file, headers ...string) crmtest.Response {
	d.Helper()
	return d.send(who, http.MethodGet, "/v1/attachments/"+f.ID.String()+"/content", "", nil, headers...)
}

func (d *testEnv) read(who crmtest.User, f file) crmtest.Response {
	d.Helper()
	return d.send(who, http.MethodGet, "/v1/attachments/"+f.ID.String(), "", nil)
}

// purge runs the purge until nothing is left to be done.
func (d *testEnv) purge() {
	d.Helper()
	for again := true; again; {
		var err error
		if again, err = d.files.Purge(context.Background()); err != nil {
			d.Fatal(err)
		}
	}
}

// conversation is a ticket or comment with its files.
type conversation struct {
	ID          uuid.UUID
	Attachments []file
}

func ids(files ...file) []uuid.UUID {
	list := make([]uuid.UUID, len(files))
	for i, f := range files {
		list[i] = f.ID
	}
	return list
}

func (d *testEnv) raise(who crmtest.User, files ...file) crmtest.Ticket {
	d.Helper()
	return crmtest.Parse[crmtest.Ticket](d.Call(who, "POST", "/v1/tickets", crmtest.Object{
		"title": "Printer", "description": "It smokes", "attachment_ids": ids(files...),
	}).Want(201))
}

func (d *testEnv) comment(who crmtest.User, t crmtest.Ticket, internal bool, files ...file) conversation {
	d.Helper()
	return crmtest.Parse[conversation](d.Call(who, "POST", t.Path("/comments"), crmtest.Object{
		"body": "See there", "internal": internal, "attachment_ids": ids(files...),
	}).Want(201))
}

// png is the beginning of a picture, followed by a text.
func png(text string) []byte { return append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), text...) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// limited ends after n reads.
type limited struct {
	r io.Reader
	n int
}

func (l *limited) Read(b []byte) (int, error) {
	if l.n == 0 {
		return 0, io.EOF
	}
	l.n--
	return l.r.Read(b)
}
