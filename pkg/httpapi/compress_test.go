package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"

	"github.com/klauspost/compress/zstd"
)

// decoded reads a body that is complete in its coding.
func decoded(t testing.TB, coding string, body []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	switch coding {
	case "gzip":
		zip, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = zip
	case "zstd":
		packed, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer packed.Close()
		r = packed
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return string(content)
}

func TestCodingIsChosenByWeight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header string
		want   string // "406" for none
	}{
		{"", ""}, {"identity", ""}, {"gzip", "gzip"}, {"zstd", "zstd"}, {"gzip, zstd", "zstd"}, {"zstd;q=0.5, gzip", "gzip"}, {"gzip, deflate, br, zstd", "zstd"},
		{"gzip, deflate, br", "gzip"}, {"br", ""}, {"*", "gzip"}, {"*;q=0.5, zstd", "zstd"}, {"gzip;q=0, *", ""}, {"gzip;q=0", ""}, {"GZIP", "gzip"}, {"x-gzip", "gzip"},
		{"gzip;q=0.001", "gzip"}, {"gzip;q=0.5, identity", ""}, {"gzip;q=0.5, identity;q=0.4", "gzip"}, {"identity, gzip", "gzip"}, {"gzip;q=0.2, zstd;q=0.1, *;q=0.3", ""},
		{"gzip ; q=0", ""}, {"gzip;q=x", ""}, {"gzip;q=2", ""}, {"gzip;q=-1", ""}, {";", ""}, {",,", ""}, {"gzipped", ""}, {"gzip\tzstd", ""},
		{"identity;q=0", "406"}, {"identity;q=0, gzip", "gzip!"}, {"*;q=0", "406"}, {"*;q=0, gzip", "gzip!"}, {"*;q=0, identity", ""}, {"identity;q=0, *", "gzip!"}, {"identity;q=0, br", "406"},
	} {
		coding, always, ok := httpapi.Negotiate([]string{tt.header}, true)
		if always {
			coding += "!"
		}
		if !ok {
			coding = "406"
		}
		if coding != tt.want {
			t.Errorf("%q: %q, want %q", tt.header, coding, tt.want)
		}
		if coding, _, ok := httpapi.Negotiate([]string{tt.header}, false); coding != "" || ok != (strings.TrimRight(tt.want, "!") == tt.want && tt.want != "406") {
			t.Errorf("%q for what isn't compressed: %q, %v", tt.header, coding, ok)
		}
	}
	if coding, always, ok := httpapi.Negotiate(nil, true); coding != "" || always || !ok {
		t.Error("compressed without being asked")
	}
	if coding, _, _ := httpapi.Negotiate([]string{"br", "gzip;q=0.1"}, true); coding != "gzip" {
		t.Error("the second line isn't read")
	}
}

func FuzzAcceptEncoding(f *testing.F) {
	for _, seed := range []string{"", "gzip", "gzip;q=0.5, zstd", "*;q=0", "identity;q=0, *", ";q=,", "gzip;q=1;q=0", "gzip;q=NaN", "gzip;q=1e400"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		coding, always, ok := httpapi.Negotiate([]string{header}, true)
		lower := strings.ToLower(header)
		if coding != "" && !strings.Contains(lower, coding) && !strings.Contains(header, "*") {
			t.Errorf("%q: %s", header, coding)
		}
		if (!ok || always) && !strings.Contains(lower, "identity") && !strings.Contains(header, "*") {
			t.Errorf("%q refuses identity", header)
		}
		if !ok && coding != "" || always && ok && coding == "" {
			t.Errorf("%q: %q %v %v", header, coding, always, ok)
		}
	})
}

func TestBodiesOver1KiBAreCompressedAsAsked(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	tags := map[string]bool{}
	for _, tt := range []struct{ accept, want string }{
		{"identity", ""}, {"gzip", "gzip"}, {"zstd", "zstd"}, {"gzip;q=0", ""}, {"br", ""}, {"gzip, deflate, br, zstd", "zstd"},
	} {
		whole, _ := f.raw(t, "GET", "/v1/document?size=20000", "", "Accept-Encoding: "+tt.accept)
		tag := whole.Header.Get("ETag")
		for _, method := range []string{"GET", "HEAD"} {
			res, body := f.raw(t, method, "/v1/document?size=20000", "", "Accept-Encoding: "+tt.accept)
			if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != tt.want || res.Header.Get("Vary") != "Accept-Encoding" || res.Header.Get("ETag") != tag || res.ContentLength != whole.ContentLength {
				t.Errorf("%s %s: %d %v", method, tt.accept, res.StatusCode, res.Header)
			}
			if method == "GET" && (!strings.Contains(decoded(t, tt.want, body), "It smokes. It smokes. ") || res.ContentLength != int64(len(body)) || tt.want != "" && len(body) > 1000) {
				t.Errorf("%s: %d bytes, length %d", tt.accept, len(body), res.ContentLength)
			}
			again, empty := f.raw(t, method, "/v1/document?size=20000", "", "Accept-Encoding: "+tt.accept, "If-None-Match: "+tag)
			if again.StatusCode != 304 || len(empty) != 0 || again.Header.Get("ETag") != tag || again.Header["Content-Encoding"] != nil {
				t.Errorf("%s %s again: %d %v", method, tt.accept, again.StatusCode, again.Header)
			}
		}
		tags[tag+tt.want] = true
	}
	if len(tags) != 3 { // strong tags of different bytes differ
		t.Errorf("%v", tags)
	}
	small, body := f.raw(t, "GET", "/v1/document", "", "Accept-Encoding: gzip")
	if small.Header.Get("Content-Encoding") != "" || small.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d bytes: %v", len(body), small.Header)
	}
	small, body = f.raw(t, "GET", "/v1/document", "", "Accept-Encoding: gzip, identity;q=0")
	if small.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(decoded(t, "gzip", body), "Ada") {
		t.Errorf("identity is refused: %v", small.Header)
	}
	f.version.Store(3)
	res, body := f.raw(t, "PATCH", "/v1/document", "{}", "If-Match: *", "Accept-Encoding: br, identity;q=0")
	if wantProblem(t, res, body, 406, errs.CodeNotAcceptable); f.version.Load() != 3 {
		t.Error("changed, and then refused")
	}
}

func TestAnswersWithSecretsAreNeverCompressed(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	length := func(echo string) int64 {
		res, body := f.raw(t, "POST", "/v1/login", `{"echo":"`+echo+`"}`, "Accept-Encoding: gzip, zstd")
		if res.Header["Content-Encoding"] != nil || res.Header["Vary"] != nil || res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(string(body), "secretsecret") {
			t.Errorf("%v", res.Header)
		}
		return res.ContentLength
	}
	if right, wrong := length("secret"), length("terces"); right != wrong {
		t.Errorf("the length says which guess is right: %d, %d", right, wrong)
	}
	// The control: the same service compresses what is no secret.
	if res, _ := f.raw(t, "GET", "/v1/document?size=5000", "", "Accept-Encoding: gzip, zstd"); res.Header.Get("Content-Encoding") != "zstd" {
		t.Errorf("%v", res.Header)
	}
}

func TestOperationThatAnswersASecretMustSaySo(t *testing.T) {
	t.Parallel()
	register := func(secret bool) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		api := httpapi.New(httpapi.Config{Title: "T", Version: "1", Registry: obs.NewRegistry("t", "1"), Logger: obs.NewLogger(io.Discard, 0, obs.JSON)})
		op := httpapi.Operation{Method: "POST", Path: "/v1/login", ID: "login", Summary: "s", Tag: "t", Public: true, Secret: secret}
		httpapi.Register(api, op, func(context.Context, *loginInput) (*loginOutput, error) { return nil, nil })
		return false
	}
	if !register(false) || register(true) {
		t.Error("an operation that answers a token may be compressed")
	}
}

func TestStreamsAreCompressedExceptEvents(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	for _, tt := range []struct{ path, accept, want string }{
		{"/v1/rows?rows=20000", "gzip", "gzip"}, {"/v1/rows?rows=20000", "zstd", "zstd"}, {"/v1/rows?rows=20000", "identity", ""}, {"/v1/rows?rows=102", "gzip", ""},
		{"/v1/rows?rows=103", "gzip", "gzip"}, {"/v1/rows?rows=0", "gzip", ""}, {"/v1/rows?rows=0", "gzip, *;q=0", "gzip"}, {"/v1/events", "gzip, zstd", ""},
	} {
		res, body := f.raw(t, "GET", tt.path, "", "Accept-Encoding: "+tt.accept)
		if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != tt.want || (res.Header.Get("Vary") == "") != (tt.path == "/v1/events") || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s in %s: %d %v", tt.path, tt.accept, res.StatusCode, res.Header)
		}
		content := decoded(t, tt.want, body)
		if strings.Contains(tt.path, "20000") && (len(content) != 200_000 || !strings.HasSuffix(content, "00019999\r\n") || tt.want != "" && len(body) > 100_000) {
			t.Errorf("%s in %s: %d bytes of %d", tt.path, tt.accept, len(body), len(content))
		}
		if strings.HasSuffix(tt.path, "=102") && len(content) != 1020 || tt.path == "/v1/events" && len(content) != 9000 {
			t.Errorf("%s: %d bytes", tt.path, len(content))
		}
	}
	res, body := f.raw(t, "GET", "/v1/events", "", "Accept-Encoding: identity;q=0, gzip")
	wantProblem(t, res, body, 406, errs.CodeNotAcceptable)
}

func TestBrokenCompressedStreamIsNoCompleteOne(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	for _, coding := range []string{"gzip", "zstd", "identity"} {
		res, body := f.raw(t, "GET", "/v1/rows?rows=10&fail=early", "", "Accept-Encoding: "+coding)
		if wantProblem(t, res, body, 404, errs.CodeNotFound); res.Header["Content-Encoding"] != nil {
			t.Errorf("%v", res.Header)
		}
		res, body = f.raw(t, "GET", "/v1/rows?rows=20000&fail=late", "", "Accept-Encoding: "+coding)
		if res.StatusCode != -200 || len(body) == 0 {
			t.Errorf("%s: %d with %d bytes looks complete", coding, res.StatusCode, len(body))
		}
	}
}

// More compressed streams than slots: the others are sent as they are, and each
// slot is free again afterwards.
func TestNumberOfCompressedStreamsIsBounded(t *testing.T) {
	f := newFixtureWith(t, nil, func(f *fixture) {
		op := httpapi.Operation{Method: "GET", Path: "/v1/rows", ID: "rows", Summary: "s", Tag: "t", Public: true}
		httpapi.RegisterStream(f.api, op, "text/csv", func(context.Context, *struct{}) (httpapi.Stream, error) {
			return func(ctx context.Context, w *httpapi.StreamWriter) error {
				if _, err := io.WriteString(w, "title\r\n"); err != nil {
					return err
				}
				if err := w.Flush(); err != nil {
					return err
				}
				<-ctx.Done()
				return nil
			}, nil
		})
	})
	free := httpapi.FreeStreamSlots()
	if free != httpapi.MaxEncodedStreams {
		t.Fatalf("%d slots are free", free)
	}
	compressed := 0
	for range free + 2 {
		req, err := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/v1/rows", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "zstd")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		if res.Header.Get("Content-Encoding") == "zstd" {
			compressed++
		}
	}
	if compressed != free || httpapi.FreeStreamSlots() != 0 {
		t.Errorf("%d are compressed, %d slots free", compressed, httpapi.FreeStreamSlots())
	}
	if res, _ := f.raw(t, "GET", "/v1/rows", "", "Accept-Encoding: zstd, identity;q=0"); res.StatusCode != 503 {
		t.Errorf("one that must be compressed: %d", res.StatusCode)
	}
	f.CloseClientConnections()
	eventually(t, "the slots to be free", func() bool { return httpapi.FreeStreamSlots() == free })
}
