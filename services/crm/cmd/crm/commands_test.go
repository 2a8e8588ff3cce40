package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/app"
)

// asCommand is the variable by which this test binary runs as the command, so that
// tests get the exit code of a process.
const asCommand = "FIXDESK_TEST_AS_CRM"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		os.Exit(0)
	}
	pgtest.Main(m)
}

// crm runs the command and returns its output and exit code.
func crm(t *testing.T, in string, env []string, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// Without GOCOVERDIR, a binary with coverage would add a warning to the output.
	cmd.Env = append([]string{asCommand + "=1", "GOCOVERDIR=" + t.TempDir()}, env...)
	cmd.Stdin = strings.NewReader(in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func TestEachCommandHasHelpAndExitCodes(t *testing.T) {
	keysFile := filepath.Join(t.TempDir(), "keys")
	for _, c := range []struct {
		args  string
		code  int
		says  string
		where string
	}{
		{"help", 0, "CRM_ADMIN_EMAIL", "out"},
		{"help", 0, "This is version dev.", "out"},
		{"version", 0, "crm dev\nrevision ", "out"},
		{"version", 0, "\n" + runtime.Version() + " ", "out"},
		{"version now", 2, `unexpected "now"`, "err"},
		{"admin create -h", 0, "--email ADDRESS", "err"},
		{"keys rotate -h", 0, "--file PATH", "err"},
		{"token -h", 0, "--scope SCOPES", "err"},
		{"serve -h", 0, "Usage: crm serve", "err"},
		{"migrate -h", 0, "Usage: crm migrate", "err"},
		{"nonsense", 2, `no command "nonsense"`, "err"},
		{"serve now", 2, `unexpected "now"`, "err"},
		{"admin", 2, "crm admin create", "err"},
		{"admin delete", 2, "crm admin create", "err"},
		{"admin create", 2, "--email is needed", "err"},
		{"admin create --email x@fixdesk.test extra", 2, `unexpected "extra"`, "err"},
		{"attachments move -h", 0, "--to URL", "err"},
		{"attachments", 2, "crm attachments move", "err"},
		{"attachments move", 2, "--to is needed", "err"},
		{"attachments move --to ftp://host", 2, "--to must be postgres", "err"},
		{"keys", 2, "crm keys rotate", "err"},
		{"keys create -h", 0, "--file PATH", "err"},
		{"keys create", 2, "--file is needed", "err"},
		{"health -h", 0, "[--ready]", "err"},
		{"health now", 2, `unexpected "now"`, "err"},
		{"keys rotate", 2, "--file is needed", "err"},
		{"token --file " + keysFile, 2, "--scope is needed", "err"},
		{"token --file " + keysFile, 2, "notifications:write, notifications:read, notifications:manage", "err"},
		{"check", 0, "", "out"},
		{"check now", 2, `unexpected "now"`, "err"},
		{"token --scope everything --file " + keysFile, 2, `no scope "everything"`, "err"},
		{"token --scope notifications:read", 2, "CRM_KEYS_FILE", "err"},
		{"token --scope notifications:read --ttl 0s --file " + keysFile, 2, "--ttl must be", "err"},
		{"token --scope notifications:read --ttl soon --file " + keysFile, 2, "invalid value", "err"},
		{"token --scope notifications:read --file " + keysFile, 1, keysFile, "err"},
	} {
		out, errOut, code := crm(t, "", nil, strings.Fields(c.args)...)
		text := errOut
		if c.where == "out" {
			text = out
		}
		if code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("crm %s: exit code %d, want %d: %s%s", c.args, code, c.code, out, errOut)
		}
		for line := range strings.Lines(out + errOut) {
			if c.code == 0 && len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("crm %s prints more than 80 columns: %s", c.args, line)
			}
		}
	}
}

func TestOpenAPIPrintsTheDocumentWithoutADatabaseOrKeys(t *testing.T) {
	env := []string{"CRM_DATABASE_URL=postgres://127.0.0.1:1/none?sslmode=require", "CRM_ENV=production"}
	out, errOut, code := crm(t, "", env, "openapi")
	var document struct {
		OpenAPI string
		Paths   map[string]any
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil || code != 0 || errOut != "" {
		t.Fatalf("exit code %d, %v: %s", code, err, errOut)
	}
	if document.OpenAPI != "3.1.0" || document.Paths["/v1/tickets"] == nil {
		t.Errorf("%s", out)
	}
	if _, errOut, code := crm(t, "", nil, "openapi", "now"); code != 2 || !strings.Contains(errOut, `unexpected "now"`) {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestCheckNamesEveryBadVariable(t *testing.T) {
	out, errOut, code := crm(t, "", []string{"CRM_RELAY_INTERVAL=soon", "CRM_LOG_FORMAT=xml", "CRM_RELAY_INTERVALL=1s"}, "check")
	if code != 1 || out != "" {
		t.Errorf("exit code %d: %s", code, out)
	}
	for _, want := range []string{"CRM_RELAY_INTERVAL has a bad value", "CRM_LOG_FORMAT has a bad value", "There is no variable CRM_RELAY_INTERVALL"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is missing in: %s", want, errOut)
		}
	}
}

func TestOperationsAddressInUseEndsTheStartWithOneLine(t *testing.T) {
	busy, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	out, errOut, code := crm(t, "", []string{"CRM_OPS_ADDR=" + busy.Addr().String(), "CRM_ADDR=127.0.0.1:0"}, "serve")
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	last := lines[len(lines)-1]
	if code != 1 || !strings.Contains(last, `"error":"CRM_OPS_ADDR: `) || !strings.HasSuffix(last, `address already in use; set another address, or off"}`) {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	for value, want := range map[string]int{"nonsense": 1, "127.0.0.1:": 1, "off": 0, "": 0, ":9080": 0} {
		if _, errOut, code := crm(t, "", []string{"CRM_OPS_ADDR=" + value}, "check"); code != want || want == 1 && !strings.Contains(errOut, "want host:port, or off") {
			t.Errorf("%q: exit code %d: %s", value, code, errOut)
		}
	}
}

func TestHealthFailsWithoutAService(t *testing.T) {
	for _, args := range [][]string{{"health"}, {"health", "--ready"}} {
		if _, errOut, code := crm(t, "", []string{"CRM_ADDR=127.0.0.1:1"}, args...); code != 1 || !strings.Contains(errOut, "the service does not answer") {
			t.Errorf("crm %v: exit code %d: %s", args, code, errOut)
		}
	}
}

func TestFatalErrorsAreLinesOfTheLogWithTheInstance(t *testing.T) {
	env := []string{"CRM_INSTANCE=crm-7", "CRM_RELAY_INTERVAL=soon", "CRM_DATABASE_URL_FILE=/nowhere", "CRM_ENV=production"}
	for _, command := range []string{"serve", "migrate"} {
		_, errOut, code := crm(t, "", env, command)
		if code != 1 {
			t.Errorf("crm %s: exit code %d", command, code)
		}
		for line := range strings.Lines(errOut) {
			var entry struct{ Level, Instance, Error string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "ERROR" || entry.Instance != "crm-7" || !strings.HasPrefix(entry.Error, "CRM_") {
				t.Errorf("crm %s logs %s", command, line)
			}
		}
		if !strings.Contains(errOut, "CRM_RELAY_INTERVAL has a bad value") || !strings.Contains(errOut, "CRM_DATABASE_URL_FILE must name a file") {
			t.Errorf("crm %s: %s", command, errOut)
		}
	}
	// The control: in the other format, and with the host's name.
	_, errOut, _ := crm(t, "", append(env[1:], "CRM_LOG_FORMAT=text"), "serve")
	if host, err := os.Hostname(); err != nil || !strings.Contains(errOut, "level=ERROR") || !strings.Contains(errOut, "instance="+host) {
		t.Errorf("as text: %s (%v)", errOut, err)
	}
}

func TestAdminCreateMakesAnAdminWhoCanSignIn(t *testing.T) {
	url := pgtest.NewPatientURL(t, db.CRM, "crm/migrations")
	env := []string{"CRM_DATABASE_URL=" + url}
	const password = "canary in the coal mine"
	out, errOut, code := crm(t, password+"\n", env, "admin", "create", "--email", "Boss@fixdesk.test", "--name", "The Boss")
	if code != 0 || !strings.Contains(out, "boss@fixdesk.test") || strings.Contains(out+errOut, password) {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	t.Setenv("CRM_DATABASE_URL", url)
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), c, obs.NewLogger(io.Discard, slog.LevelError, obs.JSON))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	grant, _, err := a.Users().Login(context.Background(), "boss@fixdesk.test", password, "")
	if err != nil || grant.User.Role != "admin" || grant.User.Name != "The Boss" {
		t.Errorf("%+v, %v", grant.User, err)
	}
	for name, refused := range map[string]struct{ email, password, says string }{
		"again":           {"boss@fixdesk.test", "another canary in the mine", "email_taken"},
		"common password": {"other@fixdesk.test", "password1", "the admin's password must not be a common password"},
		"no password":     {"other@fixdesk.test", "", "the admin's password must have 8 to 128"},
		"no address":      {"nobody", password, "the admin's email must be an e-mail address"},
	} {
		out, errOut, code := crm(t, refused.password+"\n", env, "admin", "create", "--email", refused.email)
		if code != 1 || !strings.Contains(errOut, refused.says) || refused.password != "" && strings.Contains(out+errOut, refused.password) {
			t.Errorf("%s: exit code %d: %s%s", name, code, out, errOut)
		}
	}
	unreachable := []string{"CRM_DATABASE_URL=postgres://nobody:" + "canaryword" + "@127.0.0.1:1/none?connect_timeout=2"}
	if out, errOut, code := crm(t, password, unreachable, "admin", "create", "--email", "x@fixdesk.test"); code != 1 || errOut == "" || strings.Contains(out+errOut, "canaryword") {
		t.Errorf("without a database: exit code %d: %s%s", code, out, errOut)
	}
}

func TestKeysRotateKeepsTheOldKeyAndSignsWithTheNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	rotate := func(want string) *jwtauth.KeySet {
		t.Helper()
		out, errOut, code := crm(t, "", nil, "keys", "rotate", "--file", path)
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit code %d: %s%s", code, out, errOut)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		set, err := jwtauth.LoadKeySet(path)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	rotate("made")
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out, _, code := crm(t, "", nil, "keys", "create", "--file", path); code != 0 || !strings.Contains(out, "signing keys exist") {
		t.Errorf("create again: exit code %d: %s", code, out)
	}
	if still, err := os.ReadFile(path); err != nil || !bytes.Equal(still, made) {
		t.Errorf("create changes keys that exist (%v)", err)
	}
	token := func() string {
		t.Helper()
		out, errOut, code := crm(t, "", []string{"CRM_KEYS_FILE=" + path}, "token", "--scope", "notifications:read,notifications:write", "--ttl", "720h", "--subject", "ops")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errOut)
		}
		return strings.TrimSpace(out)
	}
	verify := func(set *jwtauth.KeySet, token string) error {
		claims, err := jwtauth.NewVerifier(set, "fixdesk", notifyapi.Audience, time.Now).Verify(token)
		if err == nil && (claims.Subject != "ops" || !claims.HasScope(notifyapi.ScopeRead) || claims.HasScope(notifyapi.ScopeManage)) {
			t.Errorf("claims: %+v", claims)
		}
		return err
	}
	before := token()
	once := rotate("rotated")
	after := token()
	if err := errors.Join(verify(once, before), verify(once, after)); err != nil {
		t.Error(err)
	}
	twice := rotate("rotated")
	if err := verify(twice, after); err != nil {
		t.Error(err)
	}
	if err := verify(twice, before); err == nil { // the control: its key is gone
		t.Error("a token outlives two rotations")
	}
}

func TestMigrateAndAdminCreateNeedNoSigningKeys(t *testing.T) {
	env := []string{"CRM_ENV=production", "CRM_DATABASE_URL=" + pgtest.NewURL(t, db.CRM, "crm/migrations")}
	for _, command := range [][]string{{"migrate"}, {"migrate"}, {"admin", "create", "--email", "boss@fixdesk.test"}} {
		if out, errOut, code := crm(t, "canary in the coal mine\n", env, command...); code != 0 {
			t.Errorf("crm %v: exit code %d: %s%s", command, code, out, errOut)
		}
	}
	// The control: the service, which signs tokens, needs them.
	if _, errOut, code := crm(t, "", env, "serve"); code != 1 || !strings.Contains(errOut, "CRM_KEYS_FILE") {
		t.Errorf("crm serve: exit code %d: %s", code, errOut)
	}
}
