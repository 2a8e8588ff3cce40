package ticket

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

// TestASessionThatEndsTakesItsStreamsAlong goes through the real door, with
// the service's own pace.
func TestASessionThatEndsTakesItsStreamsAlong(t *testing.T) {
	releaseFeedConnections(t)
	d := newDesk(t)
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	users := identity.New(identity.Config{
		Pool: d.pool, Keys: func() *jwtauth.KeySet { return keys }, Signer: jwtauth.NewSigner(func() *jwtauth.KeySet { return keys }),
		Verifier: jwtauth.NewVerifier(keys, "test", identity.Audience, d.now), Issuer: "test",
		HashCost: identity.HashCost{Passes: 1, MemoryKiB: 64, Threads: 1}, Now: d.now, Wake: func() {}, Log: log,
	})
	feed := NewFeed(FeedConfig{Pool: d.pool, Now: d.now, Log: log, Registry: prometheus.NewRegistry(), StillIn: users.Check})
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: log,
		Authenticate: users.Authenticate, Unavailable: pg.Unavailable,
	})
	identity.Register(api, users)
	RegisterFeed(api, feed)
	handler := api.Handler()
	url, _ := serve(d, handler, feed)

	post := func(path, token, body string, want int) map[string]any {
		t.Helper()
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		answer := map[string]any{}
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
		}
		return answer
	}
	signIn := func(name string) (token, id string) {
		t.Helper()
		credentials := `"email":"` + name + `@desk.test","password":"a lamp in the hallway"`
		id = post("/v1/auth/register", "", `{"name":"`+name+`",`+credentials+`}`, http.StatusCreated)["id"].(string)
		return post("/v1/auth/login", "", `{`+credentials+`}`, http.StatusOK)["access_token"].(string), id
	}

	ada, _ := signIn("ada")
	bob, bobID := signIn("bob")
	eve, _ := signIn("eve")
	streams := map[string]*listener{"signed out": d.listen(url, ada, ""), "suspended": d.listen(url, bob, "")}
	control := d.listen(url, eve, "")
	started := time.Now()
	post("/v1/auth/logout", ada, "", http.StatusNoContent)
	root := identity.Principal{UserID: uuid.MustParse(bobID), Role: identity.RoleAdmin}
	suspended := identity.StatusSuspended
	if _, err := users.ChangeUser(context.Background(), root, root.UserID, identity.Change{Status: &suspended}, func(int32) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for name, l := range streams {
		if err := l.ends(6 * time.Second); err != io.EOF {
			t.Errorf("%s: the stream ended with %v", name, err)
		}
		t.Logf("%s: the stream ended after %s", name, time.Since(started))
	}
	select {
	case <-control.events:
		t.Errorf("the control's stream ended, too: %v", control.err)
	default:
	}
}
