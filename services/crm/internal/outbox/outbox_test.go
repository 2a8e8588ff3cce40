package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"fixdesk/db"
	"fixdesk/pkg/background"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// post is one request that the notification service received.
type post struct {
	key, requestID, connection string
	body                       []byte
	request                    notifyapi.Request
}

// service is a scripted notification API: answer is called for each post, in the
// order of arrival from 1. A nil answer is 202.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	posts  []post
	answer func(n int, p post, w http.ResponseWriter)
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	p := post{key: r.Header.Get("Idempotency-Key"), requestID: r.Header.Get("X-Request-ID"), connection: r.RemoteAddr}
	p.body, _ = io.ReadAll(r.Body)
	_ = json.Unmarshal(p.body, &p.request)
	s.mu.Lock()
	s.posts = append(s.posts, p)
	n, answer := len(s.posts), s.answer
	s.mu.Unlock()
	if answer == nil {
		accept(w)
		return
	}
	answer(n, p, w)
}

func (s *service) seen() []post {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]post(nil), s.posts...)
}

func (s *service) script(answer func(n int, p post, w http.ResponseWriter)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.posts = answer, nil
}

func accept(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(notifyapi.Notification{ID: uuid.New(), Status: notifyapi.StatusQueued})
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "detail": "No."})
}

func always(status int, code string) func(int, post, http.ResponseWriter) {
	return func(_ int, _ post, w http.ResponseWriter) { refuse(w, status, code) }
}

// logBuffer is a log that several dispatchers write to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testEnv is an outbox on a database of its own, a scripted notification service,
// and a dispatcher between the two.
type testEnv struct {
	*testing.T
	pool       *pgxpool.Pool
	q          *crmdb.Queries
	service    *service
	dispatcher *Dispatcher
	log        *logBuffer
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	pool := pgtest.New(t, db.CRM, "crm/migrations")
	o := &testEnv{T: t, pool: pool, q: crmdb.New(pool), service: newService(t), log: &logBuffer{}}
	o.dispatcher = o.newDispatcher(o.service.URL)
	return o
}

func (o *testEnv) newDispatcher(url string) *Dispatcher {
	d := NewDispatcher(Config{
		Pool:     o.pool,
		Client:   &notifyapi.Client{BaseURL: url, Token: func(context.Context) (string, error) { return "canary-token", nil }},
		Links:    notice.Links{PublicURL: "https://fixdesk.example"},
		Interval: 5 * time.Second,
		Logger:   obs.NewLogger(o.log, slog.LevelDebug, obs.JSON),
		Registry: prometheus.NewRegistry(),
		Metrics:  background.NewMetrics(prometheus.NewRegistry()),
	})
	o.Cleanup(d.client.HTTPClient.CloseIdleConnections)
	return d
}

// write adds n comments on one ticket and returns the ticket's id.
func (o *testEnv) write(n int) uuid.UUID {
	o.Helper()
	ticket := uuid.Must(uuid.NewV7())
	for i := range n {
		ctx := obs.WithRequestID(o.Context(), "req-1")
		if err := Add(ctx, o.q, noon, ticket, comment(ticket, int64(i))); err != nil {
			o.Fatal(err)
		}
	}
	return ticket
}

func comment(ticket uuid.UUID, number int64) notice.TicketCommented {
	return notice.TicketCommented{
		Ticket: notice.Ticket{ID: ticket, Number: number, Title: "Printer on fire"},
		To:     notice.Person{ID: uuid.New(), Name: "Ada", Email: "ada@example.com"}, ActorName: "Bob", Body: "canary-body",
	}
}

// once runs the dispatcher once and returns how many entries it claimed and how
// long it pauses.
func (o *testEnv) once() (int, time.Duration) {
	o.Helper()
	n, pause, err := o.dispatcher.runOnce(o.Context())
	if err != nil {
		o.Fatal(err)
	}
	return n, pause
}

// due makes every pending entry due and ends its lease.
func (o *testEnv) due() {
	o.Helper()
	o.exec(`update outbox set next_attempt_at = now(), leased_until = now() - interval '1 ms' where lease_token is not null`)
	o.exec(`update outbox set next_attempt_at = now() where done_at is null and dead_at is null`)
}

func (o *testEnv) exec(sql string, args ...any) {
	o.Helper()
	if _, err := o.pool.Exec(o.Context(), sql, args...); err != nil {
		o.Fatal(err)
	}
}

// row is one value from the database.
func row[T any](o *testEnv, sql string, args ...any) T {
	o.Helper()
	var v T
	if err := o.pool.QueryRow(o.Context(), sql, args...).Scan(&v); err != nil {
		o.Fatal(err)
	}
	return v
}

func (o *testEnv) count(condition string) int {
	o.Helper()
	return row[int](o, "select count(*) from outbox where "+condition)
}

func (o *testEnv) want(condition string, want int) {
	o.Helper()
	if got := o.count(condition); got != want {
		o.Errorf("%d entries where %s, want %d", got, condition, want)
	}
}

// run starts a dispatcher and returns a function that stops it and waits for its
// end.
func (o *testEnv) run(d *Dispatcher) (stop func()) {
	ctx, cancel := context.WithCancel(o.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				o.Error(err)
			}
		})
	}
	o.Cleanup(stop)
	return stop
}

// eventually waits up to four minutes for a condition.
func (o *testEnv) eventually(what string, is func() bool) {
	o.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(4 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			o.Fatalf("not within four minutes: %s", what)
		}
	}
}

func gauge(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

// recorder keeps the last statement that went through it.
type recorder struct {
	crmdb.DBTX
	sql  string
	args []any
}

func (r *recorder) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	r.sql, r.args = sql, args
	return r.DBTX.Query(ctx, sql, args...)
}

func (r *recorder) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	r.sql, r.args = sql, args
	return r.DBTX.QueryRow(ctx, sql, args...)
}
