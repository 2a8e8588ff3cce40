package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// cheap hashes in microseconds; TestUnknownAddressesTakeAsLongAsKnownOnes uses
// the real cost.
var cheap = HashCost{Passes: 1, MemoryKiB: 64, Threads: 1}

const (
	testIssuer   = "fixdesk-test"
	goodPassword = "a lamp in the hallway"
)

// clock is the time of day of a test.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// desk is the room behind its real router on a real database.
type desk struct {
	t       testing.TB
	pool    *pgxpool.Pool
	clock   *clock
	keys    *jwtauth.KeySet
	log     *lockedBuffer
	woken   atomic.Int64
	service *Service
	api     *httpapi.API
	url     string
	admin   *caller
}

func newDesk(t testing.TB) *desk { return newDeskAt(t, cheap) }

func newDeskAt(t testing.TB, cost HashCost) *desk {
	t.Helper()
	d := &desk{t: t, pool: pgtest.New(t, db.CRM, "crm/migrations"), clock: &clock{}, log: &lockedBuffer{}}
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	d.keys = keys
	d.service, d.api, d.url = d.replica(cost)
	if _, err := d.service.CreateAdmin(context.Background(), "root@desk.test", goodPassword, "Root"); err != nil {
		t.Fatal(err)
	}
	d.admin = d.login("root@desk.test", goodPassword)
	return d
}

// replica is another process on the same database: it shares nothing else but
// the signing keys.
func (d *desk) replica(cost HashCost) (*Service, *httpapi.API, string) {
	d.t.Helper()
	log := obs.NewLogger(d.log, slog.LevelDebug, obs.JSON)
	s := New(Config{
		Pool: d.pool, Keys: func() *jwtauth.KeySet { return d.keys },
		Signer:   jwtauth.NewSigner(func() *jwtauth.KeySet { return d.keys }),
		Verifier: jwtauth.NewVerifier(d.keys, testIssuer, Audience, d.clock.now),
		Issuer:   testIssuer, HashCost: cost, Now: d.clock.now,
		Wake: func() { d.woken.Add(1) }, Log: log,
	})
	s.forgotTakes = 0
	api := httpapi.New(httpapi.Config{
		Title: "Test", Version: "1", Logger: log, Registry: obs.NewRegistry("test", "1"), Now: d.clock.now,
		Authenticate: s.Authenticate, Unavailable: pg.Unavailable,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Ready:          func(context.Context) (map[string]string, error) { return nil, nil },
	})
	Register(api, s)
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.NewServer("", api.Handler())
	server.Start()
	d.t.Cleanup(server.Close)
	return s, api, server.URL
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) str(field string) string { s, _ := a.body[field].(string); return s }

func (a answer) items(t testing.TB) []map[string]any {
	t.Helper()
	list, ok := a.body["items"].([]any)
	if !ok {
		t.Fatalf("no items in %s", a.text)
	}
	items := make([]map[string]any, 0, len(list))
	for _, x := range list {
		items = append(items, x.(map[string]any))
	}
	return items
}

// want fails the test unless the answer has this status and, for an error, code.
func (a answer) want(t testing.TB, status int, code ...string) answer {
	t.Helper()
	if a.status != status || len(code) > 0 && a.str("code") != code[0] {
		t.Fatalf("got %d %s, want %d %v: %s", a.status, a.str("code"), status, code, a.text)
	}
	return a
}

var addresses atomic.Int64

// freshAddress is a client nobody has seen, so that limits of others don't count.
func freshAddress() string {
	n := addresses.Add(1)
	return fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
}

// call makes a request; headers are pairs of name and value.
func (d *desk) call(method, path, token string, body any, headers ...string) answer {
	return d.callAt(d.url, method, path, token, body, headers...)
}

func (d *desk) callAt(url, method, path, token string, body any, headers ...string) answer {
	d.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewBufferString(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			d.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, url+path, reader)
	if err != nil {
		d.t.Fatal(err)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("X-Forwarded-For", freshAddress())
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		d.t.Error(err) // not Fatal: also called from goroutines
		return answer{}
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Error(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, text: string(data)}
	_ = json.Unmarshal(data, &a.body)
	return a
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// caller is somebody who is signed in.
type caller struct {
	d                   *desk
	id, email           string
	access, refreshWith string
}

func (c *caller) call(method, path string, body any, headers ...string) answer {
	c.d.t.Helper()
	return c.d.call(method, path, c.access, body, headers...)
}

func (c *caller) principal() Principal {
	c.d.t.Helper()
	ctx, err := c.d.service.Authenticate(context.Background(), c.access, anyRole)
	if err != nil {
		c.d.t.Fatal(err)
	}
	return PrincipalFrom(ctx)
}

func (d *desk) tryLogin(email, password string, headers ...string) answer {
	d.t.Helper()
	return d.call("POST", "/v1/auth/login", "", map[string]any{"email": email, "password": password}, headers...)
}

func (d *desk) login(email, password string) *caller {
	d.t.Helper()
	a := d.tryLogin(email, password).want(d.t, 200)
	return &caller{
		d: d, email: email, access: a.str("access_token"), refreshWith: a.str("refresh_token"),
		id: a.body["user"].(map[string]any)["id"].(string),
	}
}

func (d *desk) register(role Role) (id, email string) {
	d.t.Helper()
	email = uuid.NewString() + "@desk.test"
	a := d.call("POST", "/v1/auth/register", "", map[string]any{
		"name": "Somebody", "email": email, "password": goodPassword, "role": role,
	}).want(d.t, 201)
	return a.str("id"), email
}

// approved is a signed-in user of the role.
func (d *desk) approved(role Role) *caller {
	d.t.Helper()
	id, email := d.register(role)
	if role != RoleCustomer {
		d.admin.call("POST", "/v1/registrations/"+id+"/approve", nil).want(d.t, 200)
	}
	return d.login(email, goodPassword)
}

// count runs a query that gives one number.
func (d *desk) count(query string, args ...any) int {
	d.t.Helper()
	var n int
	if err := d.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *desk) exec(statement string, args ...any) {
	d.t.Helper()
	if _, err := d.pool.Exec(context.Background(), statement, args...); err != nil {
		d.t.Fatal(err)
	}
}

// atOnce runs f n times at the same time and gives the answers.
func atOnce[T any](n int, f func(i int) T) []T {
	results := make([]T, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return results
}
