package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/notifyapi"
)

func TestSecondStartFindsTicketsMailAndAdmin(t *testing.T) {
	t.Parallel()
	state := stateFolder(t)
	first := started(t, state)
	token := first.customer(t, "ann@customer.example")
	ticket := call(t, http.MethodPost, first.crm+"/v1/tickets", token, object{"title": "Printer on fire", "description": "Really."}, http.StatusCreated)
	subject := first.mailTo(t, "ann@customer.example")
	before := first.admin(t)
	first.stop(t, syscall.SIGINT)

	second := started(t, state)
	token = second.login(t, "ann@customer.example", testPassword)
	again := call(t, http.MethodGet, second.crm+"/v1/tickets/"+ticket["id"].(string), token, nil, http.StatusOK)
	if again["title"] != "Printer on fire" {
		t.Errorf("the ticket came back as %v", again)
	}
	if got := second.mailTo(t, "ann@customer.example"); got != subject {
		t.Errorf("the mail came back as %q, was %q", got, subject)
	}
	if after := second.admin(t); after != before {
		t.Error("the first admin changed")
	}
	second.login(t, before.email, before.password)
	second.stop(t, syscall.SIGTERM)
}

func TestStateFolderClosedToOthersWorksAndCanBeDeletedToStartOver(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	home := t.TempDir() // closed to others
	state := filepath.Join(home, "state")
	var folders []string
	for _, anew := range []bool{false, false, true} {
		if anew {
			if err := os.RemoveAll(state); err != nil {
				t.Fatal(err)
			}
		}
		r := started(t, state)
		folder := (&settings{State: state}).postgresFolder()
		t.Cleanup(func() { os.RemoveAll(folder) })
		folders = append(folders, folder)
		a := r.admin(t)
		r.login(t, a.email, a.password)
		r.stop(t, syscall.SIGTERM)
	}
	if folders[0] != folders[1] {
		t.Errorf("the data moved from %s to %s", folders[0], folders[1])
	}
	if os.Geteuid() != 0 {
		return // the server runs as the folder's owner
	}
	if _, err := os.Stat(folders[0]); folders[0] == folders[2] || err == nil {
		t.Errorf("the deleted state's data is still in %s", folders[0])
	}
}

func TestSecretsOfTheStateFolderAreReadableByTheirOwnerAloneAndInNoLog(t *testing.T) {
	t.Parallel()
	r := started(t, stateFolder(t), "CRM_ADMIN_EMAIL=boss@fixdesk.example", "CRM_ADMIN_PASSWORD=canary-it's-a-secret")
	if a := r.admin(t); a.email != "boss@fixdesk.example" || a.password != "canary-it's-a-secret" {
		t.Errorf("the admin of the environment was kept as %q", a.email)
	}
	r.login(t, "boss@fixdesk.example", "canary-it's-a-secret")
	for _, name := range []string{"keys.json", adminFile, "crm.log", "notification.log"} {
		info, err := os.Stat(filepath.Join(r.state, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode().Perm())
		}
	}
	r.stop(t, syscall.SIGTERM)
	texts := map[string]string{"the launcher's output": r.output.String()}
	for _, name := range []string{"crm.log", "notification.log", "postgres.log"} {
		text, err := os.ReadFile(filepath.Join(r.state, name))
		if err != nil || len(text) == 0 {
			t.Errorf("control: nothing in %s (%v)", name, err)
		}
		texts[name] = string(text)
	}
	for where, text := range texts {
		if strings.Contains(text, "canary") {
			t.Errorf("%s holds the admin's password", where)
		}
	}
	if !strings.Contains(r.output.String(), "boss@fixdesk.example") {
		t.Error("control: the launcher does not name the admin")
	}
}

func TestServiceTokenIsAcceptedByTheNotificationService(t *testing.T) {
	t.Parallel()
	r := commonStack(t)
	url := r.notify + "/v1/notifications"
	call(t, http.MethodGet, url, "", nil, http.StatusUnauthorized)
	for _, arguments := range [][]string{
		{"notifications:read notifications:manage"},
		{"--scope", "notifications:read", "--subject", "ops", "--ttl", "1m"},
	} {
		cmd := command(r.state, nil, append([]string{"token"}, arguments...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		call(t, http.MethodGet, url, strings.TrimSpace(string(out)), nil, http.StatusOK)
	}
	if err := command(r.state, nil, "token", "nonsense").Run(); err == nil {
		t.Error("a scope that doesn't exist was accepted")
	}
}

func TestPortsInUseAreNamedWithTheirVariablesBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	for _, variable := range []string{"CRM_ADDR", "NOTIFICATION_ADDR", "MAIL_SMTP_ADDR", "MAIL_HTTP_ADDR", "CRM_OPS_ADDR", "NOTIFICATION_OPS_ADDR", "NOTIFICATION_INBOUND_ADDR"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			r := begin(t, stateFolder(t), variable+"="+busy.Addr().String())
			if code := r.exit(t); code != 1 {
				t.Errorf("exit code %d", code)
			}
			printed := r.output.String()
			for _, want := range []string{busy.Addr().String(), "address already in use", "set " + variable + " to another"} {
				if !strings.Contains(printed, want) {
					t.Errorf("%q is missing in: %s", want, printed)
				}
			}
			if _, err := os.Stat(filepath.Join(r.state, "postgres")); err == nil {
				t.Error("PostgreSQL was started first")
			}
		})
	}
}

func TestOperationsListenersMoveToFreePortsUnlessTheirsWereChosen(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	// With a stack that has the default ports and is not moved, or another program.
	for _, port := range []string{"9080", "9081"} {
		if busy, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			t.Cleanup(func() { busy.Close() })
		}
	}
	r := started(t, stateFolder(t), defaultOpsPorts)
	printed := regexp.MustCompile(`http://localhost:(\d+)/metrics  http://localhost:(\d+)/metrics`).FindStringSubmatch(r.output.String())
	if printed == nil || printed[1] == "9080" || printed[2] == "9081" {
		t.Fatalf("the metrics are printed as %v", printed)
	}
	for n, service := range []string{"crm", "notification"} {
		address := "http://127.0.0.1:" + printed[n+1]
		if text := get(t, address+"/metrics", http.StatusOK); !strings.Contains(text, `service="`+service+`"`) {
			t.Errorf("%s has the metrics of another", service)
		}
		get(t, address+"/debug/pprof/goroutine?debug=1", http.StatusOK)
	}
	get(t, r.crm+"/metrics", http.StatusNotFound)
	r.stop(t, syscall.SIGTERM)

	off := started(t, r.state, "CRM_OPS_ADDR=off", "NOTIFICATION_OPS_ADDR=")
	if strings.Contains(off.output.String(), "/metrics") {
		t.Errorf("metrics are announced that nothing serves:\n%s", off.output)
	}
}

func TestBuildNamesItsVersionInCommandDocumentMetricAndLog(t *testing.T) {
	t.Parallel()
	r := commonStack(t)
	metrics := regexp.MustCompile(`http://localhost:(\d+)/metrics  http://localhost:(\d+)/metrics`).FindStringSubmatch(r.output.String())
	if metrics == nil {
		t.Fatalf("no metrics in:\n%s", r.output)
	}
	for n, service := range []struct{ name, url string }{{"crm", r.crm}, {"notification", r.notify}} {
		printed, err := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(launcher), service.name), "version").Output()
		if err != nil || !strings.HasPrefix(string(printed), service.name+" "+launch.TestVersion+"\nrevision ") {
			t.Errorf("%v: %s", err, printed)
		}
		if document := call(t, http.MethodGet, service.url+"/openapi.json", "", nil, http.StatusOK); document["info"].(map[string]any)["version"] != launch.TestVersion {
			t.Errorf("%s: info is %v", service.name, document["info"])
		}
		if text := get(t, "http://127.0.0.1:"+metrics[n+1]+"/metrics", http.StatusOK); !strings.Contains(text, `version="`+launch.TestVersion+`"`) {
			t.Errorf("%s: no version among the metrics", service.name)
		}
		log, err := os.ReadFile(filepath.Join(r.state, service.name+".log"))
		if err != nil || !strings.Contains(string(log), `"version":"`+launch.TestVersion+`","revision":"`) {
			t.Errorf("%s: no version in the log (%v)", service.name, err)
		}
	}
}

func TestSecondStackOnTheSameStateFolderIsRefused(t *testing.T) {
	t.Parallel()
	first := commonStack(t)
	second := begin(t, first.state)
	if code := second.exit(t); code != 1 || !strings.Contains(second.output.String(), "another stack is running with the state folder "+first.state) {
		t.Errorf("exit code %d: %s", code, second.output)
	}
	call(t, http.MethodGet, first.crm+"/readyz", "", nil, http.StatusOK)
}

func TestBadValuesAreAllNamedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	r := begin(t, stateFolder(t), "NOTIFICATION_RETRY_BASE=nonsense", "NOTIFICATION_POLL_INTERVAL=0s", "CRM_RELAY_INTERVAL=nonsense", "CRM_RELAY_INTERVALL=1s")
	if code := r.exit(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"NOTIFICATION_RETRY_BASE has a bad value", "NOTIFICATION_POLL_INTERVAL must be", "CRM_RELAY_INTERVAL has a bad value", "There is no variable CRM_RELAY_INTERVALL",
	} {
		if !strings.Contains(r.output.String(), want) {
			t.Errorf("%q is missing in: %s", want, r.output)
		}
	}
	if _, err := os.Stat(filepath.Join(r.state, "postgres")); err == nil {
		t.Error("PostgreSQL was started first")
	}
}

func TestServiceThatCannotStartIsNamedWithItsReason(t *testing.T) {
	t.Parallel()
	r := begin(t, stateFolder(t), "CRM_ADMIN_EMAIL=boss@fixdesk.example", "CRM_ADMIN_PASSWORD=password1")
	if code := r.exit(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"crm ended by itself", "crm.log", "CRM_ADMIN_EMAIL"} {
		if !strings.Contains(r.output.String(), want) {
			t.Errorf("%q is missing in: %s", want, r.output)
		}
	}
}

func TestExistingAdminKeepsThePasswordAndNoOtherIsSaved(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	const right, wrong = "right horse battery staple", "wrong horse battery staple"
	state := stateFolder(t)
	first := started(t, state, "CRM_ADMIN_EMAIL=boss@fixdesk.example", "CRM_ADMIN_PASSWORD="+right)
	if text := first.output.String(); !strings.Contains(text, "the one in CRM_ADMIN_PASSWORD") || strings.Contains(text, "unchanged") {
		t.Errorf("control: the right password is explained by:\n%s", text)
	}
	first.stop(t, syscall.SIGTERM)

	second := started(t, state, "CRM_ADMIN_EMAIL=boss@fixdesk.example", "CRM_ADMIN_PASSWORD="+wrong)
	if text := second.output.String(); !strings.Contains(text, "the account exists and its password is unchanged: not the one in CRM_ADMIN_PASSWORD") {
		t.Errorf("the wrong password is explained by:\n%s", text)
	}
	a := second.admin(t)
	if a.password != right {
		t.Error("a password that does not work was saved")
	}
	second.login(t, a.email, a.password)
	call(t, http.MethodPost, second.crm+"/v1/auth/login", "", object{"email": a.email, "password": wrong}, http.StatusUnauthorized)

	// Without the file of the first start, the launcher knows only that it is wrong.
	second.stop(t, syscall.SIGTERM)
	if err := os.Remove(filepath.Join(state, adminFile)); err != nil {
		t.Fatal(err)
	}
	third := started(t, state, "CRM_ADMIN_EMAIL=boss@fixdesk.example", "CRM_ADMIN_PASSWORD="+wrong)
	if text := third.output.String(); !strings.Contains(text, "the account exists and its password is unchanged: not the one in CRM_ADMIN_PASSWORD") {
		t.Errorf("the wrong password is explained by:\n%s", text)
	}
	if kept, err := readAdmin(filepath.Join(state, adminFile)); err != nil || kept != (admin{}) {
		t.Errorf("%q was saved (%v)", kept.email, err)
	}
}

func TestGeneratedPasswordSurvivesAnInterruptedStart(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	s := &settings{State: t.TempDir()}
	first, err := chooseAdmin(s)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := readAdmin(s.path(adminFile)); err != nil || kept != (admin{}) {
		t.Errorf("it was saved as if it worked (%v)", err)
	}
	second, err := chooseAdmin(s)
	if err != nil || second.admin != first.admin || first.password == "" {
		t.Errorf("another one was made up (%v)", err)
	}
}

func TestConfiguredDatabaseServerIsUsedInstead(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Dir: filepath.Join(stateFolder(t), "pg"), Test: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	for start := range 2 { // the second start finds the databases
		r := started(t, stateFolder(t), "DATABASE_URL="+server.URL("postgres"))
		if unknown := strings.Contains(r.output.String(), "its password is unchanged; it is not known here"); unknown != (start == 1) {
			t.Errorf("start %d with an empty state folder explains the admin's password by:\n%s", start, r.output)
		}
		if _, err := os.Stat(filepath.Join(r.state, "postgres")); err == nil {
			t.Error("a server was started all the same")
		}
		if strings.Contains(r.output.String(), "postgres://") {
			t.Error("the server's URL, which may hold a password, is printed")
		}
		r.stop(t, syscall.SIGTERM)
	}
	for _, database := range []string{"crm", "notification"} {
		conn, err := pgx.Connect(t.Context(), server.URL(database))
		if err != nil {
			t.Fatal(err)
		}
		var tables int
		err = conn.QueryRow(t.Context(), "select count(*) from pg_tables where schemaname = 'public'").Scan(&tables)
		conn.Close(t.Context())
		if err != nil || tables < 2 {
			t.Errorf("%s has %d tables (%v)", database, tables, err)
		}
	}
}

func TestUnusableDatabaseURLIsReportedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	closed, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"postgres://user:canary@" + closed + "/postgres": "connect to the database server",
		"mysql://user:canary@localhost/x":                "DATABASE_URL can't be understood",
	} {
		r := begin(t, stateFolder(t), "DATABASE_URL="+url)
		if code := r.exit(t); code != 1 || !strings.Contains(r.output.String(), want) || strings.Contains(r.output.String(), "canary") {
			t.Errorf("exit code %d: %s", code, r.output)
		}
	}
}

func TestHelpNamesEveryVariableIn80ColumnsAndWrongUseIsRefused(t *testing.T) {
	t.Parallel()
	out, err := command(t.TempDir(), nil, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{
		"FIXDESK_STATE", "CRM_OPS_ADDR", "NOTIFICATION_OPS_ADDR", "CRM_ADDR", "NOTIFICATION_ADDR", "MAIL_SMTP_ADDR", "MAIL_HTTP_ADDR", "DATABASE_URL", "PG_BIN_DIR",
		"NOTIFICATION_SMTP_URL", "NOTIFICATION_INBOUND_ADDR", "CRM_ADMIN_EMAIL", "CRM_ADMIN_PASSWORD",
	} {
		if !strings.Contains(string(out), variable) {
			t.Errorf("help does not name %s", variable)
		}
	}
	for line := range strings.Lines(string(out)) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 80 {
			t.Errorf("more than 80 columns: %s", line)
		}
	}
	for _, name := range []string{"up", "demo"} {
		if again, err := command(t.TempDir(), nil, name, "-h").Output(); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s -h prints %q (%v)", name, again, err)
		}
	}
	for _, arguments := range [][]string{{"nonsense"}, {"demo", "nonsense"}, {"up", "--nonsense"}} {
		cmd := command(t.TempDir(), nil, arguments...)
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("%q: %v", arguments, err)
		}
	}
}

func TestTokenWithoutScopePrintsUsageAndScopes(t *testing.T) {
	t.Parallel()
	cmd := command(t.TempDir(), nil, "token")
	output, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"make token SCOPE=", "SUBJECT=", notifyapi.ScopeRead, notifyapi.ScopeWrite, notifyapi.ScopeManage} {
		if !strings.Contains(string(output), want) {
			t.Errorf("%q is missing in: %s", want, output)
		}
	}
}

func TestVariablesOfTheServicesArePassedOnAndOverrideTheStacksOwn(t *testing.T) {
	given := map[string][]string{
		"CRM_": {"CRM_DATABASE_URL=postgres://elsewhere/crm", "CRM_NOTIFICATION_URL=http://elsewhere", "CRM_PUBLIC_URL=https://desk.example",
			"CRM_KEYS_FILE=/elsewhere/keys.json", "CRM_ANYTHING=x"},
		"NOTIFICATION_": {"NOTIFICATION_DATABASE_URL=postgres://elsewhere/notification", "NOTIFICATION_JWKS_URL=http://elsewhere/jwks", "NOTIFICATION_ANYTHING=x"},
	}
	for _, variables := range given {
		for _, variable := range variables {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv(name, value)
		}
	}
	st := &stack{settings: &settings{State: "/state", CRMAddr: "127.0.0.1:1", NotificationAddr: "127.0.0.1:2"}, admin: &firstAdmin{}, serverURL: "postgres://own/postgres"}
	for prefix, environment := range map[string][]string{"CRM_": st.crmEnvironment(), "NOTIFICATION_": st.notificationEnvironment()} {
		for _, variable := range given[prefix] {
			if !slices.Contains(environment, variable) {
				t.Errorf("%s is missing in %v", variable, environment)
			}
		}
	}
	if missing := missingDatabases(); len(missing) != 0 {
		t.Errorf("the databases %v would be created", missing)
	}
}

func TestServiceHasItsOwnTimeoutToStop(t *testing.T) {
	if got := serviceStopTime("CRM_SHUTDOWN_TIMEOUT"); got != stopTime {
		t.Errorf("%v by default", got)
	}
	for timeout, want := range map[string]time.Duration{"1s": stopTime, "2m": 2*time.Minute + 15*time.Second} {
		t.Setenv("CRM_SHUTDOWN_TIMEOUT", timeout)
		if got := serviceStopTime("CRM_SHUTDOWN_TIMEOUT"); got != want {
			t.Errorf("%v for %s, want %v", got, timeout, want)
		}
	}
}

func TestLongBuildReportsItsProgress(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	tools, bin := t.TempDir(), t.TempDir()
	fake := "#!/bin/sh\necho 'go: downloading example.com/x v1.0.0' >&2\necho fmt >&2\necho net/http >&2\nsleep 3\n"
	if err := os.WriteFile(filepath.Join(tools, "go"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func() string {
		cmd := exec.Command("./build.sh")
		cmd.Env = []string{"PATH=" + tools + ":" + os.Getenv("PATH"), "FIXDESK_BIN=" + bin, "BUILD_REPORT_SECONDS=1"}
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, output)
		}
		return string(output)
	}
	for _, want := range []string{"The first build", "2 of about 370 packages compiled, 1 modules downloaded"} {
		if output := run(); !strings.Contains(output, want) {
			t.Errorf("%q is missing in: %s", want, output)
		}
	}
	for _, name := range []string{"local", "crm", "notification"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if output := run(); strings.Contains(output, "first build") {
		t.Errorf("a later build prints: %s", output)
	}
}

func TestFailedBuildPrintsTheCompilersError(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	fake := "#!/bin/sh\necho fmt >&2\necho '# fixdesk/pkg' >&2\necho 'x.go:1:2: undefined: y' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(tools, "go"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./build.sh")
	cmd.Env = []string{"PATH=" + tools + ":" + os.Getenv("PATH"), "FIXDESK_BIN=" + t.TempDir()}
	output, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "undefined: y") || strings.Contains(string(output), "fmt\n") {
		t.Errorf("%v: %s", err, output)
	}
}
