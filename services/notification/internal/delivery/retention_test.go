package delivery

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/notificationdb"
)

const day = 24 * time.Hour

func newTestRetention(l *Loop, c *clock) *retention {
	return newRetention(RetentionConfig{
		DB: l.DB, Retention: 90 * day, Now: c.Now, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
}

// seedEnded stores a notification whose recipients ended at the given time.
func seedEnded(t *testing.T, l *Loop, created, ended time.Time, recipients int) uuid.UUID {
	t.Helper()
	id := seed(t, l.DB, created, created, recipients)
	_, err := l.DB.Exec(t.Context(), `update recipients set status = 'sent', queue_at = null, finished_at = $2
		where notification_id = $1`, id, ended)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (l *Loop) exists(t *testing.T, id uuid.UUID) bool {
	t.Helper()
	return text(t, l.DB, "select exists(select 1 from notifications where id = $1)::text", id) == "true"
}

func TestRetentionCountsFromTheEndOfANotification(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	old := c.now.Add(-100 * day)
	ended := seedEnded(t, l, old, old, 3) // the control: created and ended long ago
	justEnded := seedEnded(t, l, old, c.now.Add(-day), 1)
	oneLate := seedEnded(t, l, old, old, 2)
	if _, err := l.DB.Exec(t.Context(), "update recipients set finished_at = $2 where notification_id = $1 and ordinal = 1", oneLate, c.now); err != nil {
		t.Fatal(err)
	}
	unfinished := seed(t, l.DB, old, c.now.Add(time.Hour), 1)
	young := seed(t, l.DB, c.now.Add(-time.Hour), c.now.Add(time.Hour), 1)
	r := newTestRetention(l, c)
	if err := r.purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.exists(t, ended) {
		t.Error("what ended 100 days ago is still there")
	}
	for name, id := range map[string]uuid.UUID{
		"just ended": justEnded, "one recipient just ended": oneLate, "unfinished": unfinished, "young": young,
	} {
		if !l.exists(t, id) {
			t.Errorf("%s: purged", name)
		}
	}
	if n := testutil.ToFloat64(r.purged); n != 1 {
		t.Errorf("counted %v", n)
	}
	c.now = c.now.Add(91 * day)
	if err := r.purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.exists(t, justEnded) || l.exists(t, oneLate) || !l.exists(t, unfinished) {
		t.Error("91 days later something else is left than what is unfinished")
	}
}

func TestPurgeThatDoesNotFitTheStatementTimeoutMakesProgress(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	for range 30 {
		seedEnded(t, l, c.now.Add(-100*day), c.now.Add(-99*day), 1)
	}
	// Simulates a slow disk: a statement that deletes more than eight
	// notifications fails like one that the statement timeout ends.
	_, err := l.DB.Exec(t.Context(), `
		create function timeout() returns trigger language plpgsql as $$ begin
			if (select count(*) from gone) > 8 then raise exception using errcode = 'query_canceled'; end if;
			return null;
		end $$;
		create trigger timeout after delete on notifications referencing old table as gone
			for each statement execute function timeout();`)
	if err != nil {
		t.Fatal(err)
	}
	// The control: the whole batch in one statement never succeeds.
	if _, err := notificationdb.New(l.DB).RetentionPurge(t.Context(), notificationdb.RetentionPurgeParams{
		BeforeID: FirstID(c.now), Max: purgeBatch, EndedBefore: c.now,
	}); err == nil {
		t.Fatal("30 deletions fit in one statement")
	}
	if err := newTestRetention(l, c).purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := text(t, l.DB, "select count(*)::text from notifications"); n != "0" {
		t.Errorf("%s are left", n)
	}
}

func TestContentOfSensitiveNotificationsIsErasedWhenTheyEnd(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	ended := seedEnded(t, l, c.now, c.now, 2)
	waiting := seed(t, l.DB, c.now, c.now.Add(time.Hour), 1)
	ordinary := seedEnded(t, l, c.now, c.now, 1)
	if _, err := l.DB.Exec(t.Context(), "update notifications set sensitive = id <> $1, html = 'h'", ordinary); err != nil {
		t.Fatal(err)
	}
	r := newTestRetention(l, c)
	content := func(id uuid.UUID) string {
		return text(t, l.DB, "select text || coalesce(html, '') from notifications where id = $1", id)
	}
	for range 2 {
		if err := r.erase(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if content(ended) != "" || content(waiting) != "th" || content(ordinary) != "th" {
			t.Errorf("ended %q, waiting %q, ordinary %q", content(ended), content(waiting), content(ordinary))
		}
	}
	if n := testutil.ToFloat64(r.erased); n != 1 {
		t.Errorf("counted %v", n)
	}
	c.now = c.now.Add(2 * time.Hour)
	if err := l.queueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	tasks := mustClaim(t, l, 1, 1)
	if tasks[0].mail.Text != "t" {
		t.Errorf("the mail that waited says %q", tasks[0].mail.Text)
	}
	if _, err := l.store.settle(t.Context(), l.Policy, result(tasks, notifyapi.OutcomePermanent, 550, c.now)); err != nil {
		t.Fatal(err)
	}
	if err := r.erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if content(waiting) != "" {
		t.Error("the content of a failed one is still there")
	}
}

func TestPurgedNotificationLeavesNoRecipientAndItsAttemptsToTheirMonth(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	old := c.now.Add(-100 * day)
	purged, kept := seedEnded(t, l, old, old, 3), seedEnded(t, l, old, c.now, 2)
	if _, err := l.DB.Exec(t.Context(), "insert into attempts select id, 1, now(), 'mx', 250, 'ok', 'sent' from recipients"); err != nil {
		t.Fatal(err)
	}
	if err := newTestRetention(l, c).purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.exists(t, purged) || !l.exists(t, kept) {
		t.Fatal("purged what should be kept, or nothing")
	}
	const left = `select (select count(*) from recipients where notification_id = $1) || ' ' || (select count(*) from recipients)
		|| ' ' || (select count(*) from attempts)`
	if got := text(t, l.DB, left, purged); got != "0 2 5" {
		t.Errorf("recipients of the purged one, of all, and attempts: %s, want 0 2 5", got)
	}
}
