package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// load sends requests to a service over a number of connections, each the next one
// as soon as it has the answer (a closed loop, as pgbench does).
//
// The client shares the cores with the service that it measures, and pgbench is
// written in C. So it has its own HTTP/1.1: a request is one prepared Write, and of
// the answer only status and length are parsed. net/http would cost as much as the
// service itself in many requests.
type load struct {
	addr    string
	conns   int
	request func(buf []byte, random *rand.Rand) []byte // appends a request to buf
	// firstByte measures until the first byte of the body, on a connection for
	// each request, and reads no further.
	firstByte bool
	// unchanged expects 304 instead of 2xx.
	unchanged bool
}

// outcome is the result of a load.
type outcome struct {
	rate float64   // answers a second
	took []float64 // seconds of each answer, in no order
}

// run sends requests for d. It fails at an answer other than 2xx, which would not be
// the work to measure.
func (l load) run(ctx context.Context, d time.Duration) (outcome, error) {
	var (
		mu     sync.Mutex
		all    outcome
		failed error
		wg     sync.WaitGroup
	)
	begin := time.Now()
	end := begin.Add(d)
	for range l.conns {
		wg.Go(func() {
			took, err := l.work(ctx, end)
			mu.Lock()
			defer mu.Unlock()
			all.took = append(all.took, took...)
			if failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	all.rate = float64(len(all.took)) / time.Since(begin).Seconds()
	return all, failed
}

func (l load) work(ctx context.Context, end time.Time) (took []float64, err error) {
	if !l.firstByte {
		return l.one(ctx, end)
	}
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for time.Now().Before(end) {
		begin := time.Now()
		if err := l.begin(ctx, l.request(nil, random)); err != nil {
			return took, err
		}
		took = append(took, time.Since(begin).Seconds())
	}
	return took, nil
}

// begin reads the first byte of an answer's body.
func (l load) begin(ctx context.Context, request []byte) error {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	defer func() {
		_ = conn.Close() // so that closing the body doesn't read the rest
		_ = answer.Body.Close()
	}()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the service answered %d", answer.StatusCode)
	}
	_, err = io.ReadFull(answer.Body, make([]byte, 1))
	return err
}

func (l load) one(ctx context.Context, end time.Time) (took []float64, err error) {
	c, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for begin := time.Now(); begin.Before(end); {
		if err := c.exchange(random); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(begin).Seconds())
		begin = now
	}
	return took, nil
}

// client is one connection of a load.
type client struct {
	load
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	close   func()
}

func (l load) dial(ctx context.Context) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &client{load: l, conn: conn, reader: bufio.NewReaderSize(conn, 32<<10), close: func() {
		stop()
		_ = conn.Close()
	}}, nil
}

// exchange sends one request and reads its answer.
func (c *client) exchange(random *rand.Rand) error {
	c.request = c.load.request(c.request[:0], random)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := readAnswer(c.reader)
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if !c.expects(status) {
		return fmt.Errorf("the service answered %d", status)
	}
	return nil
}

func (l load) expects(status int) bool {
	if l.unchanged {
		return status == http.StatusNotModified
	}
	return status >= 200 && status <= 299
}

// readAnswer reads one HTTP/1.1 answer to its end.
func readAnswer(r *bufio.Reader) (status int, err error) {
	first, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(first) < 12 {
		return 0, errors.New("not HTTP")
	}
	if status, err = strconv.Atoi(string(first[9:12])); err != nil {
		return 0, err
	}
	length, chunked := 0, false
	for {
		header, err := r.ReadSlice('\n')
		if err != nil {
			return status, err
		}
		if len(header) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(header, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return status, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if status == http.StatusNotModified {
		return status, nil
	}
	if !chunked {
		_, err = r.Discard(length)
		return status, err
	}
	return status, discardChunks(r)
}

func discardChunks(r *bufio.Reader) error {
	for {
		text, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := r.Discard(int(size) + 2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// entityTag returns the ETag of the answer to a request.
func entityTag(ctx context.Context, addr string, request []byte) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if tag := answer.Header.Get("ETag"); tag != "" && answer.StatusCode == http.StatusOK {
		return tag, nil
	}
	return "", fmt.Errorf("the answer %d has no ETag", answer.StatusCode)
}

// ask sends one request and returns the body of the answer.
func ask(ctx context.Context, addr string, request []byte) (status int, body []byte, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write(bytes.Replace(request, []byte("\r\n"), []byte("\r\nConnection: close\r\n"), 1)); err != nil {
		return 0, nil, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return 0, nil, err
	}
	if status, err = readAnswer(bufio.NewReader(bytes.NewReader(answer))); err != nil {
		return status, nil, err
	}
	_, body, _ = bytes.Cut(answer, []byte("\r\n\r\n"))
	return status, body, nil
}
