package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

func TestSendingIsPausedAndResumedByManagersAlone(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	reader := i.client(t, s.BaseURL)
	token := i.token(t, notifyapi.Audience, "test", notifyapi.ScopeRead)
	reader.Token = func(context.Context) (string, error) { return token, nil }
	var refused *notifyapi.Error
	if _, err := reader.PauseSending(t.Context()); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("a reader pauses: %v", err)
	}
	state, err := s.PauseSending(t.Context())
	if err != nil || !state.Paused || state.PausedAt == nil || state.PausedBy == nil {
		t.Fatalf("%+v, %v", state, err)
	}
	n, err := s.Create(t.Context(), "k", newMail("anna@example.org"))
	if err != nil || n.Status != notifyapi.StatusQueued {
		t.Fatalf("a notification is accepted as before: %+v, %v", n, err)
	}
	if state, err := reader.Sending(t.Context()); err != nil || !state.Paused {
		t.Errorf("%+v, %v", state, err)
	}
	if smtp.Count("") != 0 {
		t.Error("a mail was sent")
	}
	if state, err := s.ResumeSending(t.Context()); err != nil || state.Paused || state.PausedAt != nil {
		t.Errorf("%+v, %v", state, err)
	}
	s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
}

// backup copies a database that nobody uses.
func backup(t *testing.T, url string) (copied string) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	name, copied := config.Database, config.Database+"_backup"
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	sql := "create database " + pgx.Identifier{copied}.Sanitize() + " template " + pgx.Identifier{name}.Sanitize()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(url, "/"+name+"?", "/"+copied+"?", 1)
}

func TestMailsOfARestoredDatabaseAreHeldUntilReleased(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	lost := newDatabase(t)
	s := start(t, i, testConfig(lost, i.url, smtp.Addr()))
	if _, err := s.PauseSending(t.Context()); err != nil { // so that the backup has a mail that is to be sent
		t.Fatal(err)
	}
	old, err := s.Create(t.Context(), "old", newMail("old@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	restored := backup(t, lost)
	s = start(t, i, testConfig(lost, i.url, smtp.Addr()))
	if _, err := s.ResumeSending(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until(t, old.ID, notifyapi.StatusCompleted, waitLimit) // after the backup
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	config := testConfig(restored, i.url, smtp.Addr())
	a, err := app.New(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	held, err := a.AfterRestore(t.Context(), app.Clock())
	a.Close()
	if err != nil || held != 1 {
		t.Fatalf("%d are held: %v", held, err)
	}
	s = start(t, i, config)
	if _, err := s.ResumeSending(t.Context()); err != nil { // the pause is restored, too
		t.Fatal(err)
	}
	newer, err := s.Create(t.Context(), "newer", newMail("newer@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, newer.ID, notifyapi.StatusCompleted, waitLimit)
	if n := smtp.Count("old@example.org"); n != 1 {
		t.Errorf("the mail that was sent after the backup was sent %d times", n)
	}
	if state, err := s.Sending(t.Context()); err != nil || state.Held != 1 {
		t.Errorf("%+v, %v", state, err)
	}
	if state, err := s.ReleaseHeld(t.Context()); err != nil || state.Held != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	s.until(t, old.ID, notifyapi.StatusCompleted, waitLimit)
	if n := smtp.Count("old@example.org"); n != 2 { // the control: it was held, not lost
		t.Errorf("after its release it was sent %d times", n)
	}
}
