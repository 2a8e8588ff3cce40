package httpapi_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
)

// discard is a response writer that writes nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func serve(b *testing.B, h http.Handler, method, target, token, body string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		var reader io.Reader = http.NoBody
		if body != "" {
			reader = strings.NewReader(body)
		}
		r := httptest.NewRequest(method, target, reader)
		r.Header["Authorization"] = []string{"Bearer " + token}
		if body != "" {
			r.Header["Content-Type"] = []string{"application/json"}
		}
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

// BenchmarkWholeStack compares an authenticated request, without the network and the
// database, with chi and a plain handler.
func BenchmarkWholeStack(b *testing.B) {
	id, target := uuid.NewString(), "/v1/things/"
	plain := chi.NewMux()
	plain.Get(target+"{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"id": chi.URLParam(r, "id")})
	})
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		b.Fatal(err)
	}
	token, err := jwtauth.NewSigner(func() *jwtauth.KeySet { return keys }).Sign(jwtauth.Claims{
		Issuer: "crm", Subject: id, Audience: "crm", SessionID: id, ID: rand.Text(),
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	verifier := jwtauth.NewVerifier(keys, "crm", "crm", time.Now)
	configure := func(c *httpapi.Config) {
		c.Logger = obs.NewLogger(io.Discard, slog.LevelInfo, obs.JSON)
		c.Authenticate = func(ctx context.Context, bearer string, _ []string, _ string) (context.Context, error) {
			claims, err := verifier.Verify(bearer)
			if err != nil {
				return nil, errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "No.").Because(err)
			}
			return context.WithValue(ctx, principalKey{}, claims.Subject), nil
		}
	}
	f := newFixture(b, configure)
	limited := newFixture(b, func(c *httpapi.Config) {
		configure(c)
		c.Limit = func(context.Context, bool) (httpapi.RateLimit, error) {
			return httpapi.RateLimit{Policy: "user", Limit: 1000, Remaining: 998, Window: 20 * time.Second, Reset: time.Second}, nil
		}
	})
	b.Run("chi", func(b *testing.B) { serve(b, plain, "GET", target+id, token, "") })
	b.Run("get", func(b *testing.B) { serve(b, f.Config.Handler, "GET", target+id, token, "") })
	b.Run("get with headers of a rate limit", func(b *testing.B) { serve(b, limited.Config.Handler, "GET", target+id, token, "") })
	b.Run("list", func(b *testing.B) { serve(b, f.Config.Handler, "GET", "/v1/things?limit=20&status=open", token, "") })
	b.Run("post", func(b *testing.B) {
		serve(b, f.Config.Handler, "POST", "/v1/things", token, `{"title":"a","priority":"high"}`)
	})
}
