package app_test

import (
	"context"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

// beforePartitions are the migrations before those that make partitions.
func beforePartitions(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(db.Notification, "notification/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.TrimPrefix(name, "notification/migrations/") >= "00120" {
			continue
		}
		data, err := fs.ReadFile(db.Notification, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// The statements of a version that knows no partitions.
const (
	olderAttempt = "insert into attempts (recipient_id, number, at, server, code, reply, outcome) values ($1, 1, now(), 'mx', 250, 'ok', 'sent')"
	olderPiece   = "insert into inbound_raw (mail_id, ordinal, data) values ($1, 0, 'first')"
	olderMail    = `with mail as (
			insert into inbound_mails (id, received_at, source, envelope_from, envelope_to, size, fingerprint)
			values ($1::uuid, now(), 'smtp', '', '{}', 9, decode(md5($1::uuid::text) || md5($1::uuid::text), 'hex'))
			on conflict (fingerprint) do update set arrivals = inbound_mails.arrivals + 1
			returning inbound_mails.id
		), piece as (
			insert into inbound_raw (mail_id, ordinal, data) select m.id, 1, 'last' from mail m where m.id = $1::uuid
		)
		select mail.id from mail`
)

// insertAsOlder inserts like an older version, until ctx ends, and returns the ids. It
// signals progress to who waits for it.
func insertAsOlder(ctx context.Context, t *testing.T, pool *pgxpool.Pool, progress chan<- struct{}) (ids []uuid.UUID) {
	for ctx.Err() == nil {
		id := uuid.Must(uuid.NewV7())
		for _, statement := range []string{olderAttempt, olderPiece, olderMail} {
			if _, err := pool.Exec(context.WithoutCancel(ctx), statement, id); err != nil {
				t.Error(err)
				close(progress)
				return ids
			}
		}
		ids = append(ids, id)
		select {
		case progress <- struct{}{}:
		default:
		}
	}
	return ids
}

func TestOlderVersionInsertsWhileItsFilledTablesBecomePartitions(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, beforePartitions(t), "notification/migrations")
	for _, statement := range []string{
		"insert into attempts select id, 1, now(), 'mx', 250, 'ok', 'sent' from (select ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid as id from generate_series(1, 20000) n) r",
		"insert into inbound_raw select ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 0, 'old' from generate_series(1, 20000) n",
	} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	progress := make(chan struct{})
	ended := make(chan []uuid.UUID, 1)
	go func() { ended <- insertAsOlder(ctx, t, pool, progress) }()
	const some = 20
	for range some {
		<-progress
	}
	if err := pg.Migrate(t.Context(), pool, db.Notification, "notification/migrations", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for range some {
		<-progress
	}
	stop()
	known := <-ended
	if len(known) < 2*some {
		t.Errorf("%d rows were inserted meanwhile", len(known))
	}
	for sql, want := range map[string]int{
		"select count(*) from attempts":                                20000 + len(known),
		"select count(*) from inbound_raw":                             20000 + 2*len(known),
		"select count(*) from attempts where recipient_id = any($1)":   len(known),
		"select count(*) from inbound_raw where mail_id = any($1)":     2 * len(known),
		"select count(*) from inbound_mails where id = any($1)":        len(known),
		"select count(*) from attempts_first where $1::uuid[] <> '{}'": 20000 + len(known),
	} {
		args := []any{known}
		if !strings.Contains(sql, "$1") {
			args = nil
		}
		var got int
		if err := pool.QueryRow(t.Context(), sql, args...).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", sql, got, err, want)
		}
	}
}
