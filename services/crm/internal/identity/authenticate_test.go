package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/jwtauth"
)

var b64 = base64.RawURLEncoding

// forge encodes a token with any header and claims; sign may be nil.
func forge(t testing.TB, header, claims map[string]any, sign func(input []byte) []byte) string {
	t.Helper()
	h, err1 := json.Marshal(header)
	c, err2 := json.Marshal(claims)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	input := b64.EncodeToString(h) + "." + b64.EncodeToString(c)
	if sign == nil {
		return input + "."
	}
	return input + "." + b64.EncodeToString(sign([]byte(input)))
}

// signer signs with the service's own key, so that a forgery differs from a valid
// token only in the attack.
func (env *testEnv) signer() (kid string, public ed25519.PublicKey, sign func([]byte) []byte) {
	env.t.Helper()
	path := env.t.TempDir() + "/keys"
	if err := env.keys.Save(path); err != nil {
		env.t.Fatal(err)
	}
	var file struct {
		Current struct{ Kid, X, D string }
	}
	data, err := os.ReadFile(path)
	if err != nil {
		env.t.Fatal(err)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		env.t.Fatal(err)
	}
	seed, err := b64.DecodeString(file.Current.D)
	if err != nil {
		env.t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	return file.Current.Kid, key.Public().(ed25519.PublicKey), func(in []byte) []byte { return ed25519.Sign(key, in) }
}

func with(base map[string]any, changes map[string]any) map[string]any {
	out := maps.Clone(base)
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

func TestForgedTokensAreRefused(t *testing.T) {
	env := newTestEnv(t)
	kid, public, sign := env.signer()
	p := env.admin.principal()
	now := time.Now().Unix()
	header := map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid}
	claims := map[string]any{
		"iss": testIssuer, "sub": p.UserID, "aud": []string{Audience}, "sid": p.SessionID,
		"jti": uuid.NewString(), "iat": now, "exp": now + 600,
	}
	mac := func(in []byte) []byte {
		m := hmac.New(sha256.New, public)
		m.Write(in)
		return m.Sum(nil)
	}
	_, otherKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherSigner := func(in []byte) []byte { return ed25519.Sign(otherKey, in) }
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(otherKey.Public().(ed25519.PublicKey))}
	good := forge(t, header, claims, sign)
	env.call("GET", "/v1/me", good, nil).want(t, 200) // the control: forge also makes valid tokens

	type m = map[string]any
	attacks := map[string]string{
		"alg none":              forge(t, with(header, m{"alg": "none"}), claims, nil),
		"alg None":              forge(t, with(header, m{"alg": "None"}), claims, nil),
		"alg none, signed":      forge(t, with(header, m{"alg": "none"}), claims, sign),
		"no alg":                forge(t, with(header, m{"alg": nil}), claims, sign),
		"HS256 by public key":   forge(t, with(header, m{"alg": "HS256"}), claims, mac),
		"EdDSA by HMAC":         forge(t, header, claims, mac),
		"no signature":          forge(t, header, claims, nil),
		"key of another issuer": forge(t, header, claims, otherSigner),
		"expired":               forge(t, header, with(claims, m{"iat": now - 700, "exp": now - 1}), sign),
		"no exp":                forge(t, header, with(claims, m{"exp": nil}), sign),
		"exp as text":           forge(t, header, with(claims, m{"exp": "9999999999"}), sign),
		"exp enormous":          forge(t, header, with(claims, m{"exp": 1e300}), sign),
		"audience notification": forge(t, header, with(claims, m{"aud": []string{"notification"}}), sign),
		"two audiences":         forge(t, header, with(claims, m{"aud": []string{Audience, "notification"}}), sign),
		"no audience":           forge(t, header, with(claims, m{"aud": nil}), sign),
		"other issuer":          forge(t, header, with(claims, m{"iss": "elsewhere"}), sign),
		"no issuer":             forge(t, header, with(claims, m{"iss": nil}), sign),
		"future iat":            forge(t, header, with(claims, m{"iat": now + 300, "exp": now + 900}), sign),
		"future nbf":            forge(t, header, with(claims, m{"nbf": now + 300}), sign),
		"no iat":                forge(t, header, with(claims, m{"iat": nil}), sign),
		"no jti":                forge(t, header, with(claims, m{"jti": nil}), sign),
		"no sub":                forge(t, header, with(claims, m{"sub": nil}), sign),
		"sub is no id":          forge(t, header, with(claims, m{"sub": "admin"}), sign),
		"sub of nobody":         forge(t, header, with(claims, m{"sub": uuid.NewString()}), sign),
		"no sid":                forge(t, header, with(claims, m{"sid": nil}), sign),
		"sid of nobody":         forge(t, header, with(claims, m{"sid": uuid.NewString()}), sign),
		"crit":                  forge(t, with(header, m{"crit": []string{"exp"}}), claims, sign),
		"crit b64":              forge(t, with(header, m{"crit": []string{"b64"}, "b64": false}), claims, sign),
		"b64 false":             forge(t, with(header, m{"b64": false}), claims, sign),
		"typ JWT":               forge(t, with(header, m{"typ": "JWT"}), claims, sign),
		"no typ":                forge(t, with(header, m{"typ": nil}), claims, sign),
		"no kid":                forge(t, with(header, m{"kid": nil}), claims, sign),
		"unknown kid":           forge(t, with(header, m{"kid": b64.EncodeToString(make([]byte, 32))}), claims, sign),
		"kid is a path":         forge(t, with(header, m{"kid": "../../../../dev/null"}), claims, sign),
		"kid is SQL":            forge(t, with(header, m{"kid": "' or '1'='1"}), claims, sign),
		"embedded jwk":          forge(t, with(header, m{"jwk": jwk}), claims, otherSigner),
		"jku":                   forge(t, with(header, m{"jku": "http://127.0.0.1:1/jwks.json"}), claims, otherSigner),
		"x5u":                   forge(t, with(header, m{"x5u": "http://127.0.0.1:1/cert"}), claims, otherSigner),
		"zip":                   forge(t, with(header, m{"zip": "DEF"}), claims, sign),
		"re-spelt signature":    respell(good),
		"padded":                good + "=",
		"fourth part":           good + ".x",
		"two parts":             good[:strings.LastIndex(good, ".")],
		"empty parts":           "..",
		"too long":              good + strings.Repeat("A", 8000),
	}
	for name, token := range attacks {
		a := env.call("GET", "/v1/me", token, nil)
		if a.status != 401 || a.str("code") != "invalid_token" || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	env.call("GET", "/v1/me", good, nil).want(t, 200)
}

// respell changes bits of the last character that a lenient decoder ignores.
func respell(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

// What is read ahead for a request costs a statement, which a token that anybody can
// write must not.
func TestVerifiedIsCalledForGenuineTokensAlone(t *testing.T) {
	env := newTestEnv(t)
	calls := 0
	env.service.Verified = func(context.Context) { calls++ }
	authenticate := func(token string) error {
		_, err := env.service.Authenticate(t.Context(), token, anyRole, "")
		return err
	}
	genuine := env.admin.access
	if err := authenticate(genuine); err != nil || calls != 1 {
		t.Errorf("a genuine token: %v, %d calls", err, calls)
	}
	if err := authenticate(genuine[:len(genuine)-4] + "AAAA"); err == nil || calls != 1 {
		t.Errorf("a forged token: %v, %d calls", err, calls)
	}
}

func TestAuthorizationHeaderIsParsedStrictly(t *testing.T) {
	env := newTestEnv(t)
	token := env.admin.access
	for name, values := range map[string][]string{
		"none": nil, "empty": {""}, "no scheme": {token}, "basic": {"Basic cm9vdDpyb290"}, "two headers": {"Bearer " + token, "Bearer " + token},
		"two tokens": {"Bearer " + token + ", Bearer " + token}, "space inside": {"Bearer  " + token}, "refresh token": {"Bearer " + env.admin.refreshWith},
	} {
		req, err := http.NewRequest("GET", env.url+"/v1/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Authorization"] = values
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	env.call("GET", "/v1/me?access_token="+token, "", nil).want(t, 401, "invalid_token")
	env.call("GET", "/v1/me", "", nil, "Cookie", "access_token="+token).want(t, 401, "invalid_token")
	env.call("GET", "/v1/me", "", nil, "Authorization", "bearer "+token).want(t, 200)
}

func TestSigningKeysRotateWithoutEndingSessions(t *testing.T) {
	env := newTestEnv(t)
	before := env.admin.access
	keys := func() *jwtauth.KeySet { return env.keys }
	env.service.Verifier = jwtauth.NewVerifier(source{keys}, testIssuer, Audience, env.clock.now)
	rotate := func() {
		t.Helper()
		next, err := env.keys.Rotate()
		if err != nil {
			t.Fatal(err)
		}
		env.keys = next
	}
	rotate()
	env.call("GET", "/v1/me", before, nil).want(t, 200)
	after := env.refresh(env.admin.refreshWith).want(t, 200).str("access_token")
	env.call("GET", "/v1/me", after, nil).want(t, 200)
	if n := len(env.call("GET", "/.well-known/jwks.json", "", nil).want(t, 200).body["keys"].([]any)); n != 3 {
		t.Errorf("%d keys are published", n)
	}
	rotate()
	env.call("GET", "/v1/me", after, nil).want(t, 200)
	env.call("GET", "/v1/me", before, nil).want(t, 401, "invalid_token") // the control: its key is gone
}

// source returns the present key set, as a key file does.
type source struct{ keys func() *jwtauth.KeySet }

func (s source) PublicKey(kid string) (ed25519.PublicKey, error) { return s.keys().PublicKey(kid) }

func FuzzBearersAreRefused(f *testing.F) {
	env := newTestEnv(f)
	f.Add(env.admin.access + "x")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0..")
	f.Fuzz(func(t *testing.T, bearer string) {
		if bearer == env.admin.access {
			return
		}
		_, err := env.service.Authenticate(t.Context(), bearer, anyRole, "")
		if codeOf(err) != "invalid_token" {
			t.Errorf("%q: %v", bearer, err)
		}
	})
}
