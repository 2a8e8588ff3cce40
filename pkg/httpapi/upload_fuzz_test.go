package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

// FuzzUploadIsOneFileOrRefused sends any body. What is accepted is a form with exactly one
// part, named file, to the standard library too, and the handler gets its bytes.
func FuzzUploadIsOneFileOrRefused(f *testing.F) {
	const most = 4096
	var got []byte
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: obs.NewLogger(io.Discard, 0, obs.JSON),
		Authenticate: func(ctx context.Context, _ string, _ []string, _ string) (context.Context, error) { return ctx, nil },
	})
	httpapi.RegisterUpload(api, httpapi.Operation{
		Method: "POST", Path: "/files", ID: "upload", Tag: "t", Summary: "s", Allow: []string{"anyone"}, UploadMax: most,
	}, func(_ context.Context, _ *struct{}, u *httpapi.Upload) (_ *sizeAnswer, err error) {
		got, err = io.ReadAll(u)
		return &sizeAnswer{}, err
	})
	handler := api.Handler()
	for _, body := range []string{
		fileHead + "text" + fileEnd, fileHead + fileHead + fileEnd, "--b--\r\n", fileHead, "", "\r\n--b\r\n\r\n\r\n--b--", fileHead + strings.Repeat("x", most+1) + fileEnd,
		"--b\r\nContent-Disposition: form-data; name=file\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=3D=\r\n--b--", "--b\nContent-Disposition: form-data; name=file\n\nx\n--b--",
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''%e2%82\r\n\r\n--b\r\n\r\n--b--", fileHead + "x\r\n--bx\r\n--b-- \t\r\nepilogue",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/files", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", formOfB)
		got = nil
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		switch w.Code {
		case 400, 413, 422:
			return
		case 200:
		default:
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
		parts := multipart.NewReader(strings.NewReader(body), "b")
		part, err := parts.NextRawPart()
		if err != nil || part.FormName() != "file" {
			t.Fatalf("accepted although the first part is %v, %v", part, err)
		}
		want, err := io.ReadAll(part)
		if err != nil || !bytes.Equal(got, want) || len(got) > most {
			t.Fatalf("got %d bytes of %d, %v", len(got), len(want), err)
		}
		if _, err := parts.NextRawPart(); err != io.EOF {
			t.Fatalf("accepted although more follows: %v", err)
		}
	})
}
