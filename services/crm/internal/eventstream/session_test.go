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

// frontDoor is identity's own routes and rules before a feed at its own pace.
type frontDoor struct {
	*testEnv
	users   *identity.Service
	handler http.Handler
	url     string
}

func newFrontDoor(d *testEnv) *frontDoor {
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
	feed := NewFeed(FeedConfig{Pool: d.Pool, Now: d.Now, Log: log, Registry: prometheus.NewRegistry(), StillIn: users.Check})
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: log,
		Authenticate: users.Authenticate, Unavailable: pg.Unavailable,
	})
	identity.Register(api, users)
	Register(api, feed)
	f := &frontDoor{testEnv: d, users: users, handler: api.Handler()}
	f.url, _ = serve(d, f.handler, feed)
	return f
}

func (f *frontDoor) post(path, token, body string, want int) map[string]any {
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

// signIn registers a customer and gives their access token and id.
func (f *frontDoor) signIn(name string) (token string, id uuid.UUID) {
	f.Helper()
	credentials := `"email":"` + name + `@desk.test","password":"a lamp in the hallway"`
	user := f.post("/v1/auth/register", "", `{"name":"`+name+`",`+credentials+`}`, http.StatusCreated)
	token = f.post("/v1/auth/login", "", `{`+credentials+`}`, http.StatusOK)["access_token"].(string)
	return token, uuid.MustParse(user["id"].(string))
}

func TestASessionThatEndsTakesItsStreamsAlong(t *testing.T) {
	releaseFeedConnections(t)
	f := newFrontDoor(newTestEnv(t))
	ada, _ := f.signIn("ada")
	bob, bobID := f.signIn("bob")
	eve, eveID := f.signIn("eve")
	streams := map[string]*listener{"signed out": f.listen(f.url, ada, ""), "suspended": f.listen(f.url, bob, "")}
	control := f.listen(f.url, eve, "")

	f.post("/v1/auth/logout", ada, "", http.StatusNoContent)
	suspended := identity.StatusSuspended
	if _, err := f.users.ChangeUser(context.Background(), identity.Principal{UserID: eveID, Role: identity.RoleAdmin}, bobID,
		identity.Change{Status: &suspended}, func(int32) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for name, l := range streams {
		if err := l.ends(6 * time.Second); err != io.EOF {
			t.Errorf("%s: the stream ended with %v", name, err)
		}
	}
	select {
	case <-control.events:
		t.Errorf("the control's stream ended, too: %v", control.err)
	default:
	}
}
