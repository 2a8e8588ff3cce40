package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// newH2CClient is a client that speaks HTTP/2 without TLS and nothing else.
func newH2CClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

func ask(t *testing.T, c *http.Client, method, url, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin-token")
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, content
}

func TestHTTP2WithoutTLSIsServedWhereConfigured(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, func(c *httpapi.Config) { c.H2C = true })
	c := newH2CClient(t)
	res, body := ask(t, c, "GET", f.URL+"/v1/document?size=5000", "", "Accept-Encoding: zstd")
	if res.ProtoMajor != 2 || res.StatusCode != 200 || !strings.Contains(decoded(t, "zstd", body), "It smokes.") {
		t.Fatalf("%s %d", res.Proto, res.StatusCode)
	}
	if again, _ := ask(t, c, "GET", f.URL+"/v1/document?size=5000", "", "Accept-Encoding: zstd", "If-None-Match: "+res.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("again: %d", again.StatusCode)
	}
	if res, _ := ask(t, c, "GET", f.URL+"/v1/events", ""); res.StatusCode != 200 {
		t.Errorf("a stream: %d", res.StatusCode)
	}
	res, body = ask(t, c, "POST", f.URL+"/v1/login", `{"echo":"`+strings.Repeat("x", 2<<20)+`"}`)
	wantProblem(t, res, body, 413, errs.CodeBodyTooLarge)
	if status := statusWithHeader(t, c, f.URL, 10<<10); status != 200 {
		t.Errorf("10 KiB of headers: %d", status)
	}
	if status := statusWithHeader(t, c, f.URL, 17<<10); status != 0 { // more than the service announces that it takes
		t.Errorf("17 KiB of headers: %d", status)
	}
	if res, _ := f.raw(t, "GET", "/v1/document", ""); res.StatusCode != 200 || res.ProtoMajor != 1 {
		t.Errorf("HTTP/1.1 beside it: %d", res.StatusCode)
	}
}

// statusWithHeader sends a header of a size in bytes. It is 0 if the client may not.
func statusWithHeader(t *testing.T, c *http.Client, url string, size int) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/document", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin-token")
	req.Header.Set("X", strings.Repeat("a", size))
	res, err := c.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// net/http adds the length of short answers, this package that of longer ones; the sizes
// are on both sides of each.
func TestEveryAnswerHasItsLength(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, func(c *httpapi.Config) { c.H2C = true })
	plain := &http.Transport{DisableCompression: true}
	t.Cleanup(plain.CloseIdleConnections)
	for protocol, client := range map[string]*http.Client{"HTTP/1.1": {Transport: plain}, "HTTP/2": newH2CClient(t)} {
		shortest, longest := int64(1<<20), int64(0)
		for _, size := range []int{11, 1800, 1900, 1950, 2000, 2030, 2060, 2100, 3900, 4100, 9000} {
			url := f.URL + "/v1/document?size=" + strconv.Itoa(size)
			res, body := ask(t, client, "GET", url, "")
			shortest, longest = min(shortest, res.ContentLength), max(longest, res.ContentLength)
			if res.StatusCode != http.StatusOK || res.ContentLength != int64(len(body)) {
				t.Errorf("%s: %d, length %d of %d bytes", protocol, res.StatusCode, res.ContentLength, len(body))
			}
			if head, _ := ask(t, client, "HEAD", url, ""); head.ContentLength != int64(len(body)) {
				t.Errorf("%s: HEAD has the length %d of %d bytes", protocol, head.ContentLength, len(body))
			}
		}
		if shortest > 2000 || longest < 4100 {
			t.Errorf("%s: lengths from %d to %d", protocol, shortest, longest)
		}
	}
}

func TestHTTP2WithoutTLSIsOffByDefault(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/v1/document", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := newH2CClient(t).Do(req); err == nil {
		_ = res.Body.Close()
		t.Errorf("served as %s", res.Proto)
	}
	// An upgrade from HTTP/1.1 is ignored, as it is where h2c is on.
	res, _ := f.raw(t, "GET", "/v1/document", "", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
	if res.StatusCode != 200 {
		t.Errorf("upgrade: %d", res.StatusCode)
	}
}

func TestStopEndsConnectionsOfHTTP2(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, func(c *httpapi.Config) { c.H2C = true })
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- httpapi.Serve(ctx, httpapi.NewServer("", f.api.Handler()), l, 5*time.Second) }()
	if res, _ := ask(t, newH2CClient(t), "GET", "http://"+l.Addr().String()+"/v1/document", ""); res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Fatalf("%s %d", res.Proto, res.StatusCode)
	}
	stop() // the client's connection is idle and open
	if err := <-served; err != nil {
		t.Errorf("the stop: %v", err)
	}
}
