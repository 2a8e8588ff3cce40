package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"

	"github.com/google/uuid"
)

// serverErrorHeaders follow the status line of the answers that net/http itself
// writes, in one Write, to requests that it can't parse.
const serverErrorHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// serverErrors are those answers, by the beginning of their status line, as
// problems.
var serverErrors = map[string]*errs.Error{
	"HTTP/1.1 431": errs.New(errs.BadRequest, errs.CodeHeadersTooLarge, "The request line and headers are larger than 16 KiB."),
	"HTTP/1.1 400": errs.New(errs.BadRequest, errs.CodeMalformedRequest, "The request is not well-formed HTTP."),
}

const serverErrorLength = len("HTTP/1.1 431")

// problemListener replaces the plain text that net/http answers to requests that
// it can't parse by problems (RFC 9457): net/http has no hook for that.
type problemListener struct {
	net.Listener
	api *API
}

func (l problemListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		return problemConn{tcp, l.api}, err
	}
	return conn, err
}

type problemConn struct {
	*net.TCPConn
	api *API
}

// Write sends b, or the problem in its place.
func (c problemConn) Write(b []byte) (int, error) {
	if len(b) < serverErrorLength {
		return c.TCPConn.Write(b)
	}
	e := serverErrors[string(b[:serverErrorLength])]
	if e == nil || !bytes.Contains(b, []byte(serverErrorHeaders)) {
		return c.TCPConn.Write(b)
	}
	ctx := obs.WithRequestID(context.Background(), uuid.NewString())
	c.api.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "request can't be read", slog.String("code", e.Code))
	if _, err := c.TCPConn.Write(rawProblem(ctx, e)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// rawProblem returns the whole answer, with status line and headers.
func rawProblem(ctx context.Context, e *errs.Error) []byte {
	var body, answer bytes.Buffer
	p := newProblem(ctx, e)
	_ = jsonFormat.Marshal(&body, p) // can't fail for a Problem
	h := http.Header{
		"Content-Type": {problemType}, "Content-Length": {strconv.Itoa(body.Len())},
		"Connection": {"close"}, "X-Request-Id": {p.RequestID},
	}
	for name, value := range securityHeaders {
		h[name] = value
	}
	fmt.Fprintf(&answer, "HTTP/1.1 %d %s\r\n", p.Status, p.Title)
	_ = h.Write(&answer)
	answer.WriteString("\r\n")
	answer.Write(body.Bytes())
	return answer.Bytes()
}
