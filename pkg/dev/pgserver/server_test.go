package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"fixdesk/pkg/dev/pgserver"
)

// launcherDir, set, turns this test binary into a program that starts a server
// on that folder, prints its process id and URL, and waits to be killed.
const launcherDir = "PGSERVER_TEST_LAUNCHER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(launcherDir); dir != "" {
		launcher(dir)
	}
	goleak.VerifyTestMain(m)
}

func launcher(dir string) {
	s, err := pgserver.Start(context.Background(), pgserver.Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.Pid(), s.URL("postgres"))
	select {}
}

// folder returns one that the server's account can enter, unlike t.TempDir, which is
// closed to others.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "pg")
}

func start(t *testing.T, options pgserver.Options) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stop(t *testing.T, s *pgserver.Server) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func exec1(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	value := ""
	for rows.Next() {
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestCopyOfATemplateIsAClusterOfItsOwn(t *testing.T) {
	template := folder(t)
	if err := pgserver.NewTemplate(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	var servers []*pgserver.Server
	for i := range 2 {
		s := start(t, pgserver.Options{Dir: folder(t), Test: true, Template: template})
		defer stop(t, s)
		exec1(t, s.URL("postgres"), fmt.Sprintf("create table t%d ()", i))
		servers = append(servers, s)
	}
	for i, s := range servers {
		if got := exec1(t, s.URL("postgres"), "select string_agg(tablename, ',') from pg_tables where schemaname = 'public'"); got != fmt.Sprintf("t%d", i) {
			t.Errorf("cluster %d has the tables %s", i, got)
		}
	}
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Setenv(pgserver.TemplateVariable, "") // like the local stack
	dir := folder(t)
	s := start(t, pgserver.Options{Dir: dir})
	first := s.URL("postgres")
	exec1(t, first, "create table kept (note text)")
	exec1(t, first, "insert into kept values ('still here')")
	stop(t, s)

	s = start(t, pgserver.Options{Dir: dir})
	defer stop(t, s)
	if s.URL("postgres") != first {
		t.Errorf("the address changed from %s to %s", first, s.URL("postgres"))
	}
	if got := exec1(t, first, "select note from kept"); got != "still here" {
		t.Errorf("read %q", got)
	}
}

func TestServerListensOnItsSocketAloneAndIsDurable(t *testing.T) {
	s := start(t, pgserver.Options{Dir: folder(t)})
	defer stop(t, s)
	for setting, want := range map[string]string{
		"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"server_encoding": "UTF8", "timezone": "UTC",
	} {
		if got := exec1(t, s.URL("postgres"), "show "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	socket := exec1(t, s.URL("postgres"), "show unix_socket_directories")
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's folder has mode %v", info.Mode())
	}
}

func TestTestServerIsNotDurableAndTakesSettings(t *testing.T) {
	s := start(t, pgserver.Options{Dir: folder(t), Test: true, Settings: map[string]string{"work_mem": "7MB", "full_page_writes": "on"}})
	defer stop(t, s)
	for setting, want := range map[string]string{"fsync": "off", "work_mem": "7MB", "full_page_writes": "on"} {
		if got := exec1(t, s.URL("postgres"), "show "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}

func TestPsqlConnectsByTheURL(t *testing.T) {
	s := start(t, pgserver.Options{Dir: folder(t), Test: true})
	defer stop(t, s)
	out, err := exec.Command(filepath.Join(s.BinDir(), "psql"), s.URL("postgres"), "-Atc", "select 6*7").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "42" {
		t.Errorf("psql: %v: %s", err, out)
	}
}

func TestFolderHasOneServerAtATime(t *testing.T) {
	dir := folder(t)
	s := start(t, pgserver.Options{Dir: dir, Test: true})
	if _, err := pgserver.Start(t.Context(), pgserver.Options{Dir: dir, Test: true}); !errors.Is(err, pgserver.ErrInUse) {
		t.Errorf("a second start: %v", err)
	}
	if err := pgserver.Remove(t.Context(), dir); !errors.Is(err, pgserver.ErrInUse) {
		t.Errorf("removing it under the server: %v", err)
	}
	if got := exec1(t, s.URL("postgres"), "select 'alive'"); got != "alive" {
		t.Error("the first server was disturbed")
	}
	stop(t, s)
	if err := pgserver.Remove(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestServerStartsInAFolderWithALongPath(t *testing.T) {
	dir := filepath.Join(folder(t), strings.Repeat("long/", 40), "end")
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for up := filepath.Dir(dir); !strings.HasPrefix(filepath.Base(up), "pgserver-test-"); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", filepath.Dir(dir)) // the socket must not go there either
	s := start(t, pgserver.Options{Dir: dir, Test: true})
	defer stop(t, s)
	if got := exec1(t, s.URL("postgres"), "select 'in'"); got != "in" {
		t.Error(got)
	}
}

func TestSocketFolderWritableByOthersIsNotUsed(t *testing.T) {
	dir := folder(t)
	s := start(t, pgserver.Options{Dir: dir, Test: true})
	socket := exec1(t, s.URL("postgres"), "show unix_socket_directories")
	stop(t, s)
	if err := os.Mkdir(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(socket) })
	if err := os.Chmod(socket, 0o777); err != nil { // another user could make a socket in it
		t.Fatal(err)
	}
	s = start(t, pgserver.Options{Dir: dir, Test: true})
	defer stop(t, s)
	if got := exec1(t, s.URL("postgres"), "show unix_socket_directories"); got == socket {
		t.Error("the server listens in an open folder")
	}
}

func TestFolderClosedToTheServersAccountIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		return // the server runs as the current user, who can enter
	}
	dir := folder(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := pgserver.Start(t.Context(), pgserver.Options{Dir: filepath.Join(dir, "pg")})
	if !errors.Is(err, pgserver.ErrUnreachable) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestFailedStartReportsTheServersLog(t *testing.T) {
	_, err := pgserver.Start(t.Context(), pgserver.Options{
		Dir: folder(t), Test: true, Settings: map[string]string{"shared_buffers": "nonsense"},
	})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v", err)
	}
}

func TestInterruptedInitdbIsRepeated(t *testing.T) {
	dir := folder(t)
	s := start(t, pgserver.Options{Dir: dir, Test: true})
	stop(t, s)
	if err := os.Rename(filepath.Join(dir, "data"), filepath.Join(dir, "data.unfinished")); err != nil {
		t.Fatal(err)
	}
	s = start(t, pgserver.Options{Dir: dir, Test: true})
	stop(t, s)
}
