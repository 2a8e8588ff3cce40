package eventstream

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/identity"
)

// sessionEnv is a service with the authentication of package identity.
type sessionEnv struct {
	*testEnv
	users   *identity.Service
	handler http.Handler
	url     string
}

func newSessionEnv(d *testEnv) *sessionEnv {
	d.Helper()
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		d.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	users := identity.New(identity.Config{
		Pool: d.Pool, Keys: func() *jwtauth.KeySet { return keys }, Signer: jwtauth.NewSigner(func() *jwtauth.KeySet { return keys }),
		Verifier: jwtauth.NewVerifier(keys, "test", identity.Audience, d.Now), Issuer: "test",
		HashCost: identity.HashCost{Passes: 1, MemoryKiB: 64, Threads: 1}, Now: d.Now, Wake: func() {}, Log: log,
	})
	service := NewService(Config{Pool: d.Pool, Now: d.Now, Log: log, Registry: prometheus.NewRegistry(), Check: users.Check})
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: log,
		Authenticate: users.Authenticate, Unavailable: pg.Unavailable,
	})
	identity.Register(api, users)
	Register(api, service)
	f := &sessionEnv{testEnv: d, users: users, handler: api.Handler()}
	f.url, _ = serve(d, f.handler, service)
	return f
}

func (f *sessionEnv) post(path, token, body string, want int) map[string]any {
	f.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if w.Code != want {
		f.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	answer := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			f.Fatal(err)
		}
	}
	return answer
}

// signIn registers a customer and returns their access token and id.
func (f *sessionEnv) signIn(name string) (token string, id uuid.UUID) {
	f.Helper()
	credentials := `"email":"` + name + `@crm.test","password":"a lamp in the hallway"`
	user := f.post("/v1/auth/register", "", `{"name":"`+name+`",`+credentials+`}`, http.StatusCreated)
	token = f.post("/v1/auth/login", "", `{`+credentials+`}`, http.StatusOK)["access_token"].(string)
	return token, uuid.MustParse(user["id"].(string))
}

func TestStreamsEndWithTheirSession(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	f := newSessionEnv(newTestEnv(t))
	ada, _ := f.signIn("ada")
	bob, bobID := f.signIn("bob")
	eve, eveID := f.signIn("eve")
	streams := map[string]*client{"signed out": f.connect(f.url, ada, ""), "suspended": f.connect(f.url, bob, "")}
	control := f.connect(f.url, eve, "")

	f.post("/v1/auth/logout", ada, "", http.StatusNoContent)
	suspended := identity.StatusSuspended
	if _, err := f.users.ChangeUser(context.Background(), identity.Principal{UserID: eveID, Role: identity.RoleAdmin}, bobID,
		identity.Change{Status: &suspended}, func(int32) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for name, l := range streams {
		if err := l.ends(); err != io.EOF {
			t.Errorf("%s: the stream ended with %v", name, err)
		}
	}
	select {
	case <-control.events:
		t.Errorf("the stream of the control ended as well: %v", control.err)
	default:
	}
}
