package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/db"
	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/notification/internal/app"
)

// TestMain runs more tests at a time than there are cores, since they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

// issuer plays the CRM: it signs tokens and publishes its keys.
type issuer struct {
	keys   *jwtauth.KeySet
	signer *jwtauth.Signer
	url    string
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	keys, err := jwtauth.NewKeySet()
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := keys.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(jwks)
	}))
	t.Cleanup(srv.Close)
	return &issuer{keys: keys, signer: jwtauth.NewSigner(func() *jwtauth.KeySet { return keys }), url: srv.URL}
}

func (i *issuer) token(t testing.TB, audience, subject string, scopes ...string) string {
	t.Helper()
	now := time.Now()
	token, err := i.signer.Sign(jwtauth.Claims{
		Issuer: "fixdesk", Subject: subject, Audience: audience, ID: uuid.NewString(),
		Scope: scopes, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

var allScopes = notifyapi.Scopes

func (i *issuer) client(t testing.TB, url string) *notifyapi.Client {
	token := i.token(t, notifyapi.Audience, "test", allScopes...)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &notifyapi.Client{
		BaseURL: url, HTTPClient: &http.Client{Transport: transport, Timeout: waitLimit},
		Token: func(context.Context) (string, error) { return token, nil },
	}
}

// testConfig has short retries and poll intervals, and few connections, each of which
// is warmed at the start.
func testConfig(databaseURL, jwksURL string, smtp ...string) app.Config {
	return app.Config{
		Service: config.Service{
			Env: config.Development, LogLevel: slog.LevelInfo, LogFormat: obs.JSON,
			RequestTimeout: time.Minute, MaxRequests: 64, ShutdownTimeout: time.Minute,
		},
		Addr: "127.0.0.1:0", DatabaseURL: config.NewSecret(databaseURL), DatabasePoolSize: 4,
		JWKSURL: jwksURL, Issuer: "fixdesk", SMTPURL: config.NewSecret("smtp://" + strings.Join(smtp, ",smtp://")),
		SMTPConnections: 4, SMTPTimeout: smtpTimeouts(time.Minute), SMTPMaxMessages: 100, SMTPIdleTime: 5 * time.Second,
		MailFrom: "Fixdesk <fixdesk@example.com>", RetryBase: 20 * time.Millisecond, RetryCap: 100 * time.Millisecond,
		GiveUpAfter: time.Hour, PollInterval: 100 * time.Millisecond, Lease: time.Minute,
	}
}

// smtpTimeouts returns every phase the same time.
func smtpTimeouts(d time.Duration) app.SMTPTimeouts {
	return app.SMTPTimeouts{Connect: d, Greeting: d, Mail: d, Rcpt: d, Data: d, Block: d, Dot: d}
}

// logBuffer is a log that can be searched and that reports where the service
// listens.
type logBuffer struct {
	mu      sync.Mutex
	text    strings.Builder
	rest    []byte // of a line that isn't complete yet
	address chan string
	inbound string // where mail is taken; set before address is sent
}

func newLogBuffer() *logBuffer { return &logBuffer{address: make(chan string, 1)} }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	l.rest = append(l.rest, p...)
	for {
		text, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		var line struct{ Msg, Address, Inbound string }
		if json.Unmarshal(text, &line) == nil && line.Msg == "notification started" {
			l.inbound = line.Inbound
			l.address <- line.Address
		}
	}
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) url(t testing.TB) string {
	t.Helper()
	select {
	case address := <-l.address:
		return "http://" + address
	case <-time.After(waitLimit):
		t.Fatalf("the service did not start:\n%s", l)
		return ""
	}
}

// service is a running replica.
type service struct {
	*notifyapi.Client
	log  *logBuffer
	ops  http.Handler
	stop func() error
}

func start(t testing.TB, i *issuer, c app.Config) *service {
	t.Helper()
	log := newLogBuffer()
	a, err := app.New(t.Context(), c, obs.NewLogger(log, c.LogLevel, c.LogFormat))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	byTest := false // then the test checks the error
	t.Cleanup(func() {
		if err := stop(); err != nil && !byTest {
			t.Errorf("the service ended with %v", err)
		}
	})
	client := i.client(t, log.url(t))
	awaitKeys(t, client)
	return &service{Client: client, log: log, ops: a.OpsHandler(), stop: func() error { byTest = true; return stop() }}
}

// awaitKeys waits until the service has the issuer's keys. On a busy machine fetching
// them can take longer than the service waits.
func awaitKeys(t testing.TB, c *notifyapi.Client) {
	t.Helper()
	eventually(t, "the service has the issuer's keys", func() bool {
		_, err := c.Get(context.Background(), uuid.Max)
		answer := (*notifyapi.Error)(nil)
		return !errors.As(err, &answer) || !strings.Contains(answer.Detail, "keys")
	})
}

// inbound is the address at which the service takes mail.
func (s *service) inbound(t testing.TB) string {
	t.Helper()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.inbound
}

func newDatabase(t testing.TB) string {
	return pgtest.NewPatientURL(t, db.Notification, "notification/migrations")
}

func newMail(recipients ...string) notifyapi.Request {
	return notifyapi.Request{Subject: "Ticket #1", Text: "Hello", Requester: "test", Recipients: recipients}
}

func numbered(name string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = name + strconv.Itoa(i) + "@example.org"
	}
	return list
}

// until waits until the notification has the status.
func (s *service) until(t testing.TB, id uuid.UUID, status notifyapi.Status, limit time.Duration) notifyapi.Notification {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		n, err := s.Get(context.Background(), id)
		if err == nil && n.Status == status {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("status %s, want %s (%v) %+v", n.Status, status, err, n.Counts)
		}
		pause()
	}
}

// waitLimit is far longer than any awaited condition takes on a busy machine.
const waitLimit = 4 * time.Minute

// pause is the interval at which a condition is checked.
func pause() { <-time.After(20 * time.Millisecond) }

func startSMTP(t testing.TB, hook func(smtptest.Event) string) *smtptest.Server {
	return (&smtptest.Server{Hook: hook}).Start(t, "")
}
