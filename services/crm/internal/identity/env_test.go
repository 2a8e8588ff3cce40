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

// cheap hashes in microseconds. TestUnknownAddressesTakeAsLongAsKnownOnes uses
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

// testEnv is the service with its real router on a real database.
type testEnv struct {
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

// newTestEnv also marks the test as parallel, since tests share nothing.
func newTestEnv(t testing.TB) *testEnv {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	return newTestEnvAt(t, cheap)
}

func newTestEnvAt(t testing.TB, cost HashCost) *testEnv {
	t.Helper()
	env := &testEnv{t: t, pool: pgtest.New(t, db.CRM, "crm/migrations"), clock: &clock{}, log: &lockedBuffer{}}
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	env.keys = keys
	env.service, env.api, env.url = env.replica(cost)
	if _, err := env.service.CreateAdmin(context.Background(), "root@fixdesk.test", goodPassword, "Root"); err != nil {
		t.Fatal(err)
	}
	env.admin = env.login("root@fixdesk.test", goodPassword)
	return env
}

// replica is another instance of the service; it shares database and signing keys
// with the first.
func (env *testEnv) replica(cost HashCost) (*Service, *httpapi.API, string) {
	env.t.Helper()
	log := obs.NewLogger(env.log, slog.LevelDebug, obs.JSON)
	s := New(Config{
		Pool: env.pool, Keys: func() *jwtauth.KeySet { return env.keys },
		Signer:      jwtauth.NewSigner(func() *jwtauth.KeySet { return env.keys }),
		Verifier:    jwtauth.NewVerifier(env.keys, testIssuer, Audience, env.clock.now),
		URLVerifier: jwtauth.NewVerifier(env.keys, testIssuer, URLAudience, env.clock.now),
		Issuer:      testIssuer, HashCost: cost, Now: env.clock.now,
		Wake: func() { env.woken.Add(1) }, Log: log,
	})
	s.minForgotTime = 0
	api := httpapi.New(httpapi.Config{
		Title: "Test", Version: "1", Logger: log, Registry: obs.NewRegistry("test", "1"), Now: env.clock.now,
		Authenticate: s.Authenticate, Unavailable: pg.Unavailable,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Ready:          func(context.Context) (map[string]string, error) { return nil, nil },
	})
	Register(api, s)
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.NewServer("", api.Handler())
	server.Start()
	env.t.Cleanup(server.Close)
	return s, api, server.URL
}

// answer is an HTTP response.
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

// freshAddress is a new client address, without hits of other calls.
func freshAddress() string {
	n := addresses.Add(1)
	return fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
}

// call makes a request; headers are pairs of name and value.
func (env *testEnv) call(method, path, token string, body any, headers ...string) answer {
	return env.callAt(env.url, method, path, token, body, headers...)
}

func (env *testEnv) callAt(url, method, path, token string, body any, headers ...string) answer {
	env.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewBufferString(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			env.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, url+path, reader)
	if err != nil {
		env.t.Fatal(err)
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
		env.t.Error(err) // not Fatal: also called from goroutines
		return answer{}
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		env.t.Error(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, text: string(data)}
	_ = json.Unmarshal(data, &a.body)
	return a
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// caller is a signed-in user.
type caller struct {
	env                 *testEnv
	id, email           string
	access, refreshWith string
}

func (c *caller) call(method, path string, body any, headers ...string) answer {
	c.env.t.Helper()
	return c.env.call(method, path, c.access, body, headers...)
}

func (c *caller) principal() Principal {
	c.env.t.Helper()
	ctx, err := c.env.service.Authenticate(context.Background(), c.access, anyRole, "")
	if err != nil {
		c.env.t.Fatal(err)
	}
	return PrincipalFrom(ctx)
}

func (env *testEnv) tryLogin(email, password string, headers ...string) answer {
	env.t.Helper()
	return env.call("POST", "/v1/auth/login", "", map[string]any{"email": email, "password": password}, headers...)
}

func (env *testEnv) login(email, password string) *caller {
	env.t.Helper()
	a := env.tryLogin(email, password).want(env.t, 200)
	return &caller{
		env: env, email: email, access: a.str("access_token"), refreshWith: a.str("refresh_token"),
		id: a.body["user"].(map[string]any)["id"].(string),
	}
}

func (env *testEnv) register(role Role) (id, email string) {
	env.t.Helper()
	email = uuid.NewString() + "@fixdesk.test"
	a := env.call("POST", "/v1/auth/register", "", map[string]any{
		"name": "Test User", "email": email, "password": goodPassword, "role": role,
	}).want(env.t, 201)
	return a.str("id"), email
}

// approved is a signed-in user of the role.
func (env *testEnv) approved(role Role) *caller {
	env.t.Helper()
	id, email := env.register(role)
	if role != RoleCustomer {
		env.admin.call("POST", "/v1/registrations/"+id+"/approve", nil).want(env.t, 200)
	}
	return env.login(email, goodPassword)
}

// count runs a query that returns one number.
func (env *testEnv) count(query string, args ...any) int {
	env.t.Helper()
	var n int
	if err := env.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		env.t.Fatal(err)
	}
	return n
}

func (env *testEnv) exec(statement string, args ...any) {
	env.t.Helper()
	if _, err := env.pool.Exec(context.Background(), statement, args...); err != nil {
		env.t.Fatal(err)
	}
}

// concurrently runs f n times at the same time and returns the results.
func concurrently[T any](n int, f func(i int) T) []T {
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
