// Package app puts the notification service together: configuration, pools,
// rooms, loops, the server, and the order in which they stop. It holds no rule
// of its own.
package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fixdesk/db"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/request"
)

// Version is set when a release is built.
var Version = "dev"

// The pauses after trouble with a mail server.
const (
	circuitBase = time.Second
	circuitCap  = time.Minute
)

// App is the whole service, ready to run.
type App struct {
	config   Config
	log      *slog.Logger
	pool     *pgxpool.Pool
	mailer   *email.Pool
	delivery *delivery.Loop
	api      *httpapi.API
}

// Clock is the time of day in the database's precision, so that what is
// answered equals what is stored.
func Clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// New opens the database and puts the service together; nothing runs yet.
// Close it when it isn't run.
func New(ctx context.Context, c Config, log *slog.Logger) (*App, error) {
	servers, err := c.servers()
	if err != nil {
		return nil, err
	}
	sender, err := c.sender()
	if err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, c.DatabaseURL.Reveal(), pg.Config{Application: "fixdesk-notification", MaxConns: c.DatabasePoolSize})
	if err != nil {
		return nil, fmt.Errorf("NOTIFICATION_DATABASE_URL: %w", err)
	}
	a := &App{config: c, log: log, pool: pool}
	if err := a.assemble(servers, sender); err != nil {
		pool.Close()
		return nil, err
	}
	return a, nil
}

func (a *App) assemble(servers []email.Server, sender email.Sender) error {
	c := a.config
	registry := obs.NewRegistry("notification", Version)
	domain := c.mailDomain(sender.From)
	mail := email.Config{
		Sender: sender, Servers: servers, HELO: cmp.Or(c.SMTPHELO, domain),
		Timeout: c.SMTPTimeout, MessagesPerConnection: c.SMTPMaxMessages, IdleTime: c.SMTPIdleTime,
		CircuitBase: circuitBase, CircuitCap: circuitCap, Now: time.Now,
		OnTrouble: func(server, reason string) {
			a.log.Warn("mail server in trouble, leaving it alone for a while", "server", server, "reason", reason)
		},
	}
	a.mailer = email.NewPool(mail)
	var err error
	a.delivery, err = delivery.NewLoop(delivery.Config{
		DB: a.pool, Mailer: a.mailer,
		Policy:  delivery.Policy{RetryBase: c.RetryBase, RetryCap: c.RetryCap, GiveUpAfter: c.GiveUpAfter},
		Workers: c.SMTPConnections, Lease: c.Lease, Longest: mail.LongestConversation(),
		Now: time.Now, Logger: a.log, Registry: registry,
	})
	if err != nil {
		return fmt.Errorf("NOTIFICATION_LEASE: %w", err)
	}
	a.api = a.newAPI(registry)
	request.Register(a.api, request.NewService(a.pool, Clock, domain, a.delivery.Wake))
	return nil
}

func (a *App) newAPI(registry *prometheus.Registry) *httpapi.API {
	verifier := jwtauth.NewVerifier(jwtauth.NewRemoteKeys(a.config.JWKSURL, time.Now, a.log), a.config.Issuer, notifyapi.Audience, time.Now)
	return httpapi.New(httpapi.Config{
		Title: "Fixdesk notifications", Version: Version,
		Description: "Raise a notification, and every recipient is mailed separately; then see what became of each.",
		Logger:      a.log, Registry: registry, Now: time.Now,
		Authenticate: func(ctx context.Context, bearer string, allow []string) (context.Context, error) {
			return authenticate(ctx, verifier, bearer, allow)
		},
		Principal: request.Caller,
		Ready:     a.ready, Unavailable: pg.Unavailable, TrustedProxies: a.config.TrustedProxies,
	})
}

var errScope = errs.New(errs.Forbidden, errs.CodeForbidden, "The token lacks the scope for this.")

// authenticate takes a service token with one of the scopes.
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

// ready is about the database alone: without a mail server the service still
// takes requests in. The details tell of the mail servers; the reasons are in
// the log.
func (a *App) ready(ctx context.Context) (map[string]string, error) {
	details := map[string]string{"database": "ok"}
	for _, s := range a.mailer.Status() {
		details["smtp "+s.Server] = "ok"
		if s.Open {
			details["smtp "+s.Server] = "in trouble since " + s.Since.UTC().Format(time.RFC3339) +
				", tried again at " + s.RetryAt.UTC().Format(time.RFC3339)
		}
	}
	err := pg.Ping(ctx, a.pool)
	if err != nil {
		details["database"] = "does not answer"
	}
	return details, err
}

// Migrate brings the database to this version's schema.
func (a *App) Migrate(ctx context.Context) error {
	return pg.Migrate(ctx, a.pool, db.Notification, "notification/migrations", a.log)
}

// Handler serves the API.
func (a *App) Handler() http.Handler { return a.api.Handler() }

// Close gives the connections back.
func (a *App) Close() {
	a.mailer.Close()
	a.pool.Close()
}

// Run serves until ctx ends. Before the database is migrated, the process is
// alive and not ready (see SetStarting). It stops in order: requests in
// flight are answered, the loops end with the mails on the wire, then the
// pools.
func (a *App) Run(ctx context.Context) error {
	defer a.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.config.Addr)
	if err != nil {
		return fmt.Errorf("NOTIFICATION_ADDR: %w", err)
	}
	defer func() { _ = listener.Close() }()
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	a.api.SetStarting("The database is being migrated.")
	server := httpapi.NewServer(a.config.Addr, a.Handler())
	served := make(chan error, 1)
	go func() {
		defer stopServing()
		served <- httpapi.Serve(serving, server, listener, a.config.ShutdownTimeout)
	}()
	if err := a.Migrate(serving); err != nil {
		stopServing()
		if serveErr := <-served; serveErr != nil || ctx.Err() != nil {
			return serveErr
		}
		return err
	}
	a.api.SetStarting("")
	a.log.InfoContext(ctx, "notification started", "version", Version, "address", listener.Addr().String())

	looping, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	schedule := delivery.Schedule{PollInterval: a.config.PollInterval, Retention: a.config.Retention}
	var loops errgroup.Group
	for _, run := range []func(context.Context) error{
		a.delivery.Run,
		func(ctx context.Context) error { return a.delivery.RunSchedule(ctx, schedule) },
	} {
		loops.Go(func() error {
			defer stopServing()
			return run(looping)
		})
	}
	err = <-served
	stopLoops()
	if loopErr := loops.Wait(); err == nil {
		err = loopErr
	}
	a.log.InfoContext(ctx, "notification stopped")
	return err
}
