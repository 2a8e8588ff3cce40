package jwtauth_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/jwtauth"

	"github.com/golang-jwt/jwt/v5"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func clock() time.Time { return start }

func newKeys(t testing.TB) *jwtauth.KeySet {
	t.Helper()
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func rotate(t testing.TB, keys *jwtauth.KeySet) *jwtauth.KeySet {
	t.Helper()
	next, err := keys.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func userClaims() jwtauth.Claims {
	return jwtauth.Claims{
		Issuer: "crm", Subject: "user-1", Audience: "crm", SessionID: "session-1", ID: "token-1",
		Scope: []string{"a:read", "a:write"}, IssuedAt: start, ExpiresAt: start.Add(10 * time.Minute),
	}
}

func sign(t testing.TB, keys *jwtauth.KeySet, c jwtauth.Claims) string {
	t.Helper()
	token, err := jwtauth.NewSigner(func() *jwtauth.KeySet { return keys }).Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVerifiedTokenHasTheSignedClaims(t *testing.T) {
	keys := newKeys(t)
	v := jwtauth.NewVerifier(keys, "crm", "crm", clock)
	for _, want := range []jwtauth.Claims{userClaims(), {
		Issuer: "crm", Subject: "ops", Audience: "crm", ID: "token-2", IssuedAt: start, ExpiresAt: start.Add(720 * time.Hour),
	}} {
		token := sign(t, keys, want)
		for range 2 { // the second time from the cache
			got, err := v.Verify(token)
			got.IssuedAt, got.ExpiresAt = got.IssuedAt.UTC(), got.ExpiresAt.UTC()
			if len(got.Scope) == 0 {
				got.Scope = nil
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		}
	}
	c := userClaims()
	if !c.HasScope("a:read") || c.HasScope("a") {
		t.Error("HasScope is wrong")
	}
}

func TestSignerRefusesIncompleteClaims(t *testing.T) {
	keys := newKeys(t)
	for name, change := range map[string]func(*jwtauth.Claims){
		"issuer": func(c *jwtauth.Claims) { c.Issuer = "" }, "subject": func(c *jwtauth.Claims) { c.Subject = "" },
		"audience": func(c *jwtauth.Claims) { c.Audience = "" }, "id": func(c *jwtauth.Claims) { c.ID = "" },
		"expiry": func(c *jwtauth.Claims) { c.ExpiresAt = time.Time{} },
	} {
		c := userClaims()
		change(&c)
		if _, err := jwtauth.NewSigner(func() *jwtauth.KeySet { return keys }).Sign(c); err == nil {
			t.Errorf("signed without %s", name)
		}
	}
}

// forger makes invalid tokens, with the signer's key or another.
type forger struct {
	header, claims map[string]any
	private        ed25519.PrivateKey
	public         ed25519.PublicKey
	kid            string
}

// newForger reads the current private key from the saved file.
func newForger(t testing.TB, keys *jwtauth.KeySet) *forger {
	t.Helper()
	f := &forger{}
	f.kid, f.private = currentKey(t, keys)
	f.public = f.private.Public().(ed25519.PublicKey)
	f.header = map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": f.kid}
	f.claims = map[string]any{
		"iss": "crm", "sub": "user-1", "aud": "crm", "jti": "token-1",
		"iat": start.Unix(), "exp": start.Add(time.Minute).Unix(),
	}
	return f
}

func b64(v any) string {
	data, ok := v.([]byte)
	if !ok {
		data, _ = json.Marshal(v)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// token signs header and claims, which are marshalled unless they are bytes.
func (f *forger) token(header, claims any) string {
	text := b64(header) + "." + b64(claims)
	return text + "." + b64([]byte(ed25519.Sign(f.private, []byte(text))))
}

// with returns a copy of m with one member changed; nil removes it.
func with(m map[string]any, name string, value any) map[string]any {
	m = maps.Clone(m)
	if m[name] = value; value == nil {
		delete(m, name)
	}
	return m
}

func (f *forger) withHeader(name string, value any) string {
	return f.token(with(f.header, name, value), f.claims)
}
func (f *forger) withClaim(name string, value any) string {
	return f.token(f.header, with(f.claims, name, value))
}

func (f *forger) unsigned(alg string) string {
	return b64(with(f.header, "alg", alg)) + "." + b64(f.claims) + "."
}

// hs256 uses the public key as the secret of an HMAC.
func (f *forger) hs256(secret []byte) string {
	text := b64(with(f.header, "alg", "HS256")) + "." + b64(f.claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

// respelt changes the unused low bits of a segment's last character.
func respelt(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func (f *forger) attacks(t testing.TB) map[string]string {
	other := newForger(t, newKeys(t))
	good := f.token(f.header, f.claims)
	parts := strings.Split(good, ".")
	swapped := other.token(f.header, f.claims)
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64([]byte(other.public)), "kid": f.kid}
	return map[string]string{
		"alg none": f.unsigned("none"), "alg None": f.unsigned("None"), "alg empty": f.unsigned(""),
		"alg missing": f.withHeader("alg", nil), "alg eddsa": f.withHeader("alg", "eddsa"), "alg Ed25519": f.withHeader("alg", "Ed25519"),
		"hs256 with raw public key": f.hs256(f.public), "hs256 with base64 public key": f.hs256([]byte(b64([]byte(f.public)))),
		"expired": f.withClaim("exp", start.Unix()), "expired long ago": f.withClaim("exp", 1), "no exp": f.withClaim("exp", nil),
		"exp is text": f.withClaim("exp", "9999999999"), "exp null": f.token(f.header, with(f.claims, "exp", json.RawMessage("null"))),
		"exp huge": f.token(f.header, with(f.claims, "exp", json.RawMessage("1e400"))), "exp negative": f.withClaim("exp", -1),
		"exp before iat": f.token(f.header, with(with(f.claims, "iat", start.Unix()+4), "exp", start.Unix()+3)),
		"wrong aud":      f.withClaim("aud", "notification"), "no aud": f.withClaim("aud", nil), "aud empty list": f.withClaim("aud", []string{}),
		"two auds": f.withClaim("aud", []string{"crm", "notification"}), "aud by prefix": f.withClaim("aud", "crm2"),
		"wrong iss": f.withClaim("iss", "crm2"), "no iss": f.withClaim("iss", nil),
		"future iat": f.withClaim("iat", start.Add(time.Minute).Unix()), "no iat": f.withClaim("iat", nil),
		"future nbf": f.withClaim("nbf", start.Add(time.Minute).Unix()),
		"no sub":     f.withClaim("sub", nil), "no jti": f.withClaim("jti", nil),
		"crit": f.withHeader("crit", []string{"exp"}), "crit empty": f.withHeader("crit", []string{}), "crit text": f.withHeader("crit", "exp"),
		"b64 false": f.withHeader("b64", false),
		"typ JWT":   f.withHeader("typ", "JWT"), "typ missing": f.withHeader("typ", nil), "typ list": f.withHeader("typ", []string{"at+jwt"}),
		"kid missing": f.withHeader("kid", nil), "kid unknown": f.withHeader("kid", other.kid), "kid number": f.withHeader("kid", 1),
		"kid path": f.withHeader("kid", "../../../../etc/passwd"), "kid path of the right length": f.withHeader("kid", "../"+strings.Repeat("a", 40)),
		"kid NUL": f.withHeader("kid", f.kid+"\x00"), "kid overlong": f.withHeader("kid", strings.Repeat("a", 1<<20)), "kid sql": f.withHeader("kid", "' OR 1=1 --"),
		"embedded jwk": other.token(with(f.header, "jwk", jwk), f.claims), "embedded jwk, right key": f.withHeader("jwk", jwk),
		"jku": other.token(with(f.header, "jku", "http://127.0.0.1/jwks.json"), f.claims), "x5u": f.withHeader("x5u", "http://127.0.0.1/"), "x5c": f.withHeader("x5c", []string{"x"}),
		"zip": f.withHeader("zip", "DEF"), "cty": f.withHeader("cty", "JWT"),
		"other's key": swapped, "other's key and kid": other.token(other.header, f.claims),
		"repeated alg":       f.token([]byte(`{"alg":"EdDSA","alg":"EdDSA","kid":"`+f.kid+`","typ":"at+jwt"}`), f.claims),
		"escaped repeat":     f.token([]byte(`{"alg":"EdDSA","kid":"`+f.kid+`","typ":"JWT","t\u0079p":"at+jwt"}`), f.claims),
		"wrong case":         f.token([]byte(`{"ALG":"EdDSA","kid":"`+f.kid+`","typ":"at+jwt"}`), f.claims),
		"header with a tail": f.token([]byte(`{"alg":"EdDSA","kid":"`+f.kid+`","typ":"at+jwt"}{}`), f.claims),
		"header no object":   f.token([]byte(`["EdDSA"]`), f.claims), "header null": f.token([]byte(`null`), f.claims),
		"claims no object": f.token(f.header, []byte(`[]`)), "claims null": f.token(f.header, []byte(`null`)), "claims no JSON": f.token(f.header, []byte(`{`)),
		"respelt signature": respelt(good), "padded signature": good + "==", "standard alphabet": parts[0] + "." + parts[1] + ".++//" + parts[2][4:],
		"line feed in the signature": parts[0] + "." + parts[1] + "." + parts[2][:8] + "\n" + parts[2][8:],
		"changed claims":             parts[0] + "." + b64(with(f.claims, "sub", "admin")) + "." + parts[2], "no signature": parts[0] + "." + parts[1] + ".",
		"two parts": parts[0] + "." + parts[1], "four parts": good + "." + parts[2], "five parts": good + ".a.b", "empty": "", "dots": "..", "dot": ".",
		"space before": " " + good, "space after": good + " ", "JSON serialization": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"too long": good + strings.Repeat("a", 1<<16),
	}
}

func TestVerifierRefusesEveryAttack(t *testing.T) {
	keys := newKeys(t)
	f := newForger(t, keys)
	v := jwtauth.NewVerifier(keys, "crm", "crm", clock)
	if _, err := v.Verify(f.token(f.header, f.claims)); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	for name, token := range f.attacks(t) {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				c, err := v.Verify(token)
				if !errors.Is(err, jwtauth.ErrInvalid) || !reflect.DeepEqual(c, jwtauth.Claims{}) {
					t.Fatalf("Verify = %+v, %v", c, err)
				}
				if e := errs.As(err); e == nil || e.Kind != errs.Unauthenticated || e.Code != errs.CodeInvalidToken {
					t.Errorf("not answered as invalid_token: %v", err)
				}
			}
		})
	}
}

// With every option of the library and without the verifier's own checks, these
// tokens are accepted.
func TestControlLibraryAloneAcceptsTokensThatTheVerifierRefuses(t *testing.T) {
	keys := newKeys(t)
	f := newForger(t, keys)
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithExpirationRequired(), jwt.WithAudience("crm"),
		jwt.WithIssuer("crm"), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(clock))
	attacks := f.attacks(t)
	for _, name := range []string{
		"crit", "typ JWT", "typ missing", "b64 false", "kid missing", "embedded jwk, right key",
		"repeated alg", "escaped repeat", "two auds", "no sub", "no jti", "no iat", "line feed in the signature",
	} {
		token, err := parser.Parse(attacks[name], func(*jwt.Token) (any, error) { return f.public, nil })
		if err != nil || !token.Valid {
			t.Errorf("%s: the library refuses it now (%v): this control shows nothing", name, err)
		}
	}
}

func TestTokenEndsOnTheSecondItExpiresAlsoFromTheCache(t *testing.T) {
	keys := newKeys(t)
	now := start
	v := jwtauth.NewVerifier(keys, "crm", "crm", func() time.Time { return now })
	token := sign(t, keys, userClaims())
	for _, step := range []struct {
		after time.Duration
		valid bool
	}{{0, true}, {10*time.Minute - time.Nanosecond, true}, {10 * time.Minute, false}, {time.Hour, false}} {
		now = start.Add(step.after)
		if _, err := v.Verify(token); (err == nil) != step.valid {
			t.Errorf("after %s: %v", step.after, err)
		}
	}
}

func TestClockOfTheIssuerMayBeSlightlyAhead(t *testing.T) {
	keys := newKeys(t)
	v := jwtauth.NewVerifier(keys, "crm", "crm", func() time.Time { return start.Add(-4 * time.Second) })
	if _, err := v.Verify(sign(t, keys, userClaims())); err != nil {
		t.Error(err)
	}
}

func TestRotationKeepsTokensValidUntilTheirKeyIsGone(t *testing.T) {
	source := &swapSource{keys: newKeys(t)}
	v := jwtauth.NewVerifier(source, "crm", "crm", clock)
	token := sign(t, source.keys, userClaims())
	for i, valid := range []bool{true, true, false} {
		if _, err := v.Verify(token); (err == nil) != valid {
			t.Errorf("after %d rotations: %v", i, err)
		}
		source.keys = rotate(t, source.keys)
		if _, err := v.Verify(sign(t, source.keys, userClaims())); err != nil {
			t.Errorf("the new key is refused after %d rotations: %v", i+1, err)
		}
	}
}

type swapSource struct{ keys *jwtauth.KeySet }

func (s *swapSource) PublicKey(kid string) (ed25519.PublicKey, error) { return s.keys.PublicKey(kid) }

func TestCacheIsBoundedAndNeverAnswersForAnotherToken(t *testing.T) {
	keys := newKeys(t)
	v := jwtauth.NewVerifier(keys, "crm", "crm", clock)
	v.LimitCache(100)
	for i := range 250 {
		c := userClaims()
		c.Subject = fmt.Sprint("user-", i)
		if got, err := v.Verify(sign(t, keys, c)); err != nil || got.Subject != c.Subject {
			t.Fatalf("token %d: %+v, %v", i, got, err)
		}
	}
	if n := v.Cached(); n < 100 || n > 200 {
		t.Errorf("%d tokens are kept", n)
	}
}

func TestCallersDoNotShareTheirClaims(t *testing.T) {
	keys := newKeys(t)
	v := jwtauth.NewVerifier(keys, "crm", "crm", clock)
	token := sign(t, keys, userClaims())
	for range 3 {
		c, err := v.Verify(token)
		if err != nil || c.Scope[0] != "a:read" {
			t.Fatalf("%+v, %v", c, err)
		}
		c.Scope[0] = "everything"
	}
}

func FuzzVerify(f *testing.F) {
	keys := newKeys(f)
	forge := newForger(f, keys)
	good := forge.token(forge.header, forge.claims)
	f.Add(good)
	for _, token := range forge.attacks(f) {
		if len(token) < 2000 {
			f.Add(token)
		}
	}
	v := jwtauth.NewVerifier(keys, "crm", "crm", clock)
	f.Fuzz(func(t *testing.T, token string) {
		c, err := v.Verify(token)
		if token == good {
			return
		}
		if err == nil || !errors.Is(err, jwtauth.ErrInvalid) || c.Subject != "" {
			t.Errorf("Verify(%q) = %+v, %v", token, c, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	keys := newKeys(b)
	v := jwtauth.NewVerifier(keys, "crm", "crm", clock)
	token := sign(b, keys, userClaims())
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.VerifyUncached(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
