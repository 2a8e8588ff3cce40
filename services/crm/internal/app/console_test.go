package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// visit sends a request as a browser does, and returns the answer with its body.
func (w *testEnv) visit(method, path, body string, headers map[string]string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(text)
}

const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func TestPagesAreServedToBrowsersAlone(t *testing.T) {
	w := newTestEnv(t)
	html := map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
	for _, path := range []string{
		"/", "/register", "/verify", "/reset", "/me", "/tickets", "/tickets/42", "/new", "/queue", "/admin/registrations", "/admin/users",
		"/admin/reports", "/admin/audit", "/ops/notifications", "/ops/notifications/01a1f000-0000-7000-8000-000000000000", "/ops/outbox", "/ops/health",
	} {
		res, text := w.visit("GET", path, "", html)
		if res.StatusCode != 200 || !strings.Contains(text, `<div id="app">`) || res.Header.Get("Content-Security-Policy") != consolePolicy {
			t.Errorf("%s: %d, %v", path, res.StatusCode, res.Header)
		}
		if strings.Contains(text, "<style") || regexp.MustCompile(`<script(?:>| [^>]*[^>]>[^<])|\son\w+=|style=`).MatchString(text) {
			t.Errorf("%s has an inline script or style", path)
		}
		if res, text := w.visit("GET", path, "", map[string]string{"Accept": "application/json"}); res.StatusCode != 404 || !strings.Contains(text, `"not_found"`) {
			t.Errorf("%s for a program: %d %s", path, res.StatusCode, text)
		}
	}
	if res, text := w.visit("GET", "/nothing/here", "", html); res.StatusCode != 404 || !strings.Contains(text, `<div id="app">`) {
		t.Errorf("a path at which nothing is: %d %s", res.StatusCode, text)
	}
	for _, path := range []string{"/v1/nothing", "/assets/nothing.js", "/nothing.php"} {
		if res, text := w.visit("GET", path, "", html); res.StatusCode != 404 || !strings.Contains(text, `"not_found"`) {
			t.Errorf("%s for a browser: %d %s", path, res.StatusCode, text)
		}
	}
}

func TestAssetsNeverChangeUnderTheirName(t *testing.T) {
	w := newTestEnv(t)
	_, page := w.visit("GET", "/", "", map[string]string{"Accept": "text/html"})
	named := regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(named) < 20 {
		t.Fatalf("the page names %d assets", len(named))
	}
	for _, m := range named {
		res, _ := w.visit("GET", m[1], "", map[string]string{"Accept-Encoding": "gzip"})
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || res.Header.Get("Content-Encoding") != "gzip" ||
			res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", m[1], res.StatusCode, res.Header)
		}
	}
	if res, _ := w.visit("GET", "/assets/main.js", "", nil); res.StatusCode != 404 {
		t.Errorf("a name without a hash: %d", res.StatusCode)
	}
}

// signIn opens a session as the console does, and returns its cookie and access
// token.
func (w *testEnv) signIn(persona string) (cookie *http.Cookie, token string) {
	w.t.Helper()
	res, text := w.visit("POST", "/session", `{"email":"`+w.emails[persona]+`","password":"`+matrixPassword+`"}`, map[string]string{"Sec-Fetch-Site": "same-origin"})
	if res.StatusCode != 200 || len(res.Cookies()) != 1 {
		w.t.Fatalf("sign in: %d %s", res.StatusCode, text)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		w.t.Fatal(err)
	}
	if strings.Contains(text, res.Cookies()[0].Value) {
		w.t.Error("the refresh token is in the body, where scripts read it")
	}
	return res.Cookies()[0], body["access_token"].(string)
}

func TestSessionOfTheConsoleIsInACookieThatNoScriptReads(t *testing.T) {
	w := newTestEnv(t)
	cookie, token := w.signIn("reporter")
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/session" || cookie.Secure || cookie.MaxAge != 24*60*60 {
		t.Errorf("cookie: %v", cookie)
	}
	own := map[string]string{"Cookie": cookie.Name + "=" + cookie.Value, "Sec-Fetch-Site": "same-origin"}
	res, text := w.visit("PUT", "/session", "", own)
	if res.StatusCode != 200 || len(res.Cookies()) != 1 || res.Cookies()[0].Value == cookie.Value {
		t.Fatalf("renew: %d %s", res.StatusCode, text)
	}
	own["Cookie"] = cookie.Name + "=" + res.Cookies()[0].Value
	if got := w.ask("GET", "/v1/me", token, ""); got.status != 200 {
		t.Errorf("signed in: %d", got.status)
	}
	res, _ = w.visit("DELETE", "/session", "", own)
	if res.StatusCode != 204 || len(res.Cookies()) != 1 || res.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign out: %d %v", res.StatusCode, res.Header)
	}
	if got := w.ask("GET", "/v1/me", token, ""); got.status != 401 {
		t.Errorf("after the sign-out: %d", got.status)
	}
	if res, _ := w.visit("PUT", "/session", "", own); res.StatusCode != 401 {
		t.Errorf("renew after the sign-out: %d", res.StatusCode)
	}
	for _, without := range []map[string]string{{}, {"Cookie": cookie.Name + "=nonsense"}} {
		if res, _ := w.visit("PUT", "/session", "", without); res.StatusCode != 401 {
			t.Errorf("renew with %v: %d", without, res.StatusCode)
		}
		if res, _ := w.visit("DELETE", "/session", "", without); res.StatusCode != 204 {
			t.Errorf("sign out with %v: %d", without, res.StatusCode)
		}
	}
}

func TestPagesOfOtherOriginsCannotUseTheSession(t *testing.T) {
	w := newTestEnv(t)
	cookie, token := w.signIn("reporter")
	for _, other := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
	} {
		other["Cookie"] = cookie.Name + "=" + cookie.Value
		for method, body := range map[string]string{"PUT": "", "DELETE": "", "POST": `{"email":"a@example.com","password":"p"}`} {
			if res, text := w.visit(method, "/session", body, other); res.StatusCode != 403 || !strings.Contains(text, `"forbidden"`) || len(res.Cookies()) > 0 {
				t.Errorf("%s from %v: %d %s", method, other, res.StatusCode, text)
			}
		}
	}
	if got := w.ask("GET", "/v1/me", token, ""); got.status != 200 {
		t.Errorf("control: the session was ended: %d", got.status)
	}
	own := map[string]string{"Cookie": cookie.Name + "=" + cookie.Value, "Origin": w.url}
	if res, _ := w.visit("PUT", "/session", "", own); res.StatusCode != 200 {
		t.Errorf("control: from the own origin: %d", res.StatusCode)
	}
}
