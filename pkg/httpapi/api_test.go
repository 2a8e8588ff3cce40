package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"

	"github.com/google/uuid"
)

// thing is what the test service stores.
type thing struct {
	Title    string   `json:"title" minLength:"1" maxLength:"20"`
	Priority string   `json:"priority,omitempty" enum:"low,high" default:"low"`
	Count    int32    `json:"count,omitempty" minimum:"0"`
	Tags     []string `json:"tags,omitempty" maxItems:"3"`
	Note     *string  `json:"note,omitempty" nullable:"true"`

	Due     *time.Time  `json:"due,omitempty"`
	Parents []uuid.UUID `json:"parents,omitempty"`
}

type createInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"64"`
	Body           thing
}

type createOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     thing
}

type listInput struct {
	httpapi.PageParams
	Status string    `query:"status" enum:"open,closed"`
	Q      string    `query:"q" maxLength:"100"`
	Active bool      `query:"active"`
	Small  int32     `query:"small"`
	After  time.Time `query:"after"`
}

// listOutput is a page of an unnamed type.
type listOutput struct {
	Body httpapi.Page[struct {
		Thing thing `json:"thing"`
	}]
}

type getInput struct {
	ID string `path:"id" format:"uuid"`
}

type nameInput struct {
	Name string `path:"name"`
}

type getOutput struct {
	Body struct {
		ID      string                         `json:"id"`
		Created httpapi.Time                   `json:"created_at"`
		Closed  httpapi.Nullable[httpapi.Time] `json:"closed_at"`
	}
}

// fixture is a service with one operation of each kind.
type fixture struct {
	*httptest.Server
	api  *httpapi.API
	log  *lockedBuffer
	fail error
}

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

var errDown = errors.New("dial tcp canary: connection refused")

type principalKey struct{}

func authenticate(ctx context.Context, bearer string, allow []string, _ string) (context.Context, error) {
	switch {
	case bearer != "customer-token" && bearer != "admin-token":
		return nil, errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The token is not valid.")
	case !slices.Contains(allow, strings.TrimSuffix(bearer, "-token")):
		return nil, errs.New(errs.Forbidden, errs.CodeForbidden, "You may not do this.")
	}
	return context.WithValue(ctx, principalKey{}, "principal-"+bearer[:5]), nil
}

func newFixture(t testing.TB, change func(*httpapi.Config)) *fixture {
	t.Helper()
	return newFixtureWith(t, change, (*fixture).register)
}

// newFixtureWith starts a service with the operations that register adds.
func newFixtureWith(t testing.TB, change func(*httpapi.Config), register func(*fixture)) *fixture {
	t.Helper()
	f := &fixture{log: &lockedBuffer{}}
	cfg := httpapi.Config{
		Title: "Test", Version: "1", Logger: obs.NewLogger(f.log, slog.LevelInfo, obs.JSON),
		Registry: obs.NewRegistry("test", "1"), Now: time.Now, Authenticate: authenticate,
		Principal:   func(ctx context.Context) string { return ctx.Value(principalKey{}).(string) },
		Unavailable: func(err error) bool { return errors.Is(err, errDown) },
	}
	if change != nil {
		change(&cfg)
	}
	f.api = httpapi.New(cfg)
	register(f)
	f.Server = httptest.NewUnstartedServer(nil)
	f.Config = httpapi.NewServer("", f.api.Handler())
	f.Listener = f.api.Listen(f.Listener)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func (f *fixture) register() {
	op := func(method, path, id string) httpapi.Operation {
		return httpapi.Operation{
			Method: method, Path: path, ID: id, Summary: id, Tag: "test", Allow: []string{"customer", "admin"},
		}
	}
	create := op("POST", "/v1/things", "create-thing")
	create.Status, create.Errors = 201, []string{errs.CodeConflict, errs.CodeRateLimited}
	httpapi.Register(f.api, create, func(_ context.Context, in *createInput) (*createOutput, error) {
		return &createOutput{Location: "/v1/things/1", ETag: httpapi.ETag(1), Body: in.Body}, f.fail
	})
	list := op("GET", "/v1/things", "list-things")
	list.Errors = []string{errs.CodeInvalidCursor}
	httpapi.Register(f.api, list, func(_ context.Context, in *listInput) (*listOutput, error) {
		return &listOutput{httpapi.NewPage[struct {
			Thing thing `json:"thing"`
		}](nil, in.Q)}, f.fail
	})
	export := op("GET", "/v1/export", "export-things")
	export.Errors = []string{errs.CodeNotFound}
	httpapi.RegisterStream(f.api, export, "text/csv", func(context.Context, *struct{}) (httpapi.Stream, error) {
		return func(_ context.Context, w *httpapi.StreamWriter) error {
			_, err := io.WriteString(w, "title\n")
			return err
		}, f.fail
	})
	get := op("GET", "/v1/things/{id}", "get-thing")
	get.Errors = []string{errs.CodeNotFound}
	httpapi.Register(f.api, get, func(_ context.Context, in *getInput) (*getOutput, error) {
		out := &getOutput{}
		out.Body.ID = in.ID
		out.Body.Created = httpapi.NewTime(time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)))
		return out, f.fail
	})
	accept := op("POST", "/v1/things/{id}/accept", "accept-thing")
	accept.Allow = []string{"admin"}
	httpapi.Register(f.api, accept, func(context.Context, *getInput) (*struct{}, error) { return nil, f.fail })
	named := op("GET", "/v1/named/{name}", "get-named")
	named.Public, named.Allow = true, nil
	httpapi.Register(f.api, named, func(ctx context.Context, in *nameInput) (*struct{ Body map[string]string }, error) {
		return &struct{ Body map[string]string }{map[string]string{
			"name": in.Name, "client": obs.Client(ctx).String(), "request_id": obs.RequestID(ctx),
		}}, f.fail
	})
	numbers := op("GET", "/v1/numbers", "list-numbers")
	numbers.Errors = []string{errs.CodeInvalidCursor}
	httpapi.Register(f.api, numbers, f.numbers)
	f.api.Panics()
}

type numbersInput struct {
	httpapi.PageParams
	Kind []string `query:"kind" enum:"odd,even"`
}

// numbers lists 1 to 5, those of the wanted kinds.
func (f *fixture) numbers(ctx context.Context, in *numbersInput) (*httpapi.PageOutput[string], error) {
	return httpapi.Pager[int, int, string]{
		Filters: in.Kind,
		Fetch: func(after *int, n int) ([]int, error) {
			first := 1
			if after != nil {
				first = *after + 1
			}
			var rows []int
			for number := first; number <= 5 && len(rows) < n; number++ {
				if kind := []string{"even", "odd"}[number%2]; len(in.Kind) == 0 || slices.Contains(in.Kind, kind) {
					rows = append(rows, number)
				}
			}
			return rows, f.fail
		},
		Position: func(number int) int { return number },
		View:     strconv.Itoa,
	}.Page(ctx, in.PageParams)
}

// send sends one request; a header is "Name: value".
func (f *fixture) send(t testing.TB, method, path, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, f.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin-token")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "-" {
			req.Header.Del(name)
			continue
		}
		if name == "+" { // "+: Name=value" adds a second header of that name
			name, value, _ = strings.Cut(value, "=")
			req.Header.Add(name, value)
			continue
		}
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, answer
}

// wantProblem checks the members that every problem has.
func wantProblem(t testing.TB, res *http.Response, body []byte, status int, code string) httpapi.Problem {
	t.Helper()
	var p httpapi.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("status %d: not a problem: %v: %.300s", res.StatusCode, err, body)
	}
	if res.StatusCode != status || p.Status != status || string(p.Code) != code {
		t.Errorf("got %d %d %s, want %d %s: %s", res.StatusCode, p.Status, p.Code, status, code, body)
	}
	if res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("Content-Type = %q", res.Header.Get("Content-Type"))
	}
	if p.Type == "" || p.Title != http.StatusText(status) || p.Detail == "" ||
		p.RequestID == "" || p.RequestID != res.Header.Get("X-Request-Id") {
		t.Errorf("problem = %+v, X-Request-Id = %s", p, res.Header.Get("X-Request-Id"))
	}
	return p
}

func TestOperationAnswersWithItsHeadersAndBody(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.send(t, "POST", "/v1/things", `{"title":"<a>"}`)
	if res.StatusCode != 201 || res.Header.Get("Location") != "/v1/things/1" || !strings.HasPrefix(res.Header.Get("ETag"), `"1-`) ||
		res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if string(body) != `{"title":"<a>","priority":"low"}`+"\n" {
		t.Errorf("body = %s", body)
	}
	id := uuid.NewString()
	_, body = f.send(t, "GET", "/v1/things/"+id, "")
	if want := `{"id":"` + id + `","created_at":"2026-01-01T00:00:00.000000Z","closed_at":null}` + "\n"; string(body) != want {
		t.Errorf("body = %s, want %s", body, want)
	}
	if _, body = f.send(t, "GET", "/v1/things", ""); string(body) != `{"items":[]}`+"\n" {
		t.Errorf("empty list = %s", body)
	}
}
