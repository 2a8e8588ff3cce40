package jwtauth_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"
)

// issuer serves the JWKS in answer, and 503 if that is "".
type issuer struct {
	*httptest.Server
	answer  atomic.Value
	fetches atomic.Int64
}

func newIssuer(t *testing.T, answer []byte) *issuer {
	i := &issuer{}
	i.answer.Store(string(answer))
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		body := i.answer.Load().(string)
		if body == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(i.Close)
	return i
}

func publicSet(t *testing.T, keys *jwtauth.KeySet) []byte {
	t.Helper()
	data, err := keys.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// remote is a verifier with remote keys and a clock that the test sets.
type remote struct {
	*jwtauth.Verifier
	now time.Time
	mu  sync.Mutex
}

func newRemote(url string) *remote {
	r := &remote{now: start}
	clock := func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.now
	}
	log := obs.NewLogger(io.Discard, slog.LevelInfo, obs.JSON)
	r.Verifier = jwtauth.NewVerifier(jwtauth.NewRemoteKeys(url, clock, log), "crm", "crm", clock)
	return r
}

func (r *remote) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func isUnavailable(err error) bool {
	e := errs.As(err)
	return e != nil && e.Kind == errs.Unavailable && !errors.Is(err, jwtauth.ErrInvalid)
}

func TestRemoteKeysAreFetchedOnceAndSharedByAll(t *testing.T) {
	keys := newKeys(t)
	i := newIssuer(t, publicSet(t, keys))
	r := newRemote(i.URL)
	token := sign(t, keys, userClaims())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.Verify(token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestIssuerDownAtTheStartIsUnavailableAndNotARefusal(t *testing.T) {
	keys := newKeys(t)
	i := newIssuer(t, nil)
	r := newRemote(i.URL)
	token := sign(t, keys, userClaims())
	for range 3 {
		if _, err := r.Verify(token); !isUnavailable(err) {
			t.Fatalf("got %v", err)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches within a second", n)
	}
	i.answer.Store(string(publicSet(t, keys)))
	r.pass(time.Second)
	if _, err := r.Verify(token); err != nil {
		t.Errorf("not recovered: %v", err)
	}
}

func TestLastFetchedKeysAreUsedWhileTheIssuerIsDown(t *testing.T) {
	keys := newKeys(t)
	i := newIssuer(t, publicSet(t, keys))
	r := newRemote(i.URL)
	c := userClaims()
	c.ExpiresAt = start.Add(24 * time.Hour)
	token := sign(t, keys, c)
	if _, err := r.Verify(token); err != nil {
		t.Fatal(err)
	}
	i.Close()
	r.pass(time.Hour)
	if _, err := r.Verify(token); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := r.Verify(sign(t, newKeys(t), c)); !isUnavailable(err) {
		t.Errorf("an unknown key while the issuer is away: %v", err)
	}
}

func TestRotationReachesTheVerifier(t *testing.T) {
	keys := newKeys(t)
	i := newIssuer(t, publicSet(t, keys))
	r := newRemote(i.URL)
	if _, err := r.Verify(sign(t, keys, userClaims())); err != nil {
		t.Fatal(err)
	}
	keys = rotate(t, rotate(t, keys)) // signs with a key that was never published before
	i.answer.Store(string(publicSet(t, keys)))
	token := sign(t, keys, userClaims())
	if _, err := r.Verify(token); !errors.Is(err, jwtauth.ErrInvalid) {
		t.Errorf("fetched again at once: %v", err)
	}
	r.pass(5 * time.Second)
	if _, err := r.Verify(token); err != nil {
		t.Errorf("the new key is not found: %v", err)
	}
}

func TestWithdrawnKeyIsRefusedOnceTheSetIsFetchedAgain(t *testing.T) {
	keys := newKeys(t)
	i := newIssuer(t, publicSet(t, keys))
	r := newRemote(i.URL)
	token := sign(t, keys, userClaims())
	if _, err := r.Verify(token); err != nil {
		t.Fatal(err)
	}
	i.answer.Store(string(publicSet(t, newKeys(t))))
	r.pass(5 * time.Minute)
	if _, err := r.Verify(token); !errors.Is(err, jwtauth.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownKidsCauseFewFetches(t *testing.T) {
	keys := newKeys(t)
	i := newIssuer(t, publicSet(t, keys))
	r := newRemote(i.URL)
	if _, err := r.Verify(sign(t, keys, userClaims())); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := r.Verify(sign(t, newKeys(t), userClaims())); !errors.Is(err, jwtauth.ErrInvalid) {
			t.Fatalf("got %v", err)
		}
		r.pass(100 * time.Millisecond)
	}
	if n := i.fetches.Load(); n > 3 { // 10 s have passed
		t.Errorf("%d fetches", n)
	}
	before := i.fetches.Load()
	r.pass(time.Minute)
	f := newForger(t, keys)
	if _, err := r.Verify(f.withHeader("kid", "../../etc/passwd")); !errors.Is(err, jwtauth.ErrInvalid) || i.fetches.Load() != before {
		t.Errorf("a kid that can't be ours made a fetch: %v", err)
	}
}

func TestInvalidJWKSIsRefused(t *testing.T) {
	keys := newKeys(t)
	good := string(publicSet(t, keys))
	redirect := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	t.Cleanup(redirect.Close)
	for name, answer := range map[string]string{
		"no JSON": "<html>", "empty": `{"keys":[]}`, "another curve": strings.ReplaceAll(good, "Ed25519", "X25519"),
		"huge": good + strings.Repeat(" ", 1<<20), "forged kid": strings.Replace(good, `"kid":"`, `"kid":"A`, 2),
	} {
		r := newRemote(newIssuer(t, []byte(answer)).URL)
		if _, err := r.Verify(sign(t, keys, userClaims())); !isUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newRemote(redirect.URL).Verify(sign(t, keys, userClaims())); !isUnavailable(err) {
		t.Errorf("redirect: %v", err)
	}
}
