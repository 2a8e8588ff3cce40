package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// allScopes are the scopes that a user of any role may give a key.
var allScopes = []Scope{ScopeTicketsRead, ScopeTicketsWrite, ScopePeopleRead, ScopePeopleWrite}

// tryKey creates an API key of the caller; fields replace those of a valid request.
func (c *caller) tryKey(fields map[string]any) answer {
	c.env.t.Helper()
	body := map[string]any{"name": "nightly import", "scopes": allScopes}
	for name, value := range fields {
		body[name] = value
	}
	return c.call("POST", "/v1/keys", body)
}

// key creates an API key of the caller.
func (c *caller) key(scopes ...Scope) (id, secret string) {
	c.env.t.Helper()
	a := c.tryKey(map[string]any{"scopes": scopes}).want(c.env.t, 201)
	return a.str("id"), a.str("secret")
}

func (c *caller) rotate(id string, body any) answer {
	c.env.t.Helper()
	return c.call("POST", "/v1/keys/"+id+"/rotate", body)
}

func TestKeyIsShownOnceAndActsForItsOwner(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleEngineer)
	created := c.tryKey(map[string]any{"name": "  Nightly import ", "networks": []string{"10.0.0.0/8", "2001:db8::/32"}}).want(t, 201)
	id, secret := created.str("id"), created.str("secret")
	if created.header.Get("Location") != "/v1/keys/"+id || created.header.Get("Cache-Control") != "no-store" ||
		created.str("name") != "Nightly import" || created.str("hint") != secret[:12] || created.body["last_used_at"] != nil {
		t.Errorf("%v %s", created.header, strings.ReplaceAll(created.text, secret, "…"))
	}
	if me := env.call("GET", "/v1/me", secret, nil).want(t, 200); me.str("id") != c.id {
		t.Error("the key acts for another user")
	}
	env.call("PATCH", "/v1/me", secret, map[string]any{"available": false}).want(t, 200)
	one := c.call("GET", "/v1/keys/"+id, nil).want(t, 200)
	list := c.call("GET", "/v1/keys", nil).want(t, 200)
	if len(list.items(t)) != 1 || list.items(t)[0]["id"] != id || one.str("last_used_at") == "" {
		t.Errorf("%s %s", one.text, list.text)
	}
	if strings.Contains(one.text+list.text, secret[12:]) {
		t.Error("the secret is in a later answer")
	}
	if n := env.count("select count(*) from audit_events where kind = 'key_created' and object_id = $1 and actor_id = $2 and after->>'owner_id' = $2::text", id, c.id); n != 1 {
		t.Errorf("%d creations in the audit", n)
	}
	if n := env.count("select count(*) from outbox where kind = 'account_changed' and reference = $1 and data->>'event' = 'key_issued'", c.id); n != 1 {
		t.Errorf("%d mails about the key", n)
	}
	c.call("DELETE", "/v1/keys/"+id, nil).want(t, 204)
	c.call("GET", "/v1/keys/"+id, nil).want(t, 404, "not_found")
	if n := env.count("select count(*) from audit_events where kind = 'key_revoked' and object_id = $1 and before ? 'last_used_at'", id); n != 1 {
		t.Errorf("%d revocations in the audit", n)
	}
}

func TestInvalidKeysAreRefusedWithEachReason(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	now := time.Now()
	for name, fields := range map[string]map[string]any{
		"no name": {"name": " "}, "link as name": {"name": "see https://evil.example/x"}, "long name": {"name": strings.Repeat("x", 101)},
		"no scopes": {"scopes": []string{}}, "unknown scope": {"scopes": []string{"root"}}, "scope twice": {"scopes": []string{"tickets:read", "tickets:read"}},
		"address without length": {"networks": []string{"10.0.0.1"}}, "bits beyond the length": {"networks": []string{"10.0.0.1/8"}},
		"mapped": {"networks": []string{"::ffff:10.0.0.0/104"}}, "zone": {"networks": []string{"fe80::%eth0/10"}}, "name of a host": {"networks": []string{"example.org/24"}},
		"too many networks": {"networks": slices.Repeat([]string{"10.0.0.0/8"}, 21)},
		"past":              {"expires_at": now.Add(-time.Second)}, "too far ahead": {"expires_at": now.Add(367 * 24 * time.Hour)},
		"secret chosen": {"secret": "fd_live_x"}, "owner chosen": {"owner_id": env.admin.id},
	} {
		if a := c.tryKey(fields); a.status != 422 || !strings.Contains(a.text, `"location":"body.`) {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	c.tryKey(map[string]any{"expires_at": now.Add(365 * 24 * time.Hour), "networks": []string{"0.0.0.0/0"}}).want(t, 201) // the control
	for _, scope := range []string{ScopeAdmin, "notifications:read", "notifications:write", "notifications:manage"} {
		c.tryKey(map[string]any{"scopes": []string{scope}}).want(t, 403, "forbidden")
		env.admin.tryKey(map[string]any{"scopes": []string{scope}}).want(t, 201) // the control
	}
}

func TestKeyWithATypingErrorIsRefusedWithoutTheDatabase(t *testing.T) {
	env := newTestEnv(t)
	_, secret := env.admin.key(ScopePeopleRead)
	typo := secret[:20] + string(base62[(strings.IndexByte(base62, secret[20])+1)%62]) + secret[21:]
	env.call("GET", "/v1/me", typo, nil).want(t, 401, "invalid_token")
	env.pool.Close()
	env.call("GET", "/v1/me", typo, nil).want(t, 401, "invalid_token")
	env.call("GET", "/v1/me", secret, nil).want(t, 503) // the control: this one is looked up
}

func TestKeyIsAcceptedOnlyAsOneBearerToken(t *testing.T) {
	env := newTestEnv(t)
	_, secret := env.admin.key(ScopePeopleRead)
	env.call("GET", "/v1/me", secret, nil).want(t, 200) // the control
	env.call("GET", "/v1/me?access_token="+secret, "", nil).want(t, 401)
	env.call("GET", "/v1/me?key="+secret, "", nil).want(t, 401)
	env.call("GET", "/v1/me", "", nil, "Authorization", "Basic "+secret).want(t, 401)
	env.call("GET", "/v1/me", "", nil, "X-API-Key", secret).want(t, 401)
	env.call("GET", "/v1/me", newKeySecret().text, nil).want(t, 401, "invalid_token")
	env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": secret}).want(t, 401, "invalid_token")
}

func TestKeyNeedsTheScopeOfTheOperation(t *testing.T) {
	env := newTestEnv(t)
	_, reads := env.admin.key(ScopePeopleRead)
	_, all := env.admin.key(append([]Scope{ScopeAdmin}, allScopes...)...)
	for _, op := range []struct {
		method, path string
		body         any
		with         int // the scope
	}{
		{"PATCH", "/v1/me", map[string]any{"name": "Root"}, 200},
		{"GET", "/v1/audit", nil, 200},
		{"PATCH", "/v1/users/" + env.admin.id, map[string]any{"name": "Root"}, 200},
	} {
		env.call(op.method, op.path, reads, op.body).want(t, 403, "forbidden")
		env.call(op.method, op.path, all, op.body).want(t, op.with) // the control
	}
	for range 20 {
		env.call("GET", "/v1/audit", reads, nil).want(t, 403, "forbidden")
	}
	if n := env.count("select count(*) from audit_events where kind = 'access_refused' and after->>'scope' = 'admin'"); n < 8 || n > 10 {
		t.Errorf("%d refusals recorded, want at most 10 a minute", n)
	}
}

func TestKeyCanNeverReachSessionsPasswordsAndKeys(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleAdmin)
	id, secret := c.key(append([]Scope{ScopeAdmin, "notifications:read", "notifications:write", "notifications:manage"}, allScopes...)...)
	other := env.approved(RoleCustomer)
	for _, op := range []string{
		"POST /v1/keys", "GET /v1/keys", "GET /v1/keys/" + id, "DELETE /v1/keys/" + id, "POST /v1/keys/" + id + "/rotate",
		"POST /v1/auth/logout", "POST /v1/me/password", "GET /v1/me/sessions", "DELETE /v1/me/sessions/" + id, "GET /v1/me/export",
		"GET /v1/users/" + other.id + "/sessions", "DELETE /v1/users/" + other.id + "/sessions", "DELETE /v1/users/" + other.id, "DELETE /v1/users/" + c.id,
		"POST /v1/auth/verify/resend",
	} {
		method, path, _ := strings.Cut(op, " ")
		env.call(method, path, secret, nil).want(t, 403, "forbidden")
	}
	other.call("GET", "/v1/me", nil).want(t, 200) // nothing was done
	env.call("GET", "/v1/users", secret, nil).want(t, 200)
	c.call("GET", "/v1/me/sessions", nil).want(t, 200) // the control: a session may
}

func TestKeyFollowsRoleAndStatusOfItsOwner(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleAdmin)
	_, secret := c.key(ScopePeopleRead, ScopeAdmin)
	change := func(field, value string) {
		env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{field: value}).want(t, 200)
	}
	env.call("GET", "/v1/users", secret, nil).want(t, 200)
	change("role", "engineer")
	env.call("GET", "/v1/users", secret, nil).want(t, 403, "forbidden")
	env.call("GET", "/v1/me", secret, nil).want(t, 200)
	change("status", "suspended")
	env.call("GET", "/v1/me", secret, nil).want(t, 401, "invalid_token")
	change("status", "approved")
	env.call("GET", "/v1/me", secret, nil).want(t, 200)
	env.call("GET", "/v1/users", secret, nil).want(t, 403, "forbidden")
}

func TestKeysOutliveAPasswordAndEndWithTheirOwner(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	id, secret := c.key(ScopePeopleRead)
	c.call("POST", "/v1/me/password", map[string]any{"current_password": goodPassword, "new_password": "another hallway lamp"}).want(t, 204)
	env.call("GET", "/v1/me", secret, nil).want(t, 200)
	env.forgot(c.email).want(t, 202)
	env.reset(env.mailedToken(c.id), "a third hallway lamp").want(t, 204)
	env.call("GET", "/v1/me", secret, nil).want(t, 200)
	env.admin.call("DELETE", "/v1/users/"+c.id, nil).want(t, 204)
	env.call("GET", "/v1/me", secret, nil).want(t, 401, "invalid_token")
	if n := env.count("select count(*) from api_keys where id = $1", id) + env.count("select count(*) from api_key_secrets where key_id = $1", id); n != 0 {
		t.Errorf("%d rows of an erased user's key", n)
	}
}

func TestKeyWorksFromItsNetworksAlone(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	a := c.tryKey(map[string]any{"networks": []string{"203.0.113.0/24", "2001:db8::/32"}}).want(t, 201)
	id, secret := a.str("id"), a.str("secret")
	from := func(address string) answer { return env.call("GET", "/v1/me", secret, nil, "X-Forwarded-For", address) }
	for range 15 {
		from("198.51.100.7").want(t, 403, "forbidden")
	}
	from("2001:db9::1").want(t, 403, "forbidden")
	from("203.0.113.9, 198.51.100.7").want(t, 403, "forbidden") // a forged header in front of the proxy's
	if used := c.call("GET", "/v1/keys/"+id, nil).want(t, 200); used.body["last_used_at"] != nil {
		t.Error("a refused use counts as use")
	}
	from("203.0.113.9").want(t, 200) // the controls
	from("::ffff:203.0.113.9").want(t, 200)
	from("2001:db8:1::1").want(t, 200)
	if n := env.count("select count(*) from audit_events where kind = 'key_refused' and object_id = $1 and host(address) = '198.51.100.7'", id); n != 10 {
		t.Errorf("%d refused uses in the audit, want 10 of 17", n)
	}
}

func TestRotatedKeyWorksUntilTheOverlapIsOver(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	id, first := c.key(ScopePeopleRead)
	works := func(secret string) bool { return env.call("GET", "/v1/me", secret, nil).status == 200 }
	second := c.rotate(id, map[string]any{"overlap_seconds": 3600}).want(t, 200).str("secret")
	third := c.rotate(id, nil).want(t, 200).str("secret") // one day, which doesn't prolong the hour
	if !works(first) || !works(second) || !works(third) {
		t.Error("a secret is refused within its overlap")
	}
	env.clock.advance(61 * time.Minute)
	c = env.login(c.email, goodPassword)
	if works(first) || !works(second) || !works(third) {
		t.Error("after the first overlap the first secret alone has ended")
	}
	fourth := c.rotate(id, map[string]any{"overlap_seconds": 0}).want(t, 200).str("secret")
	if works(second) || works(third) || !works(fourth) {
		t.Error("without an overlap the newest secret alone works")
	}
	for range maxKeySecrets - 1 {
		c.rotate(id, nil).want(t, 200)
	}
	c.rotate(id, nil).want(t, 409, "conflict")
	c.rotate(id, map[string]any{"overlap_seconds": 0}).want(t, 200)
	for _, overlap := range []any{-1, 7*24*3600 + 1, "1h"} {
		c.rotate(id, map[string]any{"overlap_seconds": overlap}).want(t, 422)
	}
	if n := env.count("select count(*) from audit_events where kind = 'key_rotated' and object_id = $1", id); n != 8 {
		t.Errorf("%d rotations in the audit", n)
	}
}

func TestExpiredKeyIsRefusedAndDeletedAfterAMonth(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	a := c.tryKey(map[string]any{"expires_at": env.clock.now().Add(time.Hour)}).want(t, 201)
	id, secret := a.str("id"), a.str("secret")
	rotated := c.rotate(id, map[string]any{"expires_at": env.clock.now().Add(2 * time.Hour)}).want(t, 200).str("secret")
	env.clock.advance(90 * time.Minute)
	env.call("GET", "/v1/me", secret, nil).want(t, 200) // the rotation also moved the expiry
	env.clock.advance(31 * time.Minute)
	env.call("GET", "/v1/me", secret, nil).want(t, 401, "invalid_token")
	env.call("GET", "/v1/me", rotated, nil).want(t, 401, "invalid_token")
	c = env.login(c.email, goodPassword)
	c.rotate(id, map[string]any{"expires_at": env.clock.now().Add(time.Hour)}).want(t, 409, "conflict")
	for days, want := range []int{200, 404} {
		env.clock.advance(time.Duration(29+days) * 24 * time.Hour)
		if err := env.service.Purge(context.Background()); err != nil {
			t.Fatal(err)
		}
		c = env.login(c.email, goodPassword)
		c.call("GET", "/v1/keys/"+id, nil).want(t, want)
	}
}

func TestForeignKeysAreMissingAndAdminsOnlySeeAndRevokeThem(t *testing.T) {
	env := newTestEnv(t)
	c, other := env.approved(RoleCustomer), env.approved(RoleEngineer)
	id, secret := c.key(ScopePeopleRead)
	missing := uuid.NewString()
	for _, call := range []func(id string) answer{
		func(id string) answer { return other.call("GET", "/v1/keys/"+id, nil, "X-Request-ID", "same") },
		func(id string) answer { return other.call("DELETE", "/v1/keys/"+id, nil, "X-Request-ID", "same") },
		func(id string) answer {
			return other.call("POST", "/v1/keys/"+id+"/rotate", nil, "X-Request-ID", "same")
		},
	} {
		if a, b := call(id).want(t, 404, "not_found"), call(missing); a.text != b.text {
			t.Errorf("a foreign key differs from a missing one: %s %s", a.text, b.text)
		}
	}
	for _, owner := range []string{"all", c.id, missing} {
		other.call("GET", "/v1/keys?owner="+owner, nil).want(t, 403, "forbidden")
	}
	other.call("GET", "/v1/keys?owner="+other.id, nil).want(t, 200)
	env.admin.call("GET", "/v1/keys?owner=nobody", nil).want(t, 422, "validation_failed")
	for owner, want := range map[string]int{"all": 1, c.id: 1, other.id: 0, missing: 0} {
		if list := env.admin.call("GET", "/v1/keys?owner="+owner, nil).want(t, 200).items(t); len(list) != want {
			t.Errorf("owner=%s: %d keys, want %d", owner, len(list), want)
		}
	}
	env.admin.call("GET", "/v1/keys/"+id, nil).want(t, 200)
	env.admin.rotate(id, nil).want(t, 403, "forbidden") // or an admin could act in the owner's name
	env.call("GET", "/v1/me", secret, nil).want(t, 200)
	env.admin.call("DELETE", "/v1/keys/"+id, nil).want(t, 204)
	env.call("GET", "/v1/me", secret, nil).want(t, 401, "invalid_token")
}

// statements counts what is sent to the database.
type statements struct{ n atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}
func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestUseOfAKeyCostsOneStatementAndIsWrittenOnceAMinute(t *testing.T) {
	env := newTestEnv(t)
	id, secret := env.admin.key(ScopePeopleRead)
	var sent statements
	c := env.pool.Config().Copy()
	c.ConnConfig.Tracer = &sent
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	config := env.service.Config
	config.Pool = pool
	s := New(config)
	use := func() int64 {
		before := sent.n.Load()
		if _, err := s.Authenticate(context.Background(), secret, anyRole, ScopePeopleRead); err != nil {
			t.Fatal(err)
		}
		return sent.n.Load() - before
	}
	use()
	version := func() int { return env.count("select xmin::text::bigint from api_keys where id = $1", id) }
	written := version()
	for range 20 {
		if n := use(); n != 1 {
			t.Errorf("%d statements for one use", n)
		}
	}
	if version() != written {
		t.Error("a use within the minute was written")
	}
	env.clock.advance(61 * time.Second)
	if n := use(); n != 2 || version() == written { // the control
		t.Errorf("%d statements, and the use after a minute was written: %v", n, version() != written)
	}
	env.clock.advance(61 * time.Second)
	tx, err := env.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(context.Background(), "select from api_keys where id = $1 for update", id); err != nil {
		t.Fatal(err)
	}
	use() // does not wait for the row lock
}

func TestRevokedKeyIsRefusedAfterTheAnswerOnEveryReplica(t *testing.T) {
	env := newTestEnv(t)
	_, _, other := env.replica(cheap)
	urls := []string{env.url, other}
	p := env.admin.principal()
	var before, during, after atomic.Int64
	inRaces(func(i int) {
		k, secret, err := env.service.CreateKey(context.Background(), p, NewKey{Name: fmt.Sprintf("race %d", i), Scopes: []Scope{ScopePeopleRead}})
		if err != nil {
			t.Error(err)
			return
		}
		accepted := func(url string) int64 {
			if env.callAt(url, "GET", "/v1/me", secret, nil).status == 200 {
				return 1
			}
			return 0
		}
		before.Add(accepted(urls[i%2]))
		concurrently(3, func(n int) struct{} {
			if n > 0 {
				during.Add(accepted(urls[n-1]))
				return struct{}{}
			}
			env.callAt(urls[(i/2)%2], "DELETE", "/v1/keys/"+k.ID.String(), env.admin.access, nil).want(t, 204)
			after.Add(accepted(urls[0]) + accepted(urls[1]))
			return struct{}{}
		})
	})
	if after.Load() != 0 {
		t.Errorf("%d requests were accepted after the answer to %d revocations", after.Load(), races)
	}
	if before.Load() != int64(races) { // the control: the same requests before
		t.Errorf("%d of %d keys worked before", before.Load(), races)
	}
	t.Logf("%d races: accepted before %d, during %d, after %d", races, before.Load(), during.Load(), after.Load())
}

func TestCheckEndsWithTheKeyAndWithItsSecret(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	principal := func(secret string) Principal {
		ctx, err := env.service.Authenticate(context.Background(), secret, anyRole, ScopePeopleRead)
		if err != nil {
			t.Fatal(err)
		}
		return PrincipalFrom(ctx)
	}
	id, first := c.key(ScopePeopleRead)
	old := principal(first)
	check := func(p Principal) string { return codeOf(env.service.Check(context.Background(), p)) }
	if got := check(old); got != "ok" {
		t.Error(got)
	}
	renewed := principal(c.rotate(id, map[string]any{"overlap_seconds": 0}).want(t, 200).str("secret"))
	if got := check(old) + " " + check(renewed); got != "invalid_token ok" {
		t.Error(got)
	}
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"role": "engineer"}).want(t, 200)
	if got := check(renewed); got != "forbidden" {
		t.Error(got)
	}
	env.admin.call("DELETE", "/v1/keys/"+id, nil).want(t, 204)
	if got := check(renewed); got != "invalid_token" {
		t.Error(got)
	}
}

func TestConcurrentRotationsLeaveOneSecretWithoutEnd(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	id, first := c.key(ScopePeopleRead)
	secrets := concurrently(2, func(int) string { return c.rotate(id, nil).want(t, 200).str("secret") })
	works := func() (n int) {
		for _, s := range append(secrets, first) {
			if env.call("GET", "/v1/me", s, nil).status == 200 {
				n++
			}
		}
		return n
	}
	if n := works(); n != 3 { // nobody is locked out by another's rotation
		t.Errorf("%d of 3 secrets work within the overlap", n)
	}
	env.clock.advance(25 * time.Hour)
	if n := works(); n != 1 {
		t.Errorf("%d secrets work after the overlap", n)
	}
}

func TestConcurrentCreationsStopAtFiftyKeys(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	p := c.principal()
	statuses := concurrently(maxKeys+10, func(int) string {
		_, _, err := env.service.CreateKey(context.Background(), p, NewKey{Name: "many", Scopes: []Scope{ScopeTicketsRead}})
		return codeOf(err)
	})
	made := 0
	for _, s := range statuses {
		switch s {
		case "ok":
			made++
		case "conflict":
		default:
			t.Error(s)
		}
	}
	if made != maxKeys {
		t.Errorf("%d keys made", made)
	}
	c.tryKey(nil).want(t, 409, "conflict")
	env.approved(RoleCustomer).key(ScopeTicketsRead)              // the control: another user's
	env.clock.advance(91 * 24 * time.Hour)                        // expired ones don't count
	if err := env.service.PrepareAudit(t.Context()); err != nil { // at the end of a month, those of the migration end earlier
		t.Fatal(err)
	}
	env.login(c.email, goodPassword).key(ScopeTicketsRead)
}
