package inbound

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/background"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/delivery"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func newService(t testing.TB) *Service {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), pgtest.NewPatientURL(t, db.Notification, "notification/migrations"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	registry := prometheus.NewRegistry()
	return New(Config{
		DB: pool, Now: func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
		Log: slog.New(slog.DiscardHandler), Registry: registry, Metrics: background.NewMetrics(registry),
	})
}

// receive stores a mail of about the given size and reads it.
func receive(t testing.TB, s *Service, id string, size int) uuid.UUID {
	t.Helper()
	r, err := s.Receive(t.Context(), Arrival{Source: notifyapi.InboundSMTP, From: "a@x", To: []string{"s@desk.test"}},
		strings.NewReader("Message-ID: <"+id+">\r\n\r\n"+strings.Repeat("x", size)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.readOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func count(t testing.TB, s *Service, sql string) (n int) {
	t.Helper()
	if err := s.DB.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPurgeDeletesOldMailThatIsAcknowledgedAndBytesOfMailThatWasNeverStored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	waits, done := receive(t, s, "waits@x", 600<<10), receive(t, s, "done@x", 600<<10)
	if _, err := s.Ack(t.Context(), done, "ignored", nil); err != nil {
		t.Fatal(err)
	}
	now := s.Now()
	if _, err := s.DB.Exec(t.Context(), "insert into inbound_raw (mail_id, ordinal, data) values ($1, 0, 'old'), ($2, 0, 'on the wire')",
		delivery.FirstID(now.Add(-48*time.Hour)), delivery.FirstID(now.Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after         time.Duration
		mails, pieces int
	}{
		{0, 2, 7},              // the bytes of the mail that is on the wire may be stored yet
		{25 * time.Hour, 2, 6}, // before the retention
		{73 * time.Hour, 1, 6}, // the mail that is done is gone, and its bytes go with their month
	} {
		s.Config.Now = func() time.Time { return now.Add(step.after) }
		if err := s.purge(t.Context(), 72*time.Hour); err != nil {
			t.Fatal(err)
		}
		if mails, pieces := count(t, s, "select count(*) from inbound_mails"), count(t, s, "select count(*) from inbound_raw"); mails != step.mails || pieces != step.pieces {
			t.Errorf("after %s: %d mails, %d pieces, want %d and %d", step.after, mails, pieces, step.mails, step.pieces)
		}
	}
	if _, err := s.Get(t.Context(), waits); err != nil {
		t.Errorf("a mail that waits: %v", err)
	}
}

// A mail whose reading ends the process each time is left unparsed after some tries,
// and delays no other.
func TestMailThatCannotBeReadGoesToItsConsumerUnparsed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.Reports = panicking{}
	bad := receiveAnyway(t, s, "bad@x")
	for range maxTries {
		_, _ = s.readOnce(t.Context())
	}
	m, err := s.Get(t.Context(), bad)
	if err != nil || m.Status != notifyapi.InboundPending || m.Content.Unparsed == nil || m.Content.MessageID != "bad@x" {
		t.Errorf("%v %+v", err, m)
	}
	s.Reports = nil
	good := receive(t, s, "good@x", 10)
	if m, err := s.Get(t.Context(), good); err != nil || m.Status != notifyapi.InboundPending || m.Content.Unparsed != nil {
		t.Errorf("%v %+v", err, m)
	}
}

// panicking stands for a defect in what reads mails.
type panicking struct{}

func (panicking) Apply(context.Context, pgx.Tx, []string, []byte) (bool, error) { panic("defect") }

func receiveAnyway(t testing.TB, s *Service, id string) uuid.UUID {
	t.Helper()
	r, err := s.Receive(t.Context(), Arrival{Source: notifyapi.InboundSMTP, To: []string{"s@desk.test"}}, strings.NewReader("Message-ID: <"+id+">\r\n\r\nx"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.readOnce(t.Context())
	return r.ID
}
