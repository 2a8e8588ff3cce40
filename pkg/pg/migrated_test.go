package pg_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestAwaitMigrationsEndsWhenAnotherProcessHasAppliedAll(t *testing.T) {
	t.Parallel()
	pool := open(t, pgtest.NewURL(t, none, "m"), pg.Config{})
	files := fstest.MapFS{"m/00001_none.sql": none["m/00001_none.sql"], "m/00007_new.sql": {Data: []byte("-- +goose Up\ncreate table more (n int);\n")}}
	var output lockedBuffer
	awaited := make(chan error, 1)
	go func() {
		awaited <- pg.AwaitMigrations(t.Context(), pool, files, "m", slog.New(slog.NewTextHandler(&output, nil)))
	}()
	waitFor(t, func() bool { return strings.Contains(output.String(), "version=1 wanted=7") })
	select {
	case err := <-awaited:
		t.Fatalf("it does not wait: %v", err)
	default:
	}
	if err := pg.Migrate(t.Context(), pool, files, "m", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := <-awaited; err != nil {
		t.Error(err)
	}
	// An older program serves with a newer schema.
	if err := pg.AwaitMigrations(t.Context(), pool, none, "m", slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("a newer database: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	files["m/00008_newer.sql"] = &fstest.MapFile{}
	if err := pg.AwaitMigrations(ctx, pool, files, "m", slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
