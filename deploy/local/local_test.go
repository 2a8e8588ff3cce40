package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgserver"
)

func TestASecondStartFindsTicketsMailAndAdmin(t *testing.T) {
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

func TestAStateFolderClosedToOthersWorksAndCanBeDeletedToBeginAnew(t *testing.T) {
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
		return // the server runs as who owns the folder
	}
	if _, err := os.Stat(folders[0]); folders[0] == folders[2] || err == nil {
		t.Errorf("the deleted state's data is still in %s", folders[0])
	}
}

func TestSecretsOfTheStateFolderAreItsOwnersAndInNoLog(t *testing.T) {
	r := started(t, stateFolder(t), "CRM_ADMIN_EMAIL=boss@fixdesk.example", "CRM_ADMIN_PASSWORD=canary-it's-a-secret")
	if a := r.admin(t); a.email != "boss@fixdesk.example" || a.password != "canary-it's-a-secret" {
		t.Errorf("the admin of the environment was kept as %q", a.email)
	}
	r.login(t, "boss@fixdesk.example", "canary-it's-a-secret")
	for _, name := range []string{keysFile, adminFile, "crm.log", "notification.log"} {
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

func TestAServiceTokenOpensTheNotificationService(t *testing.T) {
	r := started(t, stateFolder(t))
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
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, variable := range []string{"CRM_ADDR", "NOTIFICATION_ADDR", "MAIL_SMTP_ADDR", "MAIL_HTTP_ADDR"} {
		t.Run(variable, func(t *testing.T) {
			r := begin(t, stateFolder(t), variable+"="+busy.Addr().String())
			if code := r.exit(t); code != 1 {
				t.Errorf("exit code %d", code)
			}
			said := r.output.String()
			for _, want := range []string{busy.Addr().String(), "address already in use", "set " + variable + " to another"} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is missing in: %s", want, said)
				}
			}
			if _, err := os.Stat(filepath.Join(r.state, "postgres")); err == nil {
				t.Error("PostgreSQL was started first")
			}
		})
	}
}

func TestASecondStackOnTheSameStateFolderIsRefused(t *testing.T) {
	first := started(t, stateFolder(t))
	second := begin(t, first.state)
	if code := second.exit(t); code != 1 || !strings.Contains(second.output.String(), "another stack is running with the state folder "+first.state) {
		t.Errorf("exit code %d: %s", code, second.output)
	}
	call(t, http.MethodGet, first.crm+"/readyz", "", nil, http.StatusOK)
}

func TestAServiceThatCanNotStartIsNamedWithItsReason(t *testing.T) {
	r := begin(t, stateFolder(t), "NOTIFICATION_RETRY_BASE=nonsense")
	if code := r.exit(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"notification ended by itself", "notification.log", "NOTIFICATION_RETRY_BASE"} {
		if !strings.Contains(r.output.String(), want) {
			t.Errorf("%q is missing in: %s", want, r.output)
		}
	}
}

func TestAServerOfOnesOwnIsUsedInstead(t *testing.T) {
	server, err := pgserver.Start(t.Context(), pgserver.Options{Dir: filepath.Join(stateFolder(t), "pg"), Test: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	for range 2 { // the second start finds the databases
		r := started(t, stateFolder(t), "DATABASE_URL="+server.URL("postgres"))
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

func TestADatabaseURLThatLeadsNowhereIsSaidPlainly(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for url, want := range map[string]string{
		"postgres://user:canary@" + closed.Addr().String() + "/postgres": "connect to the database server",
		"mysql://user:canary@localhost/x":                                "DATABASE_URL can't be understood",
	} {
		r := begin(t, stateFolder(t), "DATABASE_URL="+url)
		if code := r.exit(t); code != 1 || !strings.Contains(r.output.String(), want) || strings.Contains(r.output.String(), "canary") {
			t.Errorf("exit code %d: %s", code, r.output)
		}
	}
}

func TestHelpNamesEveryVariableAndWrongUseIsRefused(t *testing.T) {
	out, err := command(t.TempDir(), nil, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{
		"FIXDESK_STATE", "CRM_ADDR", "NOTIFICATION_ADDR", "MAIL_SMTP_ADDR", "MAIL_HTTP_ADDR", "DATABASE_URL", "PG_BIN_DIR",
		"NOTIFICATION_SMTP_URL", "CRM_ADMIN_EMAIL", "CRM_ADMIN_PASSWORD",
	} {
		if !strings.Contains(string(out), variable) {
			t.Errorf("help does not name %s", variable)
		}
	}
	cmd := command(t.TempDir(), nil, "nonsense")
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("an unknown sub-command: %v", err)
	}
}
