// Package crmtest has what the tests of the CRM's packages share: a database with
// users, the real router, and requests to it. Only tests import it.
package crmtest

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
	"strconv"
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

// Env is a database and the real router in front of it. The bearer token of a
// request is the caller's id.
type Env struct {
	testing.TB
	Pool    *pgxpool.Pool
	Handler http.Handler
	Log     *bytes.Buffer
	// NeedsVerified makes callers Unverified whose address is not verified.
	NeedsVerified bool
	offset        atomic.Int64 // of the clock, ahead of the real time
	users         int
	seen          uuid.UUID // the last outbox entry that Messages has returned
}

// User is a user of an Env.
type User struct {
	ID    uuid.UUID
	Name  string
	Email string
	Role  string

	Unverified bool // of a ticket.Viewer that is made of it
}

// Mount adds the routes under test to the API of an Env.
type Mount func(*Env, *httpapi.API)

// New makes an Env on a new database of the current schema.
func New(t testing.TB, mount Mount) *Env {
	t.Helper()
	return On(t, pgtest.New(t, db.CRM, "crm/migrations"), mount)
}

// NewWithLongTimeouts makes an Env whose lock and statement timeouts are a minute,
// so that a concurrent test has the same result on a slow machine.
func NewWithLongTimeouts(t testing.TB, mount Mount) *Env {
	t.Helper()
	return NewWithLockTimeout(t, time.Minute, mount)
}

// NewWithLockTimeout makes an Env whose lock timeout is given.
func NewWithLockTimeout(t testing.TB, lock time.Duration, mount Mount) *Env {
	t.Helper()
	pool, err := pg.Open(context.Background(), pgtest.NewURL(t, db.CRM, "crm/migrations"),
		pg.Config{
			MaxConns: 20, LockTimeout: lock, StatementTimeout: time.Minute, IdleInTransactionTimeout: time.Minute,
			AcquireTimeout: time.Minute, CallTimeout: 10 * time.Minute,
		})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return On(t, pool, mount)
}

// On makes an Env on the given database.
func On(t testing.TB, pool *pgxpool.Pool, mount Mount) *Env {
	t.Helper()
	d := &Env{TB: t, Pool: pool, Log: &bytes.Buffer{}}
	d.Handler = d.NewHandler(slog.New(slog.NewTextHandler(d.Log, &slog.HandlerOptions{Level: slog.LevelWarn})), mount)
	return d
}

// NewHandler makes a router with the routes that mount adds.
func (d *Env) NewHandler(log *slog.Logger, mount Mount) http.Handler {
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: log,
		Authenticate: d.Authenticate, AuthenticateURL: d.AuthenticateURL, Unavailable: pg.Unavailable,
	})
	mount(d, api)
	return api.Handler()
}

// Now is the clock of the Env.
func (d *Env) Now() time.Time { return time.Now().Add(time.Duration(d.offset.Load())) }

// Advance moves the clock of the Env forward.
func (d *Env) Advance(by time.Duration) { d.offset.Add(int64(by)) }

// Authenticate accepts the id of an approved user as their bearer token.
func (d *Env) Authenticate(ctx context.Context, bearer string, allow []string, _ string) (context.Context, error) {
	httpapi.ReadAhead(ctx)
	var p identity.Principal
	row := d.Pool.QueryRow(ctx, `select id, name, email, role, email_verified_at is null and $2 from users where id = $1 and status = 'approved'`, bearer, d.NeedsVerified)
	if err := row.Scan(&p.UserID, &p.Name, &p.Email, &p.Role, &p.Unverified); err != nil {
		return nil, errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The token is not valid.").Because(err)
	}
	if !slices.Contains(allow, string(p.Role)) {
		return nil, errs.New(errs.Forbidden, errs.CodeForbidden, "The role is not allowed.")
	}
	return identity.WithPrincipal(ctx, p), nil
}

// SignURL signs a path for a user, until a time.
func (d *Env) SignURL(p identity.Principal, path string, lifetime time.Duration) (string, error) {
	return p.UserID.String() + "/" + strconv.FormatInt(d.Now().Add(lifetime).Unix(), 10) + path, nil
}

// AuthenticateURL accepts what SignURL made for the path, until its end.
func (d *Env) AuthenticateURL(ctx context.Context, path, signature string, allow []string, scope string) (context.Context, error) {
	user, rest, _ := strings.Cut(signature, "/")
	until, signed, _ := strings.Cut(rest, "/")
	if end, err := strconv.ParseInt(until, 10, 64); err != nil || d.Now().Unix() > end || "/"+signed != path {
		return nil, errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The signature is not valid.")
	}
	return d.Authenticate(ctx, user, allow, scope)
}

// Check accepts a principal while they are approved and have the same role.
func (d *Env) Check(ctx context.Context, p identity.Principal) error {
	_, err := d.Authenticate(ctx, p.UserID.String(), []string{string(p.Role)}, "")
	return err
}

// Exec runs a statement.
func (d *Env) Exec(sql string, args ...any) {
	d.Helper()
	if _, err := d.Pool.Exec(context.Background(), sql, args...); err != nil {
		d.Fatal(err)
	}
}

// Get reads one value.
func Get[T any](d *Env, sql string, args ...any) T {
	d.Helper()
	var v T
	if err := d.Pool.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		d.Fatal(err)
	}
	return v
}

// List reads one column.
func List[T any](d *Env, sql string, args ...any) []T {
	d.Helper()
	rows, err := d.Pool.Query(context.Background(), sql, args...)
	if err != nil {
		d.Fatal(err)
	}
	v, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		d.Fatal(err)
	}
	return v
}

// User makes an approved user.
func (d *Env) User(role string) User {
	d.Helper()
	d.users++
	s := User{ID: uuid.Must(uuid.NewV7()), Role: role}
	s.Name, s.Email = fmt.Sprintf("%s %d", strings.ToUpper(role[:1])+role[1:], d.users), fmt.Sprintf("%s%d@example.com", role, d.users)
	d.Exec(`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		values ($1, $2, $3, $3, 'x', $4, 'approved', $5, $5)`, s.ID, s.Name, s.Email, role, d.Now())
	return s
}

// Engineer makes an approved engineer, who is assigned tickets.
func (d *Env) Engineer() User {
	d.Helper()
	s := d.User("engineer")
	d.Do(func(q *crmdb.Queries) error { return assignment.Join(context.Background(), q, s.ID) })
	d.RunBacklog()
	return s
}

// RunBacklog runs the assignment backlog until nothing remains to be assigned.
func (d *Env) RunBacklog() {
	d.Helper()
	backlog := assignment.NewBacklog(d.Pool, d.Now, func() {})
	for again := true; again; {
		var err error
		if again, err = backlog.RunOnce(context.Background()); err != nil {
			d.Fatal(err)
		}
	}
}

// Try runs fn in a transaction, and repeats it as pg.Retry does.
func (d *Env) Try(fn func(q *crmdb.Queries) error) error {
	ctx := context.Background()
	return pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error { return fn(crmdb.New(tx)) })
	})
}

// Do is Try, and fails the test on an error.
func (d *Env) Do(fn func(q *crmdb.Queries) error) {
	d.Helper()
	if err := d.Try(fn); err != nil {
		d.Fatal(err)
	}
}

// Suspend suspends an engineer as identity does.
func (d *Env) Suspend(s, admin User) {
	d.Helper()
	d.Do(func(q *crmdb.Queries) error { return d.Leave(q, s, admin, "engineer", "suspended") })
	d.RunBacklog()
}

// Leave gives an engineer another role or status, as identity does.
func (d *Env) Leave(q *crmdb.Queries, s, admin User, role, status string) error {
	d.Exec(`update users set role = $2, status = $3 where id = $1`, s.ID, role, status)
	return assignment.Leave(context.Background(), q, s.ID, admin.ID)
}

// Response is the answer to a request.
type Response struct {
	*Env
	Code   int
	Header http.Header
	Body   []byte
}

// Call sends a request to the router; body is a string or becomes JSON, and
// headers come in pairs. An answer of 5xx fails the test.
func (d *Env) Call(who User, method, path string, body any, headers ...string) Response {
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
	d.Handler.ServeHTTP(w, r)
	if w.Code >= 500 {
		d.Errorf("%s %s: %d %s\n%s", method, path, w.Code, w.Body, d.Log)
	}
	return Response{d, w.Code, w.Header(), w.Body.Bytes()}
}

// Want fails the test unless the answer has this status.
func (a Response) Want(code int) Response {
	a.Helper()
	if a.Code != code {
		a.Fatalf("answered %d, want %d: %s", a.Code, code, a.Body)
	}
	return a
}

// Refused wants a Problem with this status and code.
func (a Response) Refused(status int, code string) Problem {
	a.Helper()
	a.Want(status)
	p := Parse[Problem](a)
	if p.Code != code || a.Header.Get("Content-Type") != "application/problem+json" {
		a.Fatalf("code %q as %q, want %q: %s", p.Code, a.Header.Get("Content-Type"), code, a.Body)
	}
	return p
}

// Problem is an error as the API answers it (RFC 9457).
type Problem struct {
	Code   string
	Detail string
	Errors []struct{ Location, Message string }
}

// Parse reads the body of an answer.
func Parse[T any](a Response) T {
	a.Helper()
	var v T
	if err := json.Unmarshal(a.Body, &v); err != nil {
		a.Fatalf("%v in %s", err, a.Body)
	}
	return v
}

// Ticket is a ticket as the API answers it.
type Ticket struct {
	ID          uuid.UUID
	Number      int64
	Title       string
	Description string
	Status      string
	Priority    string
	Reporter    struct {
		ID          uuid.UUID
		Name, Email string
	}
	Assignee *struct {
		ID   uuid.UUID
		Name string
	}
	Resolution *string
	Version    int

	BlockedReason *string `json:"blocked_reason"`
	WaitingFor    *string `json:"waiting_for"`

	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	AcceptedAt *time.Time `json:"accepted_at"`
	ResolvedAt *time.Time `json:"resolved_at"`
	ClosedAt   *time.Time `json:"closed_at"`
}

// Path is the ticket's path with more appended.
func (t Ticket) Path(more string) string { return "/v1/tickets/" + t.ID.String() + more }

// AssignedTo reports whether a user is the assignee.
func (t Ticket) AssignedTo(s User) bool { return t.Assignee != nil && t.Assignee.ID == s.ID }

// Raise creates a ticket.
func (d *Env) Raise(who User, title, description string) Ticket {
	d.Helper()
	return Parse[Ticket](d.Call(who, "POST", "/v1/tickets", Object{"title": title, "description": description}).Want(201))
}

// Read returns the ticket as the user sees it now.
func (d *Env) Read(who User, t Ticket) Ticket {
	d.Helper()
	return Parse[Ticket](d.Call(who, "GET", t.Path(""), nil).Want(200))
}

// Patch sends an edit of the ticket.
func (d *Env) Patch(who User, t Ticket, edit Object, headers ...string) Response {
	d.Helper()
	return d.Call(who, "PATCH", t.Path(""), edit, headers...)
}

// Object is a JSON object.
type Object map[string]any

// Page is a page of a list.
type Page[T any] struct {
	Items      []T
	NextCursor string `json:"next_cursor"`
}

// Event is an event as the API answers it.
type Event struct {
	ID    uuid.UUID
	Kind  string
	Actor *struct {
		ID   uuid.UUID
		Name string
	}
	Changes map[string]json.RawMessage
}

// Events returns the events of a ticket that the user may see.
func (d *Env) Events(who User, t Ticket) []Event {
	d.Helper()
	return Parse[Page[Event]](d.Call(who, "GET", t.Path("/events?limit=100"), nil).Want(200)).Items
}

// Message is a notice with its kind, recipients and text.
type Message struct {
	Kind string
	notice.Message
	Notice notice.Notice
}

func (l Message) String() string { return l.Kind + " > " + strings.Join(l.To, ", ") }

// Messages returns the notices since the last call, oldest first.
func (d *Env) Messages() []Message {
	d.Helper()
	rows, err := d.Pool.Query(context.Background(), `select id, kind, data from outbox where id > $1 order by id`, d.seen)
	if err != nil {
		d.Fatal(err)
	}
	var messages []Message
	var kind string
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&d.seen, &kind, &data}, func() error {
		n, err := notice.Decode(kind, data)
		if err == nil {
			messages = append(messages, Message{kind, n.Message(notice.Links{PublicURL: "http://crm.test"}), n})
		}
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
	return messages
}

// Notices names the notices since the last call, sorted.
func (d *Env) Notices() []string {
	d.Helper()
	names := []string{}
	for _, l := range d.Messages() {
		names = append(names, l.String())
	}
	slices.Sort(names)
	return names
}

// WantNotices compares Notices with "kind > address" lines.
func (d *Env) WantNotices(what string, want ...string) {
	d.Helper()
	slices.Sort(want)
	if got := d.Notices(); !slices.Equal(got, want) {
		d.Errorf("%s notifies\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// WrongLoads counts engineers whose load differs from a recount.
const WrongLoads = `select count(*) from engineers e where e.active_tickets <>
	(select count(*) from tickets t where t.assignee_id = e.user_id and ticket_is_active(t.status))`

// Eventually waits for a condition, for up to four minutes on a busy machine.
func (d *Env) Eventually(what string, is func() bool) {
	d.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(4 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			d.Fatalf("not within four minutes: %s", what)
		}
	}
}

// Pair creates a ticket and returns which of two engineers is its assignee.
func (d *Env) Pair(reporter, a, b User) (ticket Ticket, has, other User) {
	d.Helper()
	ticket = d.Raise(reporter, "Printer", "It smokes")
	switch {
	case ticket.AssignedTo(a):
		return ticket, a, b
	case ticket.AssignedTo(b):
		return ticket, b, a
	}
	d.Fatalf("assigned to %+v", ticket.Assignee)
	return
}
