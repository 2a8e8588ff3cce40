package pgtest_test

import (
	"sync"
	"testing"
	"testing/fstest"

	"fixdesk/pkg/dev/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func migrations(column string) fstest.MapFS {
	return fstest.MapFS{
		"some/migrations/00001_note.sql": {Data: []byte("-- +goose Up\ncreate table note (" + column + " text);\n")},
	}
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			pool := pgtest.New(t, migrations("body"), "some/migrations")
			var before int
			if err := pool.QueryRow(t.Context(), "select count(*) from note").Scan(&before); err != nil || before != 0 {
				t.Errorf("database %d is not fresh: %d notes, %v", i, before, err)
			}
			if _, err := pool.Exec(t.Context(), "insert into note values ('mine')"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestChangedMigrationsGetAnotherTemplate(t *testing.T) {
	for _, column := range []string{"body", "title"} {
		pool := pgtest.New(t, migrations(column), "some/migrations")
		if _, err := pool.Exec(t.Context(), "select "+column+" from note"); err != nil {
			t.Error(err)
		}
	}
}

func TestDatabaseIsDroppedAfterItsTest(t *testing.T) {
	var name string
	t.Run("a test", func(t *testing.T) {
		pool := pgtest.New(t, migrations("body"), "some/migrations")
		if err := pool.QueryRow(t.Context(), "select current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	pool := pgtest.New(t, migrations("body"), "some/migrations")
	var there bool
	if err := pool.QueryRow(t.Context(), "select exists (select from pg_database where datname = $1)", name).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there {
		t.Errorf("%s is still there", name)
	}
}
