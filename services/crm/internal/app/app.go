// Package app assembles the CRM: configuration, pool, packages, loops, the
// server, and the order in which they stop. It has no rules of its own.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/background"
	"fixdesk/pkg/config"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/ratelimit"
	"fixdesk/pkg/tracing"
	"fixdesk/pkg/tracing/otlp"
	"fixdesk/pkg/version"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/console"
	"fixdesk/services/crm/internal/eventstream"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/inbound"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/operations"
	"fixdesk/services/crm/internal/outbox"
	"fixdesk/services/crm/internal/preference"
	"fixdesk/services/crm/internal/reports"
	"fixdesk/services/crm/internal/ticket"
	"fixdesk/services/crm/internal/ticketlist"
)

// The intervals of the loops, for work without a wake-up.
const (
	backlogInterval = time.Second
	purgeInterval   = 10 * time.Minute

	// startLimit is how long a start waits for a database that is busy.
	startLimit = time.Minute

	// notificationTimeout limits a call of the notification service by a request.
	notificationTimeout = 10 * time.Second
)

// App is the whole service, ready to run.
type App struct {
	config    Config
	addresses inbound.Addresses
	log       *slog.Logger
	traces    *tracing.Tracing
	pool      *pgxpool.Pool
	warmup    *pg.Warmup
	probe     *pg.Probe
	api       *httpapi.API
	limiter   *ratelimit.Limiter
	users     *identity.Service
	tickets   *ticket.Service
	files     *attachment.Service
	loops     []func(context.Context) error
}

// Clock is the time of day in the database's precision, so that what is
// answered equals what is stored.
func Clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Option changes the service for tests and for commands.
type Option func(*parts)

type parts struct {
	now      func() time.Time
	hashCost identity.HashCost
	keys     func(Config, func() time.Time, *slog.Logger) (keySource, error)
}

// WithoutKeys is for commands that use only the database and need no key file.
func WithoutKeys() Option { return func(p *parts) { p.keys = freshKeys } }

// WithHashCost makes password hashing cheaper for tests.
func WithHashCost(c identity.HashCost) Option { return func(p *parts) { p.hashCost = c } }

// WithClock sets the time of day for tests.
func WithClock(now func() time.Time) Option { return func(p *parts) { p.now = now } }

// New opens the database and assembles the service without starting it.
// Call Close when it isn't run.
func New(ctx context.Context, c Config, log *slog.Logger, options ...Option) (*App, error) {
	p := parts{now: Clock, hashCost: identity.DefaultHashCost, keys: openKeys}
	for _, o := range options {
		o(&p)
	}
	keys, err := p.keys(c, p.now, log)
	if err != nil {
		return nil, err
	}
	warmup := pg.NewWarmup(identity.Warm, ticket.Warm)
	traces, err := otlp.New(ctx, "fixdesk-crm", version.Read().Version, log)
	if err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, c.DatabaseURL.Reveal(), pg.Config{
		Application: "fixdesk-crm", MaxConns: c.DatabasePoolSize, Warmup: warmup, Pooler: c.Pooled(), Traces: traces.Provider(),
	})
	if err != nil {
		traces.Stop(ctx)
		return nil, fmt.Errorf("CRM_DATABASE_URL: %w", err)
	}
	a := &App{config: c, log: log, traces: traces, pool: pool, warmup: warmup, probe: pg.NewProbe(pool, time.Now)}
	a.assemble(p, keys)
	return a, nil
}

func (a *App) assemble(p parts, keys keySource) {
	registry := obs.NewRegistry("crm", version.Read().Version)
	pg.RegisterMetrics(registry, a.pool)
	jobs := background.NewMetrics(registry)
	jobs.Database = &background.Dependency{Fails: pg.Away, Suspected: pg.ConnectionLost, Late: pg.Late, Ask: a.probe.Ready, Now: time.Now}
	signer := jwtauth.NewSigner(keys.set)
	client := a.notificationClient(serviceToken(signer, a.config.Issuer, p.now))
	a.addresses = a.config.addresses()
	dispatcher := outbox.NewDispatcher(outbox.Config{
		Pool: a.pool, Client: client, Links: a.links(), Files: a.filesForMail,
		Interval: a.config.RelayInterval, Logger: a.log, Registry: registry, Metrics: jobs, Tracing: a.traces,
	})
	check := func(ctx context.Context, p identity.Principal) error { return a.users.Check(ctx, p) }
	stream := eventstream.NewService(eventstream.Config{
		Pool: a.pool, Now: p.now, Log: a.log, Registry: registry, Jobs: jobs,
		Check: check,
	})
	wake := func() { dispatcher.Wake(); stream.Wake() }
	backlog := a.assignmentBacklog(p, wake, jobs)
	reads := pg.NewShared(a.pool, p.now)
	a.users = identity.New(identity.Config{
		Pool: a.pool, Reads: reads, Verified: httpapi.ReadAhead, Keys: keys.set, Signer: signer, Verifier: jwtauth.NewVerifier(keys.source, a.config.Issuer, identity.Audience, p.now),
		URLVerifier: jwtauth.NewVerifier(keys.source, a.config.Issuer, identity.URLAudience, p.now),
		Issuer:      a.config.Issuer, HashCost: p.hashCost, Now: p.now, SendVerification: a.config.requiresVerifiedEmail(),
		AuditRetention: a.config.AuditRetention, Wake: func() { wake(); backlog.Wake() }, Log: a.log,
	})
	a.tickets = ticket.NewService(ticket.Config{
		Pool: a.pool, Reads: reads, Mails: client, Now: p.now, Changed: wake,
		ReopenWithin: a.config.ReopenWithin, PerHour: a.config.TicketsPerHour,
	})
	preferences := preference.NewService(preference.Config{Pool: a.pool, Now: p.now, Wake: dispatcher.Wake, Log: a.log})
	a.files = a.newAttachments(p)
	mails := inbound.NewService(inbound.Config{
		Pool: a.pool, Client: inboundClient(client), Tickets: a.tickets, Files: a.files, Addresses: a.addresses, Now: p.now, Log: a.log, Registry: registry,
	})
	lists := ticketlist.NewService(a.pool, reads, p.now, check)
	figures := reports.NewService(a.pool, p.now)
	a.loops = []func(context.Context) error{
		dispatcher.Run, backlog.Run, stream.Run, lists.FoldLoop(a.log, jobs).Run, lists.CountsLoop(a.log, jobs).Run, figures.DaysLoop(a.log, jobs).Run, a.keyPurge(jobs).Run,
		preferences.DigestLoop(jobs).Run,
	}
	if a.addresses.Set() {
		a.runAll(mails.Jobs(jobs))
	}
	a.runAll([]*background.Loop{mails.ErasureJob(jobs)})
	a.limiter = a.newLimiter(registry, jobs)
	a.runAll(slices.Concat(a.users.Jobs(jobs), a.limiter.Jobs(), a.files.Jobs(jobs)))
	a.api = a.newAPI(p, registry)
	identity.Register(a.api, a.users)
	preference.Register(a.api, preferences)
	ticket.Register(a.api, a.tickets)
	attachment.Register(a.api, a.files)
	ticketlist.Register(a.api, lists)
	reports.Register(a.api, figures)
	eventstream.Register(a.api, stream)
	outbox.Mount(a.api, dispatcher)
	inbound.Register(a.api, mails)
	operations.Register(a.api, operations.NewService(client, a.users))
	console.Mount(a.api, console.Config{
		Users: a.users, Events: stream, Secure: strings.HasPrefix(a.config.PublicURL, "https:"), Development: a.config.Env != config.Production,
	})
}

// notificationClient is the client of the notification service, with a span for each call
// when traces are on.
func (a *App) notificationClient(token func(context.Context) (string, error)) *notifyapi.Client {
	return &notifyapi.Client{
		BaseURL: a.config.NotificationURL, Token: token,
		HTTPClient: &http.Client{Timeout: notificationTimeout, Transport: a.traces.Transport(http.DefaultTransport)},
	}
}

// runAll runs the jobs with the service.
func (a *App) runAll(jobs []*background.Loop) {
	for _, job := range jobs {
		a.loops = append(a.loops, job.Run)
	}
}

// links are the addresses in mails.
func (a *App) links() notice.Links {
	links := notice.Links{PublicURL: a.config.PublicURL, VerifiedOnly: a.config.requiresVerifiedEmail()}
	if a.addresses.Set() {
		links.Support = a.addresses.Support()
		links.ReplyTo = func(number int64, ticket uuid.UUID, to notice.Audience) string {
			return a.addresses.ReplyTo(ticket, number, inbound.Audience(to))
		}
	}
	return links
}

func (a *App) newAPI(p parts, registry *prometheus.Registry) *httpapi.API {
	return httpapi.New(httpapi.Config{
		Title: "Fixdesk CRM", Version: version.Read().Version,
		Description: apiDescription, Tags: apiTags,
		Logger: a.log, Registry: registry, Now: p.now,
		Authenticate: a.users.Authenticate, AuthenticateURL: a.users.AuthenticateURL,
		Principal: func(ctx context.Context) string { return identity.PrincipalFrom(ctx).UserID.String() },
		Limit:     a.limit,
		Ready: func(ctx context.Context) (map[string]string, error) {
			return nil, a.probe.Ready(ctx)
		},
		Unavailable:    pg.Unavailable,
		RequestTimeout: a.config.RequestTimeout, MaxRequests: a.config.MaxRequests,
		TrustedProxies: a.config.TrustedProxies, CORSOrigins: a.config.CORSOrigins, H2C: a.config.H2C, HideClients: !a.config.LogClientAddress.On(),
		Tracing: a.traces,
	})
}

func (a *App) newAttachments(p parts) *attachment.Service {
	store, _ := attachment.ParseStore(a.config.AttachmentStore) // checked with the configuration
	return attachment.NewService(attachment.Config{
		Store: store, S3: attachment.S3Keys{Access: a.config.AttachmentS3Key, Secret: a.config.AttachmentS3Secret.Reveal()}, Clamd: a.config.ClamdAddr,
		Pool: a.pool, Now: p.now, Log: a.log, Max: int64(a.config.AttachmentMax), Quota: int64(a.config.AttachmentQuota), SignURL: a.users.SignURL,
		MayRead: func(ctx context.Context, p identity.Principal, id uuid.UUID, internal bool) error {
			return a.tickets.MayRead(ctx, ticket.ViewerOf(p), id, internal)
		},
	})
}

// filesForMail reads files for the dispatcher, which is made before the service of files.
func (a *App) filesForMail(ctx context.Context, ids []uuid.UUID) ([]notifyapi.Attachment, error) {
	return a.files.ForMail(ctx, ids)
}

const migrations = "crm/migrations"

// Migrate brings the database to this version's schema, by CRM_MIGRATE_DATABASE_URL
// if it is set.
func (a *App) Migrate(ctx context.Context) error {
	pool, err := pg.Open(ctx, a.config.Migrations.URL(a.config.DatabaseURL).Reveal(), pg.Config{Application: "fixdesk-crm-migrate", MaxConns: 1})
	if err != nil {
		return fmt.Errorf("CRM_MIGRATE_DATABASE_URL: %w", err)
	}
	defer pg.Close(pool, a.config.CloseTimeout())
	return pg.Migrate(ctx, pool, db.CRM, migrations, a.log)
}

// EnsureSchema migrates the database, or waits until another process has, and makes
// the partitions that it needs for the months ahead.
func (a *App) EnsureSchema(ctx context.Context) error {
	migrate := a.Migrate
	if !a.config.Migrate.On() {
		migrate = func(ctx context.Context) error { return pg.AwaitMigrations(ctx, a.pool, db.CRM, migrations, a.log) }
	}
	if err := migrate(ctx); err != nil {
		return err
	}
	return pg.RetryUnavailable(ctx, startLimit, a.users.PrepareAudit)
}

// Handler serves the API.
func (a *App) Handler() http.Handler { return a.api.Handler() }

// OpsHandler serves the operations listener.
func (a *App) OpsHandler() http.Handler { return a.api.OpsHandler() }

// WriteOpenAPI writes the OpenAPI document. It needs no database.
func (a *App) WriteOpenAPI(w io.Writer) error { return a.api.WriteOpenAPI(w) }

// Users are the use cases of identity, for the command line.
func (a *App) Users() *identity.Service { return a.users }

// Files are the use cases of attachments, for the command line.
func (a *App) Files() *attachment.Service { return a.files }

// Close closes the database connections and exports the last traces, within a bounded
// time.
func (a *App) Close() {
	pg.Close(a.pool, a.config.CloseTimeout())
	a.traces.Stop(context.Background())
}

// Run serves until ctx ends. Before the database is migrated and the first admin
// made, the process is alive and not ready. The whole stop, the pool included,
// takes at most DrainDelay and ShutdownTimeout.
func (a *App) Run(ctx context.Context) error {
	stopOps, err := a.api.ServeOps(ctx, "CRM_OPS_ADDR", string(a.config.OpsAddr))
	if err != nil {
		a.Close()
		return err
	}
	defer stopOps()
	defer a.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.config.Addr)
	if err != nil {
		return fmt.Errorf("CRM_ADDR: %w", err)
	}
	err = a.api.Run(ctx, listener, httpapi.Process{
		Prepare: a.prepare, Jobs: a.loops, DrainDelay: a.config.DrainDelay, StopWithin: a.config.StopTimeout(),
		Started: func() {
			build := version.Read()
			a.log.InfoContext(ctx, "crm started", "version", build.Version, "revision", build.Revision, "address", listener.Addr().String())
		},
	})
	a.log.InfoContext(ctx, "crm stopped")
	return err
}

// prepare migrates the database, reads its secret of addresses, makes the first admin,
// and fills the pool with warm connections.
func (a *App) prepare(ctx context.Context) error {
	if err := a.EnsureSchema(ctx); err != nil {
		return err
	}
	if err := a.prepareAddresses(ctx); err != nil {
		return err
	}
	if err := a.ensureAdmin(ctx); err != nil {
		return err
	}
	return pg.RetryUnavailable(ctx, startLimit, func(ctx context.Context) error {
		if err := pg.CheckLimits(ctx, a.pool); err != nil {
			return err
		}
		return a.warmup.Fill(ctx, a.pool, a.log)
	})
}

// ensureAdmin makes the first admin, if one is configured.
func (a *App) ensureAdmin(ctx context.Context) error {
	if a.config.AdminEmail == "" {
		return nil
	}
	var created bool
	err := pg.RetryUnavailable(ctx, startLimit, func(ctx context.Context) (err error) {
		created, err = a.users.EnsureAdmin(ctx, a.config.AdminEmail, a.config.AdminPassword.Reveal(), "Admin")
		return err
	})
	if err != nil {
		return fmt.Errorf("CRM_ADMIN_EMAIL: %w", err)
	}
	if created {
		a.log.InfoContext(ctx, "first admin created")
	} else {
		a.log.InfoContext(ctx, "the account of CRM_ADMIN_EMAIL exists; its password, role and status are unchanged")
	}
	return nil
}

// assignmentBacklog hands tickets over and assigns those that wait. Replicas may
// run it at the same time: each ticket is assigned once, under its row lock.
func (a *App) assignmentBacklog(p parts, changed func(), metrics *background.Metrics) *background.Loop {
	return background.New(background.Config{
		Name: "assignment backlog", Interval: backlogInterval, Jitter: backlogInterval / 10, Timeout: time.Minute,
		RunOnce: assignment.NewBacklog(a.pool, p.now, changed).RunOnce,
		Log:     a.log, Metrics: metrics,
	})
}

// keyPurge deletes expired idempotency keys, on one replica at a time.
func (a *App) keyPurge(metrics *background.Metrics) *background.Loop {
	purge := &pg.Purge{Max: 1000, Delete: a.tickets.PurgeKeys}
	return background.New(background.Config{
		Name: "idempotency key purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: purgeInterval,
		RunOnce: purge.RunOnce, Exclusive: pg.Exclusive(a.pool), Log: a.log, Metrics: metrics,
	})
}

// serviceToken signs the CRM's own tokens for the notification service. Each is
// valid for ten minutes and used for five.
func serviceToken(signer *jwtauth.Signer, issuer string, now func() time.Time) func(context.Context) (string, error) {
	const lifetime = 10 * time.Minute
	cached := make(chan minted, 1)
	cached <- minted{}
	return func(context.Context) (string, error) {
		m := <-cached
		defer func() { cached <- m }()
		at := now()
		if at.Before(m.renewAt) {
			return m.token, nil
		}
		token, err := signer.Sign(jwtauth.Claims{
			Issuer: issuer, Subject: "crm", Audience: notifyapi.Audience, ID: uuid.NewString(),
			Scope: notifyapi.Scopes, IssuedAt: at, ExpiresAt: at.Add(lifetime),
		})
		if err != nil {
			return "", fmt.Errorf("mint a service token: %w", err)
		}
		m = minted{token: token, renewAt: at.Add(lifetime / 2)}
		return token, nil
	}
}

type minted struct {
	token   string
	renewAt time.Time
}
