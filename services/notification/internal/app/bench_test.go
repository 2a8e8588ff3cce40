package app_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/smtptest"
)

// startSink runs Postfix's smtp-sink on a free port.
func startSink(b *testing.B) string {
	b.Helper()
	path, err := exec.LookPath("smtp-sink")
	if err != nil {
		b.Fatal("smtp-sink is missing: apt-get install postfix")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	args := []string{address, "1000"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	sink := exec.Command(path, args...)
	if err := sink.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = sink.Process.Kill()
		_ = sink.Wait()
	})
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		pause()
	}
	b.Fatal("smtp-sink does not answer")
	return ""
}

// BenchmarkMailsPerSecond compares the whole delivery, with durable state for
// each recipient, with smtp-source into the same smtp-sink, which stores nothing.
// WAITING sets how many other recipients are waiting.
func BenchmarkMailsPerSecond(b *testing.B) {
	const mails = 20000
	for b.Loop() {
		sink := startSink(b)
		source := exec.Command("smtp-source", "-d", "-s", "10", "-m", strconv.Itoa(mails), "-l", "600", sink)
		begin := time.Now()
		if out, err := source.CombinedOutput(); err != nil {
			b.Fatalf("smtp-source: %v %s", err, out)
		}
		yardstick := float64(mails) / time.Since(begin).Seconds()

		url := newDatabase(b)
		pool, err := pgxpool.New(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		waiting, _ := strconv.Atoi(os.Getenv("WAITING"))
		fill(b, pool, mails+waiting)
		i := newIssuer(b)
		c := testConfig(url, i.url, sink)
		c.SMTPConnections, c.Lease, c.PollInterval = 10, time.Minute, 5*time.Second
		begin = time.Now()
		s := start(b, i, c)
		for n := 0; n < mails; {
			if err := pool.QueryRow(b.Context(), "select count(*) from attempts").Scan(&n); err != nil {
				b.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
		}
		rate := float64(mails) / time.Since(begin).Seconds()
		b.ReportMetric(yardstick, "smtp-source/s")
		b.ReportMetric(rate, "mails/s")
		b.ReportMetric(rate/yardstick, "ratio")
		if err := s.stop(); err != nil {
			b.Fatal(err)
		}
		pool.Close()
	}
}

// fill stores notifications of up to 1,000 recipients each, in SQL.
func fill(b *testing.B, pool *pgxpool.Pool, recipients int) {
	b.Helper()
	ctx := context.Background()
	for done := 0; done < recipients; done += 1000 {
		n := min(1000, recipients-done)
		id := uuid.Must(uuid.NewV7())
		_, err := pool.Exec(ctx, `insert into notifications (id, caller, idempotency_key, body_hash, subject, text, bytes, requester,
			request_id, message_domain, recipient_count, created_at)
			values ($1, 'bench', $2, decode(repeat('00', 32), 'hex'), 'Ticket #4711 was updated', repeat('A line of text, as mails have. ', 20), 600, 'bench', '', 'example.com', $3, now())`,
			id, id.String(), n)
		if err != nil {
			b.Fatal(err)
		}
		_, err = pool.Exec(ctx, `insert into recipients (id, notification_id, ordinal, email, enqueued_at, next_attempt_at, queue_at)
			select gen_random_uuid(), $1, i, 'user' || i || '@example.org', now(), now(), now() + i / 20 * interval '2 s' + i * interval '1 us' from generate_series(0, $2::int - 1) i`, id, n)
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := pool.Exec(ctx, "vacuum analyze recipients"); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCreateToAccepted measures from the request to the mail server's
// 250, one at a time.
func BenchmarkCreateToAccepted(b *testing.B) {
	smtp := (&smtptest.Server{}).Start(b, "")
	i := newIssuer(b)
	c := testConfig(newDatabase(b), i.url, smtp.Addr())
	c.PollInterval = 5 * time.Second
	s := start(b, i, c)
	var took []time.Duration
	for n := 1; b.Loop(); n++ {
		begin := time.Now()
		if _, err := s.Create(context.Background(), fmt.Sprint("k", n), newMail("anna@example.org")); err != nil {
			b.Fatal(err)
		}
		smtp.Wait(b, n, 10*time.Second)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
