package eventstream

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// testEnv is the shared environment with the routes of tickets.
type testEnv struct{ *crmtest.Env }

func newTestEnv(t testing.TB) *testEnv {
	t.Helper()
	return &testEnv{crmtest.New(t, mount)}
}

func envOn(t testing.TB, pool *pgxpool.Pool) *testEnv {
	t.Helper()
	return &testEnv{crmtest.On(t, pool, mount)}
}

func mount(e *crmtest.Env, api *httpapi.API) {
	ticket.Register(api, ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}}))
}

var discard = slog.New(slog.DiscardHandler)

// replica is a service with its loops and a real server.
type replica struct {
	*testEnv
	service  *Service
	registry *prometheus.Registry
	url      string
	stop     func() // ends the server and then the loop, as the service does
}

// newReplica starts one more replica on the database. adjust may change
// the service before it runs.
func (d *testEnv) newReplica(adjust func(*Service)) *replica {
	d.Helper()
	log := discard
	registry := prometheus.NewRegistry()
	service := NewService(Config{Pool: d.Pool, Now: d.Now, Log: log, Registry: registry, Check: d.Check})
	if adjust != nil {
		adjust(service)
	}
	handler := d.NewHandler(log, func(e *crmtest.Env, api *httpapi.API) {
		ticket.Register(api, ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: service.Wake}))
		Register(api, service)
	})
	r := &replica{testEnv: d, service: service, registry: registry}
	r.url, r.stop = serve(d, handler, service)
	return r
}

// serve runs a handler and a service until the test ends, or stop is called.
func serve(d *testEnv, handler http.Handler, service *Service) (url string, stop func()) {
	d.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	serving, stopServing := context.WithCancel(context.Background())
	looping, stopLooping := context.WithCancel(context.Background())
	served, looped := make(chan error, 1), make(chan error, 1)
	go func() { served <- httpapi.Serve(serving, httpapi.NewServer("", handler), l, patience) }()
	go func() { looped <- service.Run(looping) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			stopServing()
			if err := <-served; err != nil {
				d.Errorf("stop serving: %v", err)
			}
			stopLooping()
			if err := <-looped; err != nil {
				d.Errorf("stop the loop: %v", err)
			}
		})
	}
	d.Cleanup(stop)
	return "http://" + l.Addr().String(), stop
}

// patience is the limit of every wait, so long that a busy machine fails no test.
const patience = 4 * time.Minute

// receivedEvent is an event as a client reads it from a stream.
type receivedEvent struct {
	id, kind string
	data     string
	body     struct {
		crmtest.Event
		TicketID     uuid.UUID `json:"ticket_id"`
		TicketNumber int64     `json:"ticket_number"`
	}
	at time.Time
}

// client reads a stream.
type client struct {
	*testEnv
	events chan receivedEvent // closed when the stream has ended
	close  func()
	err    error // why it ended; io.EOF after a clean end. Read it after events is closed

	mu   sync.Mutex
	last string // the last event id, as WHATWG HTML has clients keep it
	beat int    // comments
}

// connect opens a stream of a replica, or at a whole address, as the bearer of a
// token, after an event id if one is given, and waits until it is open.
func (d *testEnv) connect(url, token, last string) *client {
	d.Helper()
	l, answer := d.open(url, token, last)
	if answer.StatusCode != http.StatusOK {
		d.Fatalf("the stream was answered %d", answer.StatusCode)
	}
	return l
}

var streamTransport = &http.Transport{DisableCompression: true}

func (d *testEnv) open(url, token, last string) (*client, *http.Response) {
	d.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if !strings.Contains(url, "/v1/") {
		url += "/v1/events"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", "text/event-stream")
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := streamTransport.RoundTrip(request)
	if err != nil {
		cancel()
		d.Fatal(err)
	}
	l := &client{testEnv: d, events: make(chan receivedEvent, 1000)}
	done := make(chan struct{})
	var once sync.Once
	l.close = func() { once.Do(func() { cancel(); <-done }) }
	d.Cleanup(l.close)
	go func() {
		defer close(done)
		defer func() { _ = answer.Body.Close() }()
		l.err = l.read(bufio.NewReader(answer.Body))
		close(l.events)
	}()
	return l, answer
}

// read is the client's side of WHATWG HTML, section server-sent events.
func (l *client) read(r *bufio.Reader) error {
	var e receivedEvent
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if value != "" {
				l.mu.Lock()
				l.beat++
				l.mu.Unlock()
				continue
			}
			if e.id != "" {
				l.mu.Lock()
				l.last = e.id
				l.mu.Unlock()
			}
			if e.data != "" {
				e.at = time.Now()
				if err := json.Unmarshal([]byte(e.data), &e.body); err != nil {
					return err
				}
				l.events <- e
			}
			e = receivedEvent{}
		}
	}
}

func (l *client) lastID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *client) beats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beat
}

// next waits for the next event.
func (l *client) next() receivedEvent {
	l.Helper()
	select {
	case e, open := <-l.events:
		if !open {
			l.Fatalf("the stream ended: %v", l.err)
		}
		return e
	case <-time.After(patience):
		l.Fatalf("no event within %s", patience)
	}
	return receivedEvent{}
}

// until returns the events up to and including the wanted one.
func (l *client) until(wanted func(receivedEvent) bool) []receivedEvent {
	l.Helper()
	var events []receivedEvent
	for {
		e := l.next()
		events = append(events, e)
		if wanted(e) {
			return events
		}
	}
}

// ends waits for the end of the stream.
func (l *client) ends() error {
	l.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, open := <-l.events:
			if !open {
				return l.err
			}
		case <-deadline:
			l.Fatalf("the stream is still open after %s", patience)
		}
	}
}

// comment writes a comment through the replica, whose service is woken by it.
func (r *replica) comment(who crmtest.User, t crmtest.Ticket, text string, internal bool) {
	r.Helper()
	s := ticket.NewService(ticket.Config{Pool: r.Pool, Now: r.Now, Changed: r.service.Wake})
	if _, err := s.AddComment(context.Background(), ticket.Viewer(who), t.ID, ticket.NewComment{Body: text, Internal: internal}, nil); err != nil {
		r.Fatal(err)
	}
}

func closeIdleConnections(t testing.TB) { t.Cleanup(streamTransport.CloseIdleConnections) }

// setTotal sets the number of streams that count as open.
func (o *openStreams) setTotal(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total = n
}
