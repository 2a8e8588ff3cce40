package identity

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
)

const formType = "application/x-www-form-urlencoded"

// exchange asks for a token; pairs are the names and values of the form.
func (env *testEnv) exchange(pairs ...string) answer { return env.exchangeAs("", pairs...) }

// exchangeAs is exchange with an Authorization header.
func (env *testEnv) exchangeAs(authorization string, pairs ...string) answer {
	env.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	headers := []string{"Content-Type", formType}
	if authorization != "" {
		headers = append(headers, "Authorization", authorization)
	}
	return env.call("POST", "/v1/auth/token", "", form.Encode(), headers...)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// oauthError fails the test unless the answer is an error of RFC 6749.
func (a answer) oauthError(t testing.TB, status int, code, oauth string) {
	t.Helper()
	a.want(t, status, code)
	if a.str("error") != oauth || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("error %q, want %q: %v %s", a.str("error"), oauth, a.header, a.text)
	}
	if challenge := a.header.Get("WWW-Authenticate"); (status == 401) != strings.HasPrefix(challenge, "Basic realm=") {
		t.Errorf("challenge %q with status %d", challenge, status)
	}
}

const grant, clientCredentials = "grant_type", "client_credentials"

func TestKeyIsExchangedForATokenOfTheNotificationService(t *testing.T) {
	env := newTestEnv(t)
	id, secret := env.admin.key(ScopeTicketsRead, notifyapi.ScopeRead, notifyapi.ScopeManage)
	verifier := jwtauth.NewVerifier(env.keys, testIssuer, notifyapi.Audience, env.clock.now)
	for name, a := range map[string]answer{
		"form":           env.exchange(grant, clientCredentials, "client_id", id, "client_secret", secret),
		"form, no id":    env.exchange(grant, clientCredentials, "client_secret", secret),
		"basic":          env.exchangeAs(basic(id, secret), grant, clientCredentials),
		"unknown":        env.exchangeAs(basic(id, secret), grant, clientCredentials, "audience", "x", "scope", ""),
		"basic and id":   env.exchangeAs(basic(id, secret), grant, clientCredentials, "client_id", id),
		"scheme in caps": env.exchangeAs(strings.Replace(basic(id, secret), "Basic", "BASIC", 1), grant, clientCredentials),
	} {
		a.want(t, 200)
		claims, err := verifier.Verify(a.str("access_token"))
		if err != nil {
			t.Fatal(name, err)
		}
		if claims.Subject != id || claims.ExpiresAt.Sub(claims.IssuedAt) != 10*time.Minute || claims.SessionID != "" ||
			strings.Join(claims.Scope, " ") != "notifications:read notifications:manage" {
			t.Errorf("%s: %+v", name, claims)
		}
		if a.str("token_type") != "Bearer" || a.body["expires_in"] != 600.0 || a.str("scope") != "notifications:read notifications:manage" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s", name, a.header)
		}
	}
	narrow := env.exchange(grant, clientCredentials, "client_secret", secret, "scope", "notifications:manage").want(t, 200)
	if narrow.str("scope") != "notifications:manage" {
		t.Error(narrow.str("scope"))
	}
	env.call("GET", "/v1/me", narrow.str("access_token"), nil).want(t, 401, "invalid_token") // another audience
	if used := env.admin.call("GET", "/v1/keys/"+id, nil).want(t, 200); used.body["last_used_at"] == nil {
		t.Error("the exchange is no use of the key")
	}
}

func TestExchangeRefusesInTheWordsOfOAuth(t *testing.T) {
	env := newTestEnv(t)
	id, secret := env.admin.key(notifyapi.ScopeRead)
	_, none := env.admin.key(ScopePeopleRead, ScopeAdmin)
	typo := secret[:len(secret)-1] + "!"
	env.exchange(grant, clientCredentials, "client_secret", secret).want(t, 200) // the control
	env.exchange("client_secret", secret).oauthError(t, 400, "malformed_request", "invalid_request")
	env.exchange(grant, "", "client_secret", secret).oauthError(t, 400, "malformed_request", "invalid_request")
	env.exchange(grant, clientCredentials, grant, clientCredentials, "client_secret", secret).oauthError(t, 400, "malformed_request", "invalid_request")
	env.exchange(grant, clientCredentials, "client_secret", secret, "scope", "a\x00b").oauthError(t, 400, "malformed_request", "invalid_request")
	env.exchangeAs(basic(id, secret), grant, clientCredentials, "client_secret", secret).oauthError(t, 400, "malformed_request", "invalid_request")
	env.exchange(grant, "password", "client_secret", secret).oauthError(t, 400, "unsupported_grant_type", "unsupported_grant_type")
	for _, scope := range []string{"notifications:write", "notifications:read notifications:write", "people:read", "root"} {
		env.exchange(grant, clientCredentials, "client_secret", secret, "scope", scope).oauthError(t, 400, "invalid_scope", "invalid_scope")
	}
	env.exchange(grant, clientCredentials, "client_secret", none).oauthError(t, 400, "invalid_scope", "invalid_scope")
	for _, a := range []answer{
		env.exchange(grant, clientCredentials), env.exchange(grant, clientCredentials, "client_id", id),
		env.exchange(grant, clientCredentials, "client_secret", typo), env.exchange(grant, clientCredentials, "client_secret", newKeySecret().text),
		env.exchange(grant, clientCredentials, "client_secret", secret, "client_id", uuid.NewString()),
		env.exchangeAs(basic(uuid.NewString(), secret), grant, clientCredentials), env.exchangeAs(basic(id, secret)+"x", grant, clientCredentials),
		env.exchangeAs("Bearer "+secret, grant, clientCredentials), env.exchangeAs("Basic !", grant, clientCredentials),
		env.exchangeAs(basic(id, secret), grant, clientCredentials, "client_id", uuid.NewString()),
	} {
		a.oauthError(t, 401, "invalid_credentials", "invalid_client")
	}
	env.call("POST", "/v1/auth/token", "", map[string]any{grant: clientCredentials, "client_secret": secret}).oauthError(t, 415, "unsupported_media_type", "invalid_request")
	env.call("POST", "/v1/auth/token?client_secret="+secret, "", "grant_type=client_credentials", "Content-Type", formType).oauthError(t, 422, "validation_failed", "invalid_request")
	env.call("POST", "/v1/auth/token", "", "grant_type=%zz", "Content-Type", formType).oauthError(t, 400, "malformed_request", "invalid_request")
	env.call("POST", "/v1/auth/token", "", strings.Repeat("x", 1<<20+1), "Content-Type", formType).oauthError(t, 413, "body_too_large", "invalid_request")
	env.call("POST", "/v1/auth/token", "", nil).oauthError(t, 400, "malformed_request", "invalid_request")
}

func TestExchangeFollowsTheKeyAndItsOwner(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleAdmin)
	a := c.tryKey(map[string]any{"scopes": []string{notifyapi.ScopeRead}, "networks": []string{"203.0.113.0/24"}}).want(t, 201)
	id, secret := a.str("id"), a.str("secret")
	from := func(address string) answer {
		form := url.Values{grant: {clientCredentials}, "client_secret": {secret}}
		return env.call("POST", "/v1/auth/token", "", form.Encode(), "Content-Type", formType, "X-Forwarded-For", address)
	}
	const inside, outside = "203.0.113.5", "198.51.100.5"
	from(inside).want(t, 200)
	from(outside).oauthError(t, 403, "forbidden", "unauthorized_client")
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"role": "engineer"}).want(t, 200)
	from(inside).oauthError(t, 403, "forbidden", "unauthorized_client")
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"status": "suspended"}).want(t, 200)
	from(inside).oauthError(t, 401, "invalid_credentials", "invalid_client")
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"status": "approved", "role": "admin"}).want(t, 200)
	from(inside).want(t, 200)
	env.admin.call("DELETE", "/v1/keys/"+id, nil).want(t, 204)
	from(inside).oauthError(t, 401, "invalid_credentials", "invalid_client")
}
