package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// The limits of one connection.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second

	// maxHeader is 16 KiB; net/http adds 4 KiB to MaxHeaderBytes.
	maxHeader = 16<<10 - 4<<10

	// maxStreams is how many requests one connection of HTTP/2 has at a time.
	maxStreams = 100
)

// NewServer makes a server with timeouts and size limits, so that slow and
// oversized requests don't delay others. When it shuts down, the streams of an
// API's handler end.
func NewServer(addr string, handler http.Handler) *http.Server {
	s := &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
	}
	if e, ok := handler.(*edge); ok {
		s.RegisterOnShutdown(e.api.stopStreams)
		s.ConnState = e.api.metrics.connection
		s.DisableGeneralOptionsHandler = true // notFound answers OPTIONS *
		s.Protocols = new(http.Protocols)
		s.Protocols.SetHTTP1(true)
		s.Protocols.SetUnencryptedHTTP2(e.api.cfg.H2C)
		s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
	}
	return s
}

// errStopping is the cause with which the stop cancels requests.
var errStopping = errors.New("the service stops")

// Serve answers requests from l until ctx ends, then waits for those in flight.
// Those that still run after two thirds of drain are canceled and so answered 503;
// connections that are open after drain are closed. It returns nil after a clean
// stop.
func Serve(ctx context.Context, s *http.Server, l net.Listener, drain time.Duration) error {
	requests, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	s.BaseContext = func(net.Listener) context.Context { return requests }
	e, ok := s.Handler.(*edge)
	if ok {
		l = problemListener{l, e.api}
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	defer time.AfterFunc(drain*2/3, func() { abort(errStopping) }).Stop()
	err := s.Shutdown(stopping)
	if err != nil {
		err = fmt.Errorf("requests still in flight after %s: %w", drain, errors.Join(err, s.Close()))
	}
	if ok {
		if waited := e.api.detached.wait(stopping); waited != nil && err == nil {
			err = fmt.Errorf("streams still open after %s: %w", drain, waited)
		}
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
