package email

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// limitTime is how long the connections to a server are limited to the number
// that it accepted.
const limitTime = time.Minute

// slowTime is how long no mail begins behind another one on a connection to a server
// that left one unanswered for too long.
const slowTime = time.Minute

// The reasons why a conversation did not begin: its context ended, or its mail
// expired, or its address needs what the server has not.
var (
	errStopped    = errors.New("stopped before the conversation began")
	errExpired    = errors.New("expired before the conversation began")
	errNoSMTPUTF8 = errors.New("the mail server does not offer SMTPUTF8, which this address needs (RFC 6531)")
)

// serverPool holds one server's connections, in use and idle. The most recently
// used idle one is reused first, so that few stay open under a low load. When a
// server refuses one more connection while it serves others, the number of
// connections is limited and the server is not in trouble.
type serverPool struct {
	Server
	config  *Config
	circuit circuit
	pace    pace
	replies replies

	mu         sync.Mutex
	closed     bool
	idle       []*connection
	live       int // in use, idle, or being dialled
	limit      int // 0: none
	limitUntil time.Time
	slowUntil  time.Time // no mail begins behind another one before
	waiting    int
	changed    chan struct{} // closed and replaced when a connection becomes free
}

// acquire returns an idle connection or a new one, or waits for a free one when
// the server takes no more.
func (s *serverPool) acquire(ctx context.Context) (conn *connection, reused bool, err error) {
	for {
		conn, changed := s.takeOrReserve()
		if conn != nil {
			return conn, true, nil
		}
		if changed != nil {
			if err := s.await(ctx, changed); err != nil {
				return nil, false, err
			}
			continue
		}
		if conn, err = s.dialReserved(ctx); err == nil {
			return conn, false, nil
		}
		if !s.isFull(failed(phaseDial, err)) || ctx.Err() != nil {
			return nil, false, err
		}
	}
}

// dialReserved dials a connection that is already counted, and subtracts it again
// when dialling fails or panics.
func (s *serverPool) dialReserved(ctx context.Context) (conn *connection, err error) {
	defer func() {
		if conn == nil {
			s.lost()
		}
	}()
	return dial(ctx, s.Server, s.config.HELO, s.config.Timeouts)
}

// takeOrReserve returns an idle connection; or neither, and the caller may dial;
// or a channel to wait for.
func (s *serverPool) takeOrReserve() (*connection, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		conn := s.idle[n-1]
		s.idle = s.idle[:n-1]
		if conn.idle.Stop() { // else its idle time has ended and it is being closed
			return conn, nil
		}
	}
	if s.limit > 0 && s.live >= s.limit && s.config.Now().Before(s.limitUntil) {
		s.waiting++
		return nil, s.changed
	}
	s.live++
	return nil, nil
}

// await waits until a connection is free, or ctx ends.
func (s *serverPool) await(ctx context.Context, changed <-chan struct{}) error {
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return errStopped
	}
}

// mayFollow reports whether a mail may begin behind another one on a connection.
func (s *serverPool) mayFollow(now time.Time) bool {
	s.mu.Lock()
	slow := now.Before(s.slowUntil)
	s.mu.Unlock()
	return !slow && s.pace.within(now, time.Second) < 0
}

// wasSlow records that the server left a mail unanswered for too long.
func (s *serverPool) wasSlow(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowUntil = now.Add(slowTime)
}

// isFull reports whether a failed dial only means that the server takes no
// further connection, and limits them for a while if so.
func (s *serverPool) isFull(f *failure) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.code/100 != 4 || s.live == 0 {
		return false
	}
	s.limit, s.limitUntil = s.live, s.config.Now().Add(limitTime)
	return true
}

func (s *serverPool) lostLocked() {
	s.live--
	s.wakeLocked()
}

func (s *serverPool) wakeLocked() {
	if s.waiting > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// release keeps the connection for the next mail, or ends it.
func (s *serverPool) release(conn *connection, usable bool) {
	s.mu.Lock()
	keep := usable && !s.closed && conn.sent < s.config.MessagesPerConnection
	if keep {
		conn.idle = time.AfterFunc(s.config.IdleTime, func() { s.expire(conn) })
		s.idle = append(s.idle, conn)
		s.wakeLocked()
	}
	s.mu.Unlock()
	switch {
	case keep:
		return
	case usable:
		conn.quit()
	default:
		conn.drop()
	}
	s.lost()
}

func (s *serverPool) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lostLocked()
}

// expire ends a connection that was idle for too long.
func (s *serverPool) expire(conn *connection) {
	s.mu.Lock()
	s.idle = slices.DeleteFunc(s.idle, func(c *connection) bool { return c == conn })
	s.mu.Unlock()
	conn.quit()
	s.lost()
}

// endIdle ends the idle connections.
func (s *serverPool) endIdle(end func(*connection)) {
	s.mu.Lock()
	idle := slices.DeleteFunc(s.idle, func(c *connection) bool { return !c.idle.Stop() })
	s.idle = nil
	s.mu.Unlock()
	for _, conn := range idle {
		end(conn)
		s.lost()
	}
}

// connections are how many are in use or being dialled, and how many are idle.
func (s *serverPool) connections() (busy, idle int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live - len(s.idle), len(s.idle)
}

// close ends the idle connections; those in use end with their mail.
func (s *serverPool) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.endIdle((*connection).quit)
}
