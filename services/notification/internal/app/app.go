// Package app assembles the notification service: configuration, pools,
// packages, loops, the server, and the order in which they stop. It has no rules
// of its own.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/background"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/ratelimit"
	"fixdesk/pkg/tracing"
	"fixdesk/pkg/tracing/otlp"
	"fixdesk/pkg/version"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/erasure"
	"fixdesk/services/notification/internal/inbound"
	"fixdesk/services/notification/internal/notificationdb"
	"fixdesk/services/notification/internal/request"
	"fixdesk/services/notification/internal/suppression"
)

// The pauses of the circuit breaker of a mail server. A probe is one mail, so that one
// every few seconds costs a server that is down nothing, and mails wait no longer than
// that once it is back.
const (
	circuitBase = time.Second
	circuitCap  = 5 * time.Second

	// startLimit is how long a start waits for a database that is busy.
	startLimit = time.Minute

	partitionInterval = time.Hour
)

// App is the whole service, ready to run.
type App struct {
	config   Config
	log      *slog.Logger
	pool     *pgxpool.Pool
	warmup   *pg.Warmup
	probe    *pg.Probe
	mailer   *email.Pool
	traces   *tracing.Tracing
	bounces  *email.BounceAddresses // nil without a domain for them
	delivery *delivery.Loop
	sending  *delivery.Sending
	inbound  *inbound.Service
	mailIn   *inbound.Listener // nil when it is off
	mailbox  *inbound.Mailbox  // nil when there is none
	limiter  *ratelimit.Limiter
	erasure  *erasure.Service
	jobs     []*background.Loop
	api      *httpapi.API
}

// Clock is the time of day in the database's precision, so that what is
// answered equals what is stored.
func Clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// New opens the database and assembles the service without starting it.
// Call Close when it isn't run.
func New(ctx context.Context, c Config, log *slog.Logger) (*App, error) {
	servers, err := c.servers()
	if err != nil {
		return nil, err
	}
	sender, err := c.sender()
	if err != nil {
		return nil, err
	}
	warmup := pg.NewWarmup(request.Warm(Clock))
	traces, err := otlp.New(ctx, "fixdesk-notification", version.Read().Version, log)
	if err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, c.DatabaseURL.Reveal(), pg.Config{
		Application: "fixdesk-notification", MaxConns: c.DatabasePoolSize, Warmup: warmup, Pooler: c.Pooled(), Traces: traces.Provider(),
	})
	if err != nil {
		traces.Stop(ctx)
		return nil, fmt.Errorf("NOTIFICATION_DATABASE_URL: %w", err)
	}
	a := &App{config: c, log: log, traces: traces, pool: pool, warmup: warmup, probe: pg.NewProbe(pool, time.Now)}
	if err := a.assemble(servers, sender); err != nil {
		pool.Close()
		traces.Stop(ctx)
		return nil, err
	}
	return a, nil
}

func (a *App) assemble(servers []email.Server, sender email.Sender) error {
	c := a.config
	registry := obs.NewRegistry("notification", version.Read().Version)
	pg.RegisterMetrics(registry, a.pool)
	domain := c.mailDomain(sender.From)
	jobMetrics := background.NewMetrics(registry)
	jobMetrics.Database = &background.Dependency{Fails: pg.Away, Suspected: pg.ConnectionLost, Late: pg.Late, Ask: a.probe.Ready, Now: time.Now}
	mail := email.Config{
		Sender: sender, Servers: servers, HELO: cmp.Or(c.SMTPHELO, domain),
		Timeouts: email.Timeouts(c.SMTPTimeout), StopTimeout: c.StopTimeout() / 2,
		MessagesPerConnection: c.SMTPMaxMessages, IdleTime: c.SMTPIdleTime,
		CircuitBase: circuitBase, CircuitCap: circuitCap, PaceStep: time.Second, Now: time.Now,
		OnTrouble: func(server, reason string) {
			a.log.Warn("mail server in trouble, not used for a while", "server", server, "reason", reason)
		},
		OnRecovery: func(server string) { a.log.Info("mail server works again", "server", server) },
		OnThrottle: func(server string, limited bool) {
			a.log.Warn("mail server throttles, the rate of mails is limited", "server", server, "limited", limited)
		},
	}
	a.bounces = sender.Bounces
	a.mailer = email.NewPool(mail)
	a.delivery = delivery.NewLoop(delivery.Config{
		DB: a.pool, Mailer: a.mailer,
		Policy:  delivery.Policy{RetryBase: c.RetryBase, RetryCap: c.RetryCap, GiveUpAfter: c.GiveUpAfter},
		Workers: c.SMTPConnections, Lease: c.Lease, StopTimeout: c.StopTimeout() * 9 / 10,
		Now: time.Now, Logger: a.log, Registry: registry, Metrics: jobMetrics, Traces: a.traces.Provider(),
	})
	a.inbound = inbound.New(inbound.Config{
		DB: a.pool, Rules: inbound.Rules{AuthservID: c.Inbound.AuthservID},
		Reports: inbound.NewDeliveryReports(inbound.DeliveryReportConfig{Bounces: a.bounces, Now: Clock, Logger: a.log, Registry: registry}),
		Now:     Clock, Log: a.log, Registry: registry, Metrics: jobMetrics,
	})
	var err error
	if a.mailIn, err = c.listener(a.inbound, domain, a.bounces); err != nil {
		return err
	}
	if a.mailbox, err = c.mailbox(a.inbound); err != nil {
		return err
	}
	a.limiter = a.newLimiter(registry, jobMetrics)
	a.erasure = erasure.New(a.pool, Clock, a.log, jobMetrics)
	a.jobs = append(append(a.newJobs(registry, jobMetrics), a.limiter.Jobs()...), a.erasure.Loop())
	a.api = a.newAPI(registry)
	a.sending = delivery.NewSending(a.pool, Clock, a.log, a.delivery.Wake)
	delivery.Register(a.api, a.sending, request.Caller)
	erasure.Register(a.api, a.erasure)
	suppression.Register(a.api, suppression.NewService(a.pool, Clock, a.log))
	request.Register(a.api, request.NewService(a.pool, Clock, domain, a.delivery.Wake))
	inbound.Register(a.api, a.inbound)
	return nil
}

// newJobs makes the background jobs beside delivery itself.
func (a *App) newJobs(registry *prometheus.Registry, metrics *background.Metrics) []*background.Loop {
	jobs := delivery.RetentionLoops(delivery.RetentionConfig{
		DB: a.pool, Retention: a.config.Retention, EraseInterval: a.config.PollInterval, Now: Clock,
		Logger: a.log, Registry: registry, Metrics: metrics,
	})
	jobs = append(jobs, a.inbound.Loops(a.config.Inbound.Retention)...)
	return append(jobs, a.partitionLoop(metrics), delivery.GaugeLoop(delivery.GaugeConfig{
		DB: a.pool, Now: Clock, Logger: a.log, Registry: registry, Metrics: metrics,
	}))
}

func (a *App) newAPI(registry *prometheus.Registry) *httpapi.API {
	verifier := jwtauth.NewVerifier(jwtauth.NewRemoteKeys(a.config.JWKSURL, time.Now, a.log), a.config.Issuer, notifyapi.Audience, time.Now)
	return httpapi.New(httpapi.Config{
		Title: "Fixdesk notifications", Version: version.Read().Version,
		Description: apiDescription, Tags: apiTags, Allowed: "Scopes",
		Logger: a.log, Registry: registry, Now: time.Now,
		Authenticate: func(ctx context.Context, bearer string, allow []string, _ string) (context.Context, error) {
			return authenticate(ctx, verifier, bearer, allow)
		},
		Principal: request.Caller, Limit: a.limit,
		Ready: a.ready, Unavailable: pg.Unavailable,
		RequestTimeout: a.config.RequestTimeout, MaxRequests: a.config.MaxRequests, TrustedProxies: a.config.TrustedProxies,
		H2C: a.config.H2C, HideClients: !a.config.LogClientAddress.On(), Tracing: a.traces,
	})
}

var errScope = errs.New(errs.Forbidden, errs.CodeForbidden, "The token lacks the scope for this.")

// authenticate accepts a service token that has one of the scopes.
func authenticate(ctx context.Context, verifier *jwtauth.Verifier, bearer string, allow []string) (context.Context, error) {
	claims, err := verifier.Verify(bearer)
	if err != nil {
		return nil, err
	}
	ctx = request.WithCaller(ctx, claims.Subject)
	if !slices.ContainsFunc(allow, claims.HasScope) {
		return ctx, errScope
	}
	return ctx, nil
}

// ready depends only on the database, since the service accepts requests without
// a mail server. The details describe the mail servers; the reasons are in the
// log.
func (a *App) ready(ctx context.Context) (map[string]string, error) {
	details := map[string]string{"database": "ok"}
	for _, s := range a.mailer.Status() {
		details["smtp "+s.Server] = "ok"
		if s.Open {
			details["smtp "+s.Server] = "in trouble since " + s.Since.UTC().Format(time.RFC3339) +
				", tried again at " + s.RetryAt.UTC().Format(time.RFC3339)
		}
	}
	err := a.probe.Ready(ctx)
	switch {
	case errors.Is(err, pg.ErrReadOnly):
		details["database"] = "takes no writes"
	case err != nil:
		details["database"] = "does not answer"
	}
	return details, err
}

const migrations = "notification/migrations"

// Migrate brings the database to this version's schema, by
// NOTIFICATION_MIGRATE_DATABASE_URL if it is set.
func (a *App) Migrate(ctx context.Context) error {
	pool, err := pg.Open(ctx, a.config.Migrations.URL(a.config.DatabaseURL).Reveal(), pg.Config{Application: "fixdesk-notification-migrate", MaxConns: 1})
	if err != nil {
		return fmt.Errorf("NOTIFICATION_MIGRATE_DATABASE_URL: %w", err)
	}
	defer pg.Close(pool, a.config.CloseTimeout())
	return pg.Migrate(ctx, pool, db.Notification, migrations, a.log)
}

// AfterRestore migrates the database and holds back every mail that was due before a
// moment and is not finished, until POST /v1/sending/release: it may have been sent
// after the moment to which the database was restored. The service must not run.
func (a *App) AfterRestore(ctx context.Context, before time.Time) (held int64, err error) {
	if err := a.ensureSchema(ctx); err != nil {
		return 0, err
	}
	return a.sending.Hold(ctx, before)
}

// ensureSchema migrates the database, or waits until another process has, and makes the
// partitions that it needs for the months ahead.
func (a *App) ensureSchema(ctx context.Context) error {
	migrate := a.Migrate
	if !a.config.Migrate.On() {
		migrate = func(ctx context.Context) error {
			return pg.AwaitMigrations(ctx, a.pool, db.Notification, migrations, a.log)
		}
	}
	if err := migrate(ctx); err != nil {
		return err
	}
	return pg.RetryUnavailable(ctx, startLimit, a.makePartitions)
}

// makePartitions makes the partitions of the months ahead.
func (a *App) makePartitions(ctx context.Context) error {
	for _, p := range []pg.Partitions{delivery.AttemptPartitions(a.pool, Clock), inbound.Partitions(a.pool, Clock)} {
		if err := p.Prepare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// partitionLoop makes partitions ahead, on one replica at a time.
func (a *App) partitionLoop(metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "partitions", Interval: partitionInterval, Jitter: partitionInterval / 10, Timeout: partitionInterval,
		RunOnce: background.All(a.makePartitions), Exclusive: pg.Exclusive(a.pool), Log: a.log, Metrics: metrics,
	})
}

// prepare migrates the database, reads the secret of the bounce addresses, and fills
// the pool with warm connections.
func (a *App) prepare(ctx context.Context) error {
	if err := a.ensureSchema(ctx); err != nil {
		return err
	}
	if err := a.readBounceSecret(ctx); err != nil {
		return err
	}
	return pg.RetryUnavailable(ctx, startLimit, func(ctx context.Context) error {
		if err := pg.CheckLimits(ctx, a.pool); err != nil {
			return err
		}
		return a.warmup.Fill(ctx, a.pool, a.log)
	})
}

// readBounceSecret reads the secret of the bounce addresses, which is made with the
// first start when none is configured.
func (a *App) readBounceSecret(ctx context.Context) error {
	if a.bounces == nil || a.bounces.Secret != "" {
		return nil
	}
	secret, err := storedSecret(ctx, a.pool, "bounce addresses")
	if err != nil {
		return fmt.Errorf("secret of bounce addresses: %w", err)
	}
	a.bounces.Secret = string(secret)
	return nil
}

// storedSecret reads a secret that all replicas share, and makes it if it is
// missing.
func storedSecret(ctx context.Context, pool *pgxpool.Pool, name string) ([]byte, error) {
	made := make([]byte, sha256.Size)
	_, _ = rand.Read(made) // it never fails
	q := notificationdb.New(pool)
	if err := q.SecretInsert(ctx, notificationdb.SecretInsertParams{Name: name, Value: made}); err != nil {
		return nil, err
	}
	return q.SecretGet(ctx, name)
}

// Handler serves the API.
func (a *App) Handler() http.Handler { return a.api.Handler() }

// OpsHandler serves the operations listener.
func (a *App) OpsHandler() http.Handler { return a.api.OpsHandler() }

// WriteOpenAPI writes the OpenAPI document. It needs no database.
func (a *App) WriteOpenAPI(w io.Writer) error { return a.api.WriteOpenAPI(w) }

// Close closes the connections, those to the database within a bounded time.
func (a *App) Close() {
	a.mailer.Close()
	pg.Close(a.pool, a.config.CloseTimeout())
	a.traces.Stop(context.Background())
}

// Run serves until ctx ends. Before the database is migrated, the process is
// alive and not ready. The whole stop, with the mails on the wire and the pool,
// takes at most DrainDelay and ShutdownTimeout.
func (a *App) Run(ctx context.Context) error {
	stopOps, err := a.api.ServeOps(ctx, "NOTIFICATION_OPS_ADDR", string(a.config.OpsAddr))
	if err != nil {
		a.Close()
		return err
	}
	defer stopOps()
	defer a.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.config.Addr)
	if err != nil {
		return fmt.Errorf("NOTIFICATION_ADDR: %w", err)
	}
	var mailIn net.Listener
	if a.mailIn != nil {
		if mailIn, err = a.listenInbound(ctx); err != nil {
			_ = listener.Close()
			return err
		}
		defer func() { _ = mailIn.Close() }()
	}
	schedule := delivery.Schedule{PollInterval: a.config.PollInterval}
	jobs := []func(context.Context) error{
		a.delivery.Run,
		func(ctx context.Context) error { return a.delivery.RunSchedule(ctx, schedule) },
	}
	for _, job := range a.jobs {
		jobs = append(jobs, job.Run)
	}
	if a.mailbox != nil {
		jobs = append(jobs, a.mailbox.Run)
	}
	if mailIn != nil {
		jobs = append(jobs, func(ctx context.Context) error { return a.mailIn.Serve(ctx, mailIn) })
	}
	err = a.api.Run(ctx, listener, httpapi.Process{
		Prepare: a.prepare,
		Started: func() {
			build := version.Read()
			a.log.InfoContext(ctx, "notification started", "version", build.Version, "revision", build.Revision, "address", listener.Addr().String(),
				"inbound", addressOf(mailIn))
		},
		Jobs:       jobs,
		DrainDelay: a.config.DrainDelay, StopWithin: a.config.StopTimeout(),
	})
	a.log.InfoContext(ctx, "notification stopped")
	return err
}
