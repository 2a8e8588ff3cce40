package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	openStreams = 10_000
	// streamsEach is the limit of one engineer.
	streamsEach = 20
	// firstWatcher is the number of the first engineer who reads streams, and has
	// no tickets.
	firstWatcher = 600_000

	// streamsIdle is how long the streams are open before the first ticket: each
	// session is checked several times meanwhile, which needs memory too.
	streamsIdle = 15 * time.Second

	streamMemoryBar = 256 << 20
	streamDelayBar  = time.Second
)

// watchers are engineers with a session, from firstWatcher on.
const watchers = `
insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
select ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, 'Watcher ' || n, 'watcher' || n || '@example.com',
    'watcher ' || n || ' watcher' || n || '@example.com', '-', 'engineer', 'approved', now(), now()
from generate_series(%[1]d, %[1]d + %[2]d - 1) n;
insert into sessions (id, user_id, created_at, expires_at, used_at)
select ('00000000-0000-0000-0002-' || lpad(n::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, now(), now() + interval '1 day', now()
from generate_series(%[1]d, %[1]d + %[2]d - 1) n`

// measureStreams opens streams of engineers, who get every event, raises tickets and
// waits each time until every stream has its event.
func measureStreams(ctx context.Context, s *stack, o options) ([]line, error) {
	count, raised := openStreams, 20
	if o.turns == 1 {
		count, raised = 1000, 5
	}
	if err := s.makeTickets(ctx, "streams", smallTickets); err != nil {
		return nil, err
	}
	if err := s.execute(ctx, "streams", fmt.Sprintf(watchers, firstWatcher, count/streamsEach)); err != nil {
		return nil, err
	}
	crm, err := s.startCRM(ctx, "streams", closedURL)
	if err != nil {
		return nil, err
	}
	client, err := s.client(crm.Address, smallTickets)
	if err != nil {
		return nil, err
	}
	within := s.peak[crm.Name] // the bar on memory under load does not apply
	defer func() {
		s.stopService(crm)
		s.peak[crm.Name] = within
	}()
	var readers readers
	defer readers.close()
	if err := readers.open(ctx, s, crm.Address, count); err != nil {
		return nil, err
	}
	progress("  %d streams are open: %d MiB", count, residentNow(crm.Pid())>>20)
	select {
	case <-time.After(streamsIdle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var slowest []float64
	for range raised {
		begin := time.Now()
		number, err := client.raise(ctx, 7)
		if err != nil {
			return nil, err
		}
		last, err := readers.wait(ctx, number)
		if err != nil {
			return nil, err
		}
		slowest = append(slowest, last.Sub(begin).Seconds())
	}
	memory, worst := peakResident(crm.Pid()), slices.Max(slowest)
	progress("  slowest stream: p50 %.0f ms, at most %.0f ms; memory at most %d MiB", median(slowest)*1000, worst*1000, memory>>20)
	return []line{{
		work: fmt.Sprintf("memory of crm with %d event streams", count), ours: fmt.Sprintf("%d MiB", memory>>20),
		bar: "≤ 256 MiB", met: memory <= streamMemoryBar,
	}, {
		work: fmt.Sprintf("a ticket raised → its event on the last of %d streams", count),
		ours: fmt.Sprintf("p50 %.0f ms, at most %.0f ms", median(slowest)*1000, worst*1000),
		bar:  "≤ 1 s", met: worst <= streamDelayBar.Seconds(),
	}}, nil
}

// readers are the clients of the streams.
type readers struct {
	conns   []net.Conn
	mu      sync.Mutex
	seen    map[string]int // streams that have the created event of a ticket, by number
	last    map[string]time.Time
	failed  error
	changed chan struct{}
	total   int
}

// open opens the streams, some at a time, and waits until each has begun.
func (r *readers) open(ctx context.Context, s *stack, addr string, count int) error {
	r.seen, r.last, r.changed, r.total = map[string]int{}, map[string]time.Time{}, make(chan struct{}, 1), count
	for n := range count {
		token, err := s.token(firstWatcher + n/streamsEach)
		if err != nil {
			return err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		r.conns = append(r.conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", token); err != nil {
			return err
		}
		reader := bufio.NewReaderSize(conn, 1024)
		first, err := reader.ReadString('\n')
		if err != nil || !strings.Contains(first, " 200 ") {
			return fmt.Errorf("stream %d: the service answered %q: %w", n, first, err)
		}
		go r.read(reader)
	}
	return ctx.Err()
}

var (
	createdEvent = []byte("event: created")
	dataField    = []byte("data: ")
	numberMember = []byte(`"ticket_number":`)
)

// read notes the numbers of the tickets whose creation comes by the stream.
func (r *readers) read(reader *bufio.Reader) {
	created := false
	for {
		text, err := reader.ReadSlice('\n')
		if err != nil && len(text) == 0 {
			r.fail(err)
			return
		}
		switch {
		case bytes.HasPrefix(text, createdEvent):
			created = true
		case created && bytes.HasPrefix(text, dataField):
			created = false
			if _, rest, found := bytes.Cut(text, numberMember); found {
				r.note(string(rest[:bytes.IndexAny(rest, ",}")]))
			}
		}
	}
}

func (r *readers) note(number string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[number] = now
	if r.seen[number]++; r.seen[number] == r.total {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
}

func (r *readers) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err
}

// wait returns when the last stream had the creation of a ticket.
func (r *readers) wait(ctx context.Context, number int) (time.Time, error) {
	key := fmt.Sprint(number)
	timeout := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		seen, last, failed := r.seen[key], r.last[key], r.failed
		r.mu.Unlock()
		if seen == r.total {
			return last, nil
		}
		select {
		case <-r.changed:
		case <-time.After(time.Second): // another ticket's signal was taken
		case <-ctx.Done():
			return last, ctx.Err()
		case <-timeout:
			return last, errors.Join(fmt.Errorf("the event of ticket #%d came by %d of %d streams", number, seen, r.total), failed)
		}
	}
}

func (r *readers) close() {
	for _, conn := range r.conns {
		_ = conn.Close()
	}
}

// residentNow reads VmRSS (proc(5)) in bytes; 0 where there is none.
func residentNow(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return memoryField(string(text), "VmRSS:")
}
