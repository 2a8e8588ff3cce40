package faulttest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/trials"
)

// secrets are canaries by their purpose.
type secrets map[string]string

// make generates one.
func (s secrets) make(what string) string {
	s[what] = "Canary-" + rand.Text()
	return s[what]
}

// found lists the secrets that text contains, as they are or encoded.
func (s secrets) found(text string) (list []string) {
	for what, secret := range s {
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
			strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="), strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
		} {
			if strings.Contains(text, form) {
				list = append(list, what)
				break
			}
		}
	}
	return list
}

// recorder records every answer except those that issue tokens.
type recorder struct {
	http.RoundTripper
	mu   sync.Mutex
	text strings.Builder
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if err != nil || response.StatusCode == http.StatusOK && (strings.HasSuffix(request.URL.Path, "/login") || strings.HasSuffix(request.URL.Path, "/refresh")) {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.text, "%d %v\n%s\n", response.StatusCode, response.Header, body)
	return response, err
}

// keyFile writes a DKIM key and returns its path.
func (s secrets) keyFile(t *testing.T, dir string) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	s["DKIM key"] = strings.Split(string(text), "\n")[1]
	path := filepath.Join(dir, "dkim.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// signingKeys adds the private parts of the key file.
func (s secrets) signingKeys(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, item := range v {
				if private, ok := item.(string); ok && name == "d" {
					n++
					s[fmt.Sprintf("signing key %d", n)] = private
				}
				walk(item)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(file)
	if n == 0 {
		t.Fatalf("no private key was found in %s", path)
	}
}

// secretsEnv is an installation of which the test knows every secret.
type secretsEnv struct {
	*stack
	secrets
	crm, notification *service
	// addresses of the operations listeners
	crmOps, notificationOps string
	proxy                   *proxy
	recorder                *recorder
	client                  *client
}

func newSecretsEnv(t *testing.T, s *stack) *secretsEnv {
	t.Helper()
	x := &secretsEnv{stack: s, secrets: secrets{}, crmOps: freeAddress(t), notificationOps: freeAddress(t), recorder: &recorder{RoundTripper: &http.Transport{DisableKeepAlives: true}}}
	withPassword := func(url string) string {
		return strings.Replace(url, "postgres@", "postgres:"+x.secrets["database password"]+"@", 1)
	}
	x.make("database password")
	s.mail.require(x.make("SMTP password"))
	x.signingKeys(t, s.keys)
	var mu sync.Mutex
	x.proxy = startProxy(t, "http://"+s.notifyAddr)
	x.proxy.tamper = func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		x.secrets["service token"] = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	x.crm = s.startCRM(t, variables{
		"CRM_DATABASE_URL": withPassword(s.server.URL(s.crmName)), "CRM_NOTIFICATION_URL": x.proxy.url,
		"CRM_ADMIN_PASSWORD": x.make("admin's password"), "CRM_LOG_LEVEL": "debug", "CRM_OPS_ADDR": x.crmOps,
	})
	x.notification = s.startNotification(t, variables{
		"NOTIFICATION_DATABASE_URL": withPassword(s.server.URL(s.notifyName)), "NOTIFICATION_LOG_LEVEL": "debug", "NOTIFICATION_OPS_ADDR": x.notificationOps,
		"NOTIFICATION_SMTP_URL":      "smtp://fixdesk:" + x.secrets["SMTP password"] + "@" + s.mail.Addr() + "?tls=none&auth=plain",
		"NOTIFICATION_DKIM_KEY_FILE": x.keyFile(t, s.dir), "NOTIFICATION_DKIM_SELECTOR": "s1", "NOTIFICATION_MAIL_FROM": "fixdesk@example.com",
	})
	x.client = &client{url: x.crm.url, http: &http.Client{Transport: x.recorder, Timeout: patience}}
	return x
}

// ask sends a request whose outcome doesn't matter.
func (x *secretsEnv) ask(t *testing.T, token, method, path string, body object) answer {
	t.Helper()
	a, err := x.client.with(token).do(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signIn keeps the tokens of a new session.
func (x *secretsEnv) signIn(t *testing.T, who, email, password string) (access, refresh string) {
	t.Helper()
	o := x.ask(t, "", http.MethodPost, "/v1/auth/login", object{"email": email, "password": password}).object()
	access, _ = o["access_token"].(string)
	refresh, _ = o["refresh_token"].(string)
	if access == "" || refresh == "" {
		t.Fatalf("%s can't sign in: %v", who, o)
	}
	x.secrets[who+"'s access token"], x.secrets[who+"'s refresh token"] = access, refresh
	return access, refresh
}

// useSecrets sends valid and invalid requests of every kind that has secrets.
func (x *secretsEnv) useSecrets(t *testing.T) {
	t.Helper()
	const email, login, reset = "carl@customer.example", "/v1/auth/login", "/v1/auth/password/reset"
	first, second, third := x.make("password"), x.make("second password"), x.make("third password")
	x.ask(t, "", http.MethodPost, "/v1/auth/register", object{"name": "Carl", "email": email, "password": first})
	x.ask(t, "", http.MethodPost, "/v1/auth/register", object{"name": "Carl", "email": email, "password": first})
	for _, wrong := range []object{
		{"email": email, "password": x.make("wrong password")}, {"email": "nobody@example.org", "password": x.secrets["wrong password"]},
		{"email": x.make("password in the wrong field"), "password": first}, {"email": email, "password": []string{first}},
		{"email": email, "password": first, "pasword": first}, {"password": first}, {"email": email, "password": strings.Repeat(first, 20)},
	} {
		x.ask(t, "", http.MethodPost, login, wrong)
	}
	access, refresh := x.signIn(t, "Carl", email, first)
	ticket := x.ask(t, access, http.MethodPost, "/v1/tickets", object{"title": "Printer", "description": x.make("description")}).id()
	x.ask(t, access, http.MethodPost, "/v1/tickets/"+ticket+"/comments", object{"body": x.make("comment")})
	x.ask(t, access+"x", http.MethodGet, "/v1/me", nil)
	x.ask(t, "", http.MethodGet, "/v1/me?access_token="+access, nil)
	x.ask(t, "", http.MethodGet, "/v1/"+access, nil)
	renewed := x.ask(t, "", http.MethodPost, "/v1/auth/refresh", object{"refresh_token": refresh}).object()
	x.secrets["renewed refresh token"], _ = renewed["refresh_token"].(string)
	x.ask(t, "", http.MethodPost, "/v1/auth/refresh", object{"refresh_token": refresh + "x"})
	x.ask(t, access, http.MethodPost, "/v1/me/password", object{"current_password": "wrong " + first, "new_password": second})
	x.ask(t, access, http.MethodPost, "/v1/me/password", object{"current_password": first, "new_password": second})
	x.ask(t, "", http.MethodPost, "/v1/auth/password/forgot", object{"email": email})
	var token string
	eventually(t, "the reset token is mailed", func() bool {
		token = x.mail.token(t)
		return token != ""
	})
	x.secrets["reset token"] = token
	x.ask(t, "", http.MethodPost, reset, object{"token": token + "x", "password": third})
	x.ask(t, "", http.MethodPost, reset, object{"token": token, "password": "short"})
	if a := x.ask(t, "", http.MethodPost, reset, object{"token": token, "password": third}); a.status != http.StatusNoContent {
		t.Errorf("the token found in the mail was not the reset token: %d %s", a.status, a.body)
	}
	x.ask(t, "", http.MethodPost, reset, object{"token": token, "password": third})
	x.signIn(t, "Carl again", email, third)
}

// breakServers makes the servers that need a password refuse it.
func (x *secretsEnv) breakServers(t *testing.T) {
	t.Helper()
	admin, _ := x.signIn(t, "admin", adminEmail, x.secrets["admin's password"])
	x.mail.require("another") // the mail server refuses the configured password
	x.ask(t, admin, http.MethodPost, "/v1/tickets", object{"title": "Not mailed", "description": "x"})
	eventually(t, "the mail server's refusal is noticed", func() bool {
		text, err := os.ReadFile(x.notification.LogFile)
		return err == nil && bytes.Contains(text, []byte("mail server in trouble"))
	})
	x.mail.require(x.secrets["SMTP password"])
	for _, path := range []string{
		"/v1/audit?limit=100", "/v1/outbox?limit=100", "/v1/outbox?state=dead", "/v1/users?limit=100", "/v1/registrations", "/v1/me/sessions",
		"/v1/tickets/counts", "/readyz", "/openapi.json", "/.well-known/jwks.json",
	} {
		if a := x.ask(t, admin, http.MethodGet, path, nil); a.status != http.StatusOK {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	atNotification := x.client.with(x.secrets["service token"]).at(x.notification.url)
	for _, path := range []string{"/readyz", "/v1/stats"} {
		if a, err := atNotification.do(t.Context(), http.MethodGet, path, nil); err != nil || a.status != http.StatusOK {
			t.Errorf("%s: %d %v", path, a.status, err)
		}
	}
	for _, address := range []string{x.crmOps, x.notificationOps} {
		for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1"} {
			if a, err := x.client.with("").at("http://"+address).do(t.Context(), http.MethodGet, path, nil); err != nil || a.status != http.StatusOK {
				t.Errorf("%s of %s: %d %v", path, address, a.status, err)
			}
		}
	}
}

// wrongSettings returns the output of the services for invalid settings.
func (x *secretsEnv) wrongSettings(t *testing.T) string {
	t.Helper()
	secret := x.make("setting")
	var printed strings.Builder
	for _, attempt := range [][]string{
		{"crm", "CRM_DATABASE_URL=postgres://user:" + secret + "@host:port/crm"},
		{"crm", "CRM_DATABASE_URL=mysql://user:" + secret + "@host/crm"},
		{"crm", "CRM_DATABASE_URL=postgres://user:" + secret + "@127.0.0.1:1/crm"},
		{"crm", "CRM_ADMIN_PASSWORD=" + secret},
		{"notification", "NOTIFICATION_SMTP_URL=smtp://user:" + secret + "@host:port"},
		{"notification", "NOTIFICATION_SMTP_URL=ftp://user:" + secret + "@host"},
		{"notification", "NOTIFICATION_DATABASE_URL=postgres://user:" + secret + "@127.0.0.1:1/notification"},
	} {
		for _, argument := range []string{"serve", "help"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			cmd := exec.CommandContext(ctx, binary(attempt[0]), argument)
			cmd.Env = []string{"CRM_ADDR=127.0.0.1:0", "NOTIFICATION_ADDR=127.0.0.1:0", "CRM_OPS_ADDR=off", "NOTIFICATION_OPS_ADDR=off", attempt[1]}
			output, err := cmd.CombinedOutput()
			cancel()
			if argument == "serve" && err == nil {
				t.Errorf("%s started with a wrong %s", attempt[0], attempt[1])
			}
			printed.Write(output)
		}
	}
	return printed.String()
}

func TestSecretsAreInNoLogAnswerMetricOrTable(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	server, options := ownServer(t, pgserver.Options{Test: true})
	x := newSecretsEnv(t, newStack(t, server))
	x.useSecrets(t)
	x.breakServers(t)
	x.drained(t)
	tables := x.rows(t, x.stack.crm) + x.rows(t, x.notify)
	crash(t, server, syscall.SIGQUIT)
	x.ask(t, x.secrets["Carl again's access token"], http.MethodGet, "/v1/me", nil)
	x.ask(t, "", http.MethodPost, "/v1/auth/login", object{"email": "carl@customer.example", "password": x.secrets["third password"]})
	x.ask(t, "", http.MethodGet, "/readyz", nil)
	startServer(t, options)
	x.crm.waitReady(t)
	wrongSettings := x.wrongSettings(t)
	x.crm.terminate(t)
	x.notification.terminate(t)

	places := map[string]string{"answers": x.recorder.text.String(), "errors about settings": wrongSettings}
	for _, log := range []string{x.crm.LogFile, x.notification.LogFile} {
		text, err := os.ReadFile(log)
		if err != nil || len(text) < 1000 {
			t.Fatalf("control: the log is too short (%v)", err)
		}
		places[filepath.Base(log)] = string(text)
	}
	content := secrets{"description": x.secrets["description"], "comment": x.secrets["comment"]}
	for what := range content {
		if len(content.found(places["answers"])) == 0 {
			t.Errorf("control: the %s isn't even in the answers", what)
		}
		delete(x.secrets, what)
	}
	for place, text := range places {
		if found := x.found(text); len(found) > 0 {
			t.Errorf("%s: %v", place, found)
		}
		if found := content.found(text); place != "answers" && len(found) > 0 {
			t.Errorf("%s: what people wrote: %v", place, found)
		}
	}
	delete(x.secrets, "reset token") // its mail contains it
	if found := x.found(tables); len(found) > 0 {
		t.Errorf("tables: %v", found)
	}
	t.Logf("%d secrets in none of %d bytes of logs, answers, metrics and tables", len(x.secrets)+1, len(tables)+len(strings.Join([]string{places["answers"], wrongSettings}, "")))
	x.scannerFindsPlantedSecrets(t)
}

// scannerFindsPlantedSecrets is the control: each secret is found where it is planted.
func (x *secretsEnv) scannerFindsPlantedSecrets(t *testing.T) {
	t.Helper()
	for what, secret := range x.secrets {
		for _, planted := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret)} {
			if len(x.found(`{"msg":"x","error":"`+planted+`"}`)) == 0 {
				t.Errorf("control: a planted %s is not found", what)
			}
		}
	}
}

// rows returns every row of every table as text.
func (s *stack) rows(t *testing.T, db querier) string {
	t.Helper()
	var all strings.Builder
	for _, table := range s.ids(t, db, `select quote_ident(tablename) from pg_tables where schemaname = 'public'`) {
		rows, err := db.Query(context.Background(), `select x::text from `+table+` x`)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(strings.Join(lines, "\n"))
	}
	return all.String()
}
