package ticket

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/notice"
)

// desk is a database with people and tickets in it, and the real router before
// it. The bearer token of a request is the caller's id.
type desk struct {
	testing.TB
	pool    *pgxpool.Pool
	service *Service
	handler http.Handler
	log     *bytes.Buffer
	ahead   atomic.Int64 // how far the clock runs before the real one
	people  int
	heard   uuid.UUID // the last notice that told has returned
}

// somebody is a user of the desk.
type somebody struct {
	ID    uuid.UUID
	Name  string
	Email string
	Role  string
}

func (s somebody) viewer() Viewer { return Viewer(s) }

func newDesk(t testing.TB) *desk {
	t.Helper()
	return deskOn(t, pgtest.New(t, db.CRM, "crm/migrations"))
}

// newPatientDesk waits long for locks, so that a slow machine makes a storm
// slow and not different.
func newPatientDesk(t testing.TB) *desk {
	t.Helper()
	pool, err := pg.Open(context.Background(), pgtest.NewURL(t, db.CRM, "crm/migrations"),
		pg.Config{MaxConns: 20, LockTimeout: time.Minute, StatementTimeout: time.Minute, IdleInTransactionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return deskOn(t, pool)
}

func deskOn(t testing.TB, pool *pgxpool.Pool) *desk {
	t.Helper()
	d := &desk{TB: t, pool: pool, log: &bytes.Buffer{}}
	d.service = NewService(d.pool, nil, d.now, func() {})
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now,
		Logger:       slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Authenticate: d.authenticate, Unavailable: pg.Unavailable,
	})
	Register(api, d.service)
	d.handler = api.Handler()
	return d
}

func (d *desk) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

func (d *desk) later(by time.Duration) { d.ahead.Add(int64(by)) }

func (d *desk) authenticate(ctx context.Context, bearer string, allow []string) (context.Context, error) {
	var p identity.Principal
	row := d.pool.QueryRow(ctx, `select id, name, email, role from users where id = $1 and status = 'approved'`, bearer)
	if err := row.Scan(&p.UserID, &p.Name, &p.Email, &p.Role); err != nil {
		return nil, errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "Who?").Because(err)
	}
	if !slices.Contains(allow, string(p.Role)) {
		return nil, errs.New(errs.Forbidden, errs.CodeForbidden, "No.")
	}
	return identity.WithPrincipal(ctx, p), nil
}

func (d *desk) exec(sql string, args ...any) {
	d.Helper()
	if _, err := d.pool.Exec(context.Background(), sql, args...); err != nil {
		d.Fatal(err)
	}
}

func get[T any](d *desk, sql string, args ...any) T {
	d.Helper()
	var v T
	if err := d.pool.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		d.Fatal(err)
	}
	return v
}

func list[T any](d *desk, sql string, args ...any) []T {
	d.Helper()
	rows, err := d.pool.Query(context.Background(), sql, args...)
	if err != nil {
		d.Fatal(err)
	}
	v, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		d.Fatal(err)
	}
	return v
}

func (d *desk) user(role string) somebody {
	d.Helper()
	d.people++
	s := somebody{ID: uuid.Must(uuid.NewV7()), Role: role}
	s.Name, s.Email = fmt.Sprintf("%s %d", strings.ToUpper(role[:1])+role[1:], d.people), fmt.Sprintf("%s%d@example.com", role, d.people)
	d.exec(`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		values ($1, $2, $3, $3, 'x', $4, 'approved', $5, $5)`, s.ID, s.Name, s.Email, role, d.now())
	return s
}

func (d *desk) engineer() somebody {
	d.Helper()
	s := d.user("engineer")
	d.do(func(q *crmdb.Queries) error { return assignment.Join(context.Background(), q, d.now(), s.ID) })
	return s
}

// try runs fn in a transaction as identity would.
func (d *desk) try(fn func(q *crmdb.Queries) error) error {
	ctx := context.Background()
	return pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return fn(crmdb.New(tx)) })
	})
}

func (d *desk) do(fn func(q *crmdb.Queries) error) {
	d.Helper()
	if err := d.try(fn); err != nil {
		d.Fatal(err)
	}
}

// suspend does what identity does when an admin suspends an engineer.
func (d *desk) suspend(s, admin somebody) {
	d.Helper()
	d.do(func(q *crmdb.Queries) error { return d.leave(q, s, admin, "engineer", "suspended") })
}

func (d *desk) leave(q *crmdb.Queries, s, admin somebody, role, status string) error {
	d.exec(`update users set role = $2, status = $3 where id = $1`, s.ID, role, status)
	return assignment.Leave(context.Background(), q, d.now(), s.ID, admin.ID)
}

// reply is what came back for a request.
type reply struct {
	*desk
	Code   int
	Header http.Header
	Body   []byte
}

// call sends a request to the router; body is a string or becomes JSON, and
// headers come in pairs. An answer of 5xx fails the test.
func (d *desk) call(who somebody, method, path string, body any, headers ...string) reply {
	d.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			d.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	r := httptest.NewRequestWithContext(context.Background(), method, path, reader)
	r.Header.Set("Authorization", "Bearer "+who.ID.String())
	if reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if w.Code >= 500 {
		d.Errorf("%s %s: %d %s\n%s", method, path, w.Code, w.Body, d.log)
	}
	return reply{d, w.Code, w.Header(), w.Body.Bytes()}
}

func (a reply) want(code int) reply {
	a.Helper()
	if a.Code != code {
		a.Fatalf("answered %d, want %d: %s", a.Code, code, a.Body)
	}
	return a
}

// refused wants a problem with this status and code.
func (a reply) refused(status int, code string) problem {
	a.Helper()
	a.want(status)
	p := parse[problem](a)
	if p.Code != code || a.Header.Get("Content-Type") != "application/problem+json" {
		a.Fatalf("code %q as %q, want %q: %s", p.Code, a.Header.Get("Content-Type"), code, a.Body)
	}
	return p
}

type problem struct {
	Code   string
	Detail string
	Errors []struct{ Location, Message string }
}

func parse[T any](a reply) T {
	a.Helper()
	var v T
	if err := json.Unmarshal(a.Body, &v); err != nil {
		a.Fatalf("%v in %s", err, a.Body)
	}
	return v
}

// ticket is a ticket as the API tells it.
type ticketBody struct {
	ID          uuid.UUID
	Number      int64
	Title       string
	Description string
	Status      string
	Priority    string
	Reporter    struct {
		ID   uuid.UUID
		Name string
	}
	Assignee *struct {
		ID   uuid.UUID
		Name string
	}
	Resolution *string
	Version    int
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	AcceptedAt *time.Time `json:"accepted_at"`
	ResolvedAt *time.Time `json:"resolved_at"`
	ClosedAt   *time.Time `json:"closed_at"`
}

func (t ticketBody) path(more string) string { return "/v1/tickets/" + t.ID.String() + more }

func (t ticketBody) of(s somebody) bool { return t.Assignee != nil && t.Assignee.ID == s.ID }

// raise creates a ticket.
func (d *desk) raise(who somebody, title, description string) ticketBody {
	d.Helper()
	return parse[ticketBody](d.call(who, "POST", "/v1/tickets", object{"title": title, "description": description}).want(201))
}

func (d *desk) read(who somebody, t ticketBody) ticketBody {
	d.Helper()
	return parse[ticketBody](d.call(who, "GET", t.path(""), nil).want(200))
}

func (d *desk) patch(who somebody, t ticketBody, edit object, headers ...string) reply {
	d.Helper()
	return d.call(who, "PATCH", t.path(""), edit, headers...)
}

type object map[string]any

type page[T any] struct {
	Items      []T
	NextCursor string `json:"next_cursor"`
}

type eventBody struct {
	ID    uuid.UUID
	Kind  string
	Actor *struct {
		ID   uuid.UUID
		Name string
	}
	Changes map[string]json.RawMessage
}

func (d *desk) events(who somebody, t ticketBody) []eventBody {
	d.Helper()
	return parse[page[eventBody]](d.call(who, "GET", t.path("/events?limit=100"), nil).want(200)).Items
}

// letter is a notice with its kind, addressees and words.
type letter struct {
	Kind string
	notice.Message
	Notice notice.Notice
}

func (l letter) String() string { return l.Kind + " > " + strings.Join(l.To, ", ") }

// letters gives the notices since the last call, oldest first.
func (d *desk) letters() []letter {
	d.Helper()
	rows, err := d.pool.Query(context.Background(), `select id, kind, data from outbox where id > $1 order by id`, d.heard)
	if err != nil {
		d.Fatal(err)
	}
	var letters []letter
	var kind string
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&d.heard, &kind, &data}, func() error {
		n, err := notice.Decode(kind, data)
		if err == nil {
			letters = append(letters, letter{kind, n.Message(notice.Links{PublicURL: "http://desk"}), n})
		}
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
	return letters
}

// told names the notices since the last call, sorted.
func (d *desk) told() []string {
	d.Helper()
	names := []string{}
	for _, l := range d.letters() {
		names = append(names, l.String())
	}
	slices.Sort(names)
	return names
}

// wantTold compares told with "kind > somebody" lines.
func (d *desk) wantTold(what string, want ...string) {
	d.Helper()
	slices.Sort(want)
	if got := d.told(); !slices.Equal(got, want) {
		d.Errorf("%s tells\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// wrongLoads counts engineers whose load is not what a recount gives.
const wrongLoads = `select count(*) from engineers e where e.active_tickets <>
	(select count(*) from tickets t where t.assignee_id = e.user_id and t.status in ('open', 'in_progress', 'blocked'))`
