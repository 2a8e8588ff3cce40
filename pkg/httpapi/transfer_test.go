package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

const fileMax = 8 << 20

type sizeAnswer struct {
	Body struct {
		Size int64 `json:"size"`
	}
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

type fileServer struct {
	*httptest.Server
	receiving chan struct{} // has one for each upload whose file is being read, as far as they fit
}

// shortTimeout is what a slow transfer outlasts.
const shortTimeout = 300 * time.Millisecond

// newFileServer serves an upload, whose answer is the size, a download of downloadSize
// bytes, and an ordinary operation, with these timeouts of requests and connections.
func newFileServer(t *testing.T, downloadSize int, timeout time.Duration) fileServer {
	t.Helper()
	receiving := make(chan struct{}, 100)
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: obs.NewLogger(io.Discard, 0, obs.JSON),
		RequestTimeout: timeout,
		Authenticate: func(ctx context.Context, _ string, _ []string, _ string) (context.Context, error) {
			return ctx, nil
		},
		Principal: func(context.Context) string { return "somebody" },
	})
	anyone := []string{"anyone"}
	httpapi.RegisterUpload(api, httpapi.Operation{
		Method: "POST", Path: "/files", ID: "upload", Tag: "t", Summary: "s", Allow: anyone, UploadMax: fileMax,
	}, func(ctx context.Context, _ *struct{}, u *httpapi.Upload) (*sizeAnswer, error) {
		select {
		case receiving <- struct{}{}:
		default:
		}
		out := &sizeAnswer{}
		n, err := io.Copy(io.Discard, u)
		out.Body.Size = n
		return out, errors.Join(err, ctx.Err())
	})
	httpapi.RegisterContent(api, httpapi.Operation{
		Method: "GET", Path: "/file", ID: "download", Tag: "t", Summary: "s", Allow: anyone,
	}, func(context.Context, *struct{}) (*httpapi.Content, error) {
		return &httpapi.Content{MediaType: "text/plain", Disposition: "inline", Tag: "t", Open: func(context.Context) (io.ReadSeekCloser, error) {
			return memoryFile{bytes.NewReader(make([]byte, downloadSize))}, nil
		}}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: "POST", Path: "/text", ID: "text", Tag: "t", Summary: "s", Allow: anyone,
	}, func(context.Context, *struct {
		Body struct {
			Text string `json:"text"`
		}
	}) (*sizeAnswer, error) {
		return &sizeAnswer{}, nil
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.NewServer("", api.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = timeout, timeout
	server.Start()
	t.Cleanup(server.Close)
	return fileServer{Server: server, receiving: receiving}
}

const (
	fileHead = "--b\r\nContent-Disposition: form-data; name=file; filename=a.bin\r\n\r\n"
	fileEnd  = "\r\n--b--\r\n"
)

// slowly sends a body in ten parts over a second, longer than the server's timeouts.
func slowly(w io.WriteCloser, head string, part []byte, end string) {
	_, _ = io.WriteString(w, head)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		<-tick.C
		_, _ = w.Write(part)
	}
	_, _ = io.WriteString(w, end)
	_ = w.Close()
}

func post(t *testing.T, url, contentType string, body io.Reader) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer x")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(data)
}

const formOfB = "multipart/form-data; boundary=b"

func TestUploadMayTakeLongerThanTheTimeoutsOfTheServer(t *testing.T) {
	server := newFileServer(t, 0, shortTimeout)
	reader, writer := io.Pipe()
	go slowly(writer, fileHead, make([]byte, 100_000), fileEnd)
	if status, text := post(t, server.URL+"/files", formOfB, reader); status != 200 || !strings.Contains(text, "1000000") {
		t.Errorf("the upload is answered %d %s", status, text)
	}
	reader, writer = io.Pipe() // the control: an ordinary operation has them
	go slowly(writer, `{"text":"`, []byte("x"), `"}`)
	if status, text := post(t, server.URL+"/text", "application/json", reader); status == 200 {
		t.Errorf("the control is answered %d %s", status, text)
	}
}

func TestDownloadMayTakeLongerThanTheTimeoutsOfTheServer(t *testing.T) {
	const size = 4 << 20
	server := newFileServer(t, size, shortTimeout)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	_, _ = fmt.Fprintf(conn, "GET /file HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n")
	tick := time.NewTicker(time.Second) // the client waits longer than the timeouts before it reads
	defer tick.Stop()
	<-tick.C
	_ = conn.(*net.TCPConn).SetReadBuffer(size)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil || n != size {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestRefusalOfAnUploadReachesAClientThatSendsAll(t *testing.T) {
	server := newFileServer(t, 0, time.Minute)
	file := strings.Repeat("x", fileMax+1<<20)
	for name, body := range map[string]io.Reader{
		"of known length": strings.NewReader(fileHead + file + fileEnd), "of unknown length": io.MultiReader(strings.NewReader(fileHead + file + fileEnd)),
	} {
		if status, text := post(t, server.URL+"/files", formOfB, body); status != 413 || !strings.Contains(text, "8 MiB") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, text := post(t, server.URL+"/files", formOfB, io.MultiReader(strings.NewReader("--b\r\nContent-Disposition: form-data; name=other\r\n\r\n"+file+fileEnd))); status != 422 {
		t.Errorf("another name: %d %s", status, text)
	}
}

func TestTransfersOfOneCallerAreLimited(t *testing.T) {
	server := newFileServer(t, 0, time.Minute)
	const most = 32
	done := make(chan int, most)
	var writers []*io.PipeWriter
	for range most {
		reader, writer := io.Pipe()
		writers = append(writers, writer)
		go func() {
			status, _ := post(t, server.URL+"/files", formOfB, reader)
			done <- status
		}()
		go func() { _, _ = io.WriteString(writer, fileHead+strings.Repeat("x", 64<<10)) }()
	}
	for range most {
		select {
		case <-server.receiving:
		case status := <-done:
			t.Fatalf("one of them is answered %d before its end", status)
		}
	}
	if status, text := post(t, server.URL+"/files", formOfB, strings.NewReader(fileHead+"x"+fileEnd)); status != 429 {
		t.Errorf("one more is answered %d %s", status, text)
	}
	for _, w := range writers {
		_, _ = io.WriteString(w, fileEnd)
		_ = w.Close()
	}
	for range most {
		if status := <-done; status != 200 {
			t.Errorf("one of them is answered %d", status)
		}
	}
	if status, text := post(t, server.URL+"/files", formOfB, strings.NewReader(fileHead+"x"+fileEnd)); status != 200 {
		t.Errorf("the control is answered %d %s", status, text)
	}
}
