package faulttest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
)

// releaseDir has the dumps of both databases as the release before fills them, and that
// release's commit in the file revision. deploy/upgrade/dump.sh makes them.
const releaseDir = "../../../upgrade"

// dumpVariable names the environment variable with the folder of the programs that are
// to fill and dump the databases.
const dumpVariable = "FIXDESK_TEST_DUMP"

// neverFilled are tables that the filling may leave empty: what they hold is over within
// a moment or not logged, or needs a mailbox on another server.
var neverFilled = []string{"attachment_removals", "erasures", "inbound_erasures", "inbound_mailboxes", "mail_erasures", "request_limits"}

// TestDumpOfARelease writes the dumps. deploy/upgrade/dump.sh runs it.
func TestDumpOfARelease(t *testing.T) {
	bin := os.Getenv(dumpVariable)
	if bin == "" {
		t.Skip("run by deploy/upgrade/dump.sh")
	}
	s := newStackFrom(t, shared.server, "template0", "template0")
	s.bin = bin
	fillAll(t, s)
	for _, db := range []struct {
		name, database string
		q              querier
	}{{"crm", s.crmName, s.crm}, {"notification", s.notifyName, s.notify}} {
		for _, table := range s.ids(t, db.q, "select c.relname::text from pg_class c where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace") {
			if n := count(t, db.q, "select count(*) from "+pgx.Identifier{table}.Sanitize()); n == 0 && !slices.Contains(neverFilled, table) {
				t.Errorf("the table %s of %s is empty", table, db.name)
			}
		}
		text, err := exec.Command(postgresProgram(t, "pg_dump"), s.server.URL(db.database)).Output()
		if err != nil {
			t.Fatal(err)
		}
		var zipped bytes.Buffer
		w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		_, _ = w.Write(text)
		_ = w.Close()
		if err := os.WriteFile(filepath.Join(releaseDir, db.name+".sql.gz"), zipped.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// postgresProgram is the path of a program of PostgreSQL.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	dir, err := pgserver.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("PostgreSQL's %s is needed", name)
	}
	return path
}

// releaseBefore builds the programs of the release before from the history of this
// checkout, once, and returns their folder. Without that history the test is skipped.
func releaseBefore(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(releaseDir, "revision"))
	if err != nil {
		t.Fatal(err)
	}
	revision := strings.TrimSpace(string(text))
	if output, err := exec.Command("git", "cat-file", "-e", revision+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the upgrade is not tried: this checkout doesn't have the release before, commit %s; a full clone has it (%s)", revision, bytes.TrimSpace(output))
	}
	bin := filepath.Join(shared.dir, "release")
	releaseBuilt.Do(func() { err = buildRevision(revision, filepath.Join(shared.dir, "source"), bin) })
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

var releaseBuilt sync.Once

func buildRevision(revision, source, bin string) error {
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	archive := exec.Command("sh", "-c", `git -C "$(git rev-parse --show-toplevel)" archive "$1" | tar -x -C "$2"`, "sh", revision, source)
	if output, err := archive.CombinedOutput(); err != nil {
		return fmt.Errorf("take %s out of the history: %w\n%s", revision, err, output)
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-w", "-o", bin+string(filepath.Separator), launch.Programs["crm"], launch.Programs["notification"])
	build.Dir = source
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the release before: %w\n%s", err, output)
	}
	return nil
}

// restoreRelease restores the dumps into databases of their own, as if they had been
// made now.
func restoreRelease(t *testing.T, server *pgserver.Server) *stack {
	t.Helper()
	s := newStackFrom(t, server, "template0", "template0")
	for name, database := range map[string]string{"crm": s.crmName, "notification": s.notifyName} {
		file, err := os.Open(filepath.Join(releaseDir, name+".sql.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		text, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		psql(t, server.URL(database), text)
		psql(t, server.URL(database), strings.NewReader(fmt.Sprintf(asOfNow, dumpedAt(t, s, name))))
	}
	return s
}

func psql(t *testing.T, url string, input io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), postgresProgram(t, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", url)
	cmd.Stdin = input
	var output bytes.Buffer
	cmd.Stderr = &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("psql: %v\n%s", err, output.Bytes())
	}
}

// dumpedAt is when the newest row of a restored dump was written.
func dumpedAt(t *testing.T, s *stack, name string) (at string) {
	t.Helper()
	db, sql := querier(s.crm), "select max(created_at)::text from outbox"
	if name == "notification" {
		db, sql = s.notify, "select max(received_at)::text from inbound_mails"
	}
	if err := db.QueryRow(context.Background(), sql).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

// asOfNow moves every time of the database by the age of the dump, so that leases,
// expiries and retention are as on the day of the dump. Times of partitions stay.
const asOfNow = `
set session_replication_role = replica; -- no triggers
do $$
declare
    age constant interval := date_trunc('second', now() - '%s'::timestamptz);
    changed record;
begin
    for changed in
        select a.attrelid::regclass as name, string_agg(format('%%1$I = %%1$I + $1', a.attname), ', ') as changes
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relkind = 'r' and not c.relispartition and c.relnamespace = 'public'::regnamespace
          and a.atttypid = 'timestamptz'::regtype and not a.attisdropped and a.attgenerated = ''
          and c.relname not in ('goose_db_version', 'ticket_report_hours')
        group by a.attrelid
    loop
        execute format('update %%s set %%s', changed.name, changed.changes) using age;
    end loop;
end $$;`
