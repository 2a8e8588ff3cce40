package delivery

import (
	"log/slog"
	"testing"
	"time"
)

func TestNoReplicaClaimsMailsWhileSendingIsPaused(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 2)
	woken := 0
	sending := NewSending(l.DB, c.Now, slog.New(slog.DiscardHandler), func(bool) { woken++ })
	mustClaim(t, l, 1, 1) // the control
	state, err := sending.Pause(t.Context(), "ops")
	if err != nil || state.PausedAt == nil || state.PausedBy != "ops" {
		t.Errorf("%+v, %v", state, err)
	}
	mustClaim(t, l, 1, 0)
	c.now = c.now.Add(time.Second)
	if again, err := sending.Pause(t.Context(), "another"); err != nil || again.PausedBy != "ops" || !again.PausedAt.Equal(*state.PausedAt) {
		t.Errorf("a second pause: %+v, %v", again, err)
	}
	if state, err := sending.Resume(t.Context(), "ops"); err != nil || state.PausedAt != nil || woken != 1 {
		t.Errorf("%+v, woken %d times, %v", state, woken, err)
	}
	mustClaim(t, l, 1, 1)
}

func TestMailsFromBeforeARestoreAreHeldUntilReleased(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	restored := c.now
	queued := seed(t, l.DB, c.now, restored.Add(-time.Hour), 2)
	leased := seed(t, l.DB, c.now, restored.Add(-2*time.Hour), 1)
	mustClaim(t, l, 1, 1) // as when the backup was made: it may have been sent since
	sending := NewSending(l.DB, c.Now, slog.New(slog.DiscardHandler), func(bool) {})
	if held, err := sending.Hold(t.Context(), restored); err != nil || held != 3 {
		t.Fatalf("%d are held: %v", held, err)
	}
	if held, err := sending.Hold(t.Context(), restored); err != nil || held != 0 {
		t.Errorf("once more: %d are held: %v", held, err)
	}
	newer := seed(t, l.DB, c.now, restored, 1)
	c.now = c.now.Add(48 * time.Hour)
	promote := func() {
		t.Helper()
		if err := l.queueDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	promote()
	if tasks := mustClaim(t, l, 10, 1); tasks[0].notificationID != newer { // the control: it is sent
		t.Errorf("claimed %v", tasks[0].notificationID)
	}
	state, err := sending.Release(t.Context(), "ops")
	if err != nil || state.Held != 0 {
		t.Fatalf("%+v, %v", state, err)
	}
	promote()
	got := map[any]int{}
	for _, task := range mustClaim(t, l, 10, 3) {
		got[task.notificationID]++
		if since := c.now.Sub(task.history.DueAt); since != 0 {
			t.Errorf("giving up counts from %v ago", since)
		}
	}
	if got[queued] != 2 || got[leased] != 1 {
		t.Errorf("claimed %v", got)
	}
}
