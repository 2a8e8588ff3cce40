package identity

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"
)

const signedPath = "/v1/attachments/1/content"

// opens reports whether the signature opens the path, for a client at an address.
func (env *testEnv) opens(path, signature, from string) bool {
	env.t.Helper()
	ctx := obs.WithRequest(context.Background(), "", netip.MustParseAddr(from))
	_, err := env.service.AuthenticateURL(ctx, path, signature, anyRole, string(ScopeTicketsRead))
	if err != nil && errs.As(err) == nil {
		env.t.Fatal(err)
	}
	return err == nil
}

func (env *testEnv) sign(p Principal) string {
	env.t.Helper()
	signature, err := env.service.SignURL(p, signedPath, 5*time.Minute)
	if err != nil {
		env.t.Fatal(err)
	}
	return signature
}

func TestSignedURLEndsWithTheSessionTheTimeAndTheAccount(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	signature := env.sign(c.principal())
	if !env.opens(signedPath, signature, "10.0.0.1") {
		t.Fatal("the control: it opens its path")
	}
	p, err := env.service.AuthenticateURL(context.Background(), signedPath, signature, anyRole, "")
	if err != nil || PrincipalFrom(p).UserID.String() != c.id {
		t.Errorf("it acts for %v, %v", p, err)
	}
	for name, bad := range map[string]struct{ path, signature string }{
		"another path":    {"/v1/attachments/2/content", signature},
		"an access token": {signedPath, c.access},
		"a changed one":   {signedPath, signature[:len(signature)-10] + "AAAAAAAAAA"},
		"none":            {signedPath, ""},
	} {
		if env.opens(bad.path, bad.signature, "10.0.0.1") {
			t.Errorf("%s is accepted", name)
		}
	}
	stranger, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	forged, err := jwtauth.NewSigner(func() *jwtauth.KeySet { return stranger }).Sign(jwtauth.Claims{
		Issuer: testIssuer, Subject: c.id, Audience: URLAudience, SessionID: c.principal().SessionID.String(), ID: signedPath,
		IssuedAt: env.clock.now(), ExpiresAt: env.clock.now().Add(time.Minute),
	})
	if err != nil || env.opens(signedPath, forged, "10.0.0.1") {
		t.Errorf("a forged signature is accepted, %v", err)
	}
	if env.call("GET", "/v1/me", signature, nil).status != 401 {
		t.Error("the signature is accepted as an access token")
	}
	path := "/v1/users/" + c.id
	env.admin.call("PATCH", path, map[string]any{"status": "suspended"}).want(t, 200)
	if env.opens(signedPath, signature, "10.0.0.1") {
		t.Error("it opens for a suspended account")
	}
	env.admin.call("PATCH", path, map[string]any{"status": "approved"}).want(t, 200)
	c = env.login(c.email, goodPassword)
	signature = env.sign(c.principal())
	c.call("POST", "/v1/auth/logout", nil).want(t, 204)
	if env.opens(signedPath, signature, "10.0.0.1") {
		t.Error("it opens after signing out")
	}
	c = env.login(c.email, goodPassword)
	signature = env.sign(c.principal())
	env.clock.advance(5*time.Minute - 2*time.Second)
	if !env.opens(signedPath, signature, "10.0.0.1") {
		t.Error("it ends too early")
	}
	env.clock.advance(3 * time.Second)
	if env.opens(signedPath, signature, "10.0.0.1") {
		t.Error("it opens after five minutes")
	}
}

func TestURLSignedForAKeyNeedsTheKeyItsScopeAndItsNetwork(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	principal := func(fields map[string]any) (Principal, string) {
		t.Helper()
		a := c.tryKey(fields).want(t, 201)
		ctx := obs.WithRequest(context.Background(), "", netip.MustParseAddr("10.0.0.1"))
		ctx, err := env.service.Authenticate(ctx, a.str("secret"), anyRole, fields["scopes"].([]string)[0])
		if err != nil {
			t.Fatal(err)
		}
		return PrincipalFrom(ctx), a.str("id")
	}
	reader, id := principal(map[string]any{"name": "Reader", "scopes": []string{"tickets:read"}, "networks": []string{"10.0.0.0/8"}})
	signature := env.sign(reader)
	if !env.opens(signedPath, signature, "10.0.0.1") {
		t.Error("the control: it opens its path")
	}
	if env.opens(signedPath, signature, "192.0.2.1") {
		t.Error("it opens outside of the key's networks")
	}
	other, _ := principal(map[string]any{"name": "Other", "scopes": []string{"people:read"}})
	if env.opens(signedPath, env.sign(other), "10.0.0.1") {
		t.Error("it opens without the scope")
	}
	c.call("DELETE", "/v1/keys/"+id, nil).want(t, 204)
	if env.opens(signedPath, signature, "10.0.0.1") {
		t.Error("it opens after the key was revoked")
	}
}
