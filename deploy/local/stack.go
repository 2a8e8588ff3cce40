package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fixdesk/deploy/local/internal/mailcatcher"
	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
)

const (
	// stopTime is the time after which a part that doesn't stop is killed. It is
	// longer than the default shutdown timeout of either service.
	stopTime = 30 * time.Second
	// readyTimeout allows for a busy machine, on which migrations can take a
	// minute.
	readyTimeout = 3 * time.Minute
)

// serviceStopTime returns stopTime, or more if the service's shutdown timeout is
// longer.
func serviceStopTime(variable string) time.Duration {
	timeout, err := time.ParseDuration(os.Getenv(variable))
	if err != nil { // unset: checkServices refuses other values
		return stopTime
	}
	return max(stopTime, timeout+15*time.Second)
}

// stack holds all processes and servers. They are started in the order of the fields
// and stopped in reverse.
type stack struct {
	*settings
	out   io.Writer
	began time.Time

	lock         *os.File
	listeners    map[string]net.Listener // reserved and not yet in use
	postgres     *pgserver.Server        // nil with DATABASE_URL
	catcher      *mailcatcher.Catcher    // nil with NOTIFICATION_SMTP_URL
	notification *launch.Service
	crm          *launch.Service

	serverURL string // of a database on the server, for administration
	admin     *firstAdmin
}

func (st *stack) start(ctx context.Context) error {
	var err error
	if st.lock, err = lockState(st.State); err != nil {
		return err
	}
	if st.listeners, err = st.reserve(); err != nil {
		return err
	}
	if st.admin, err = chooseAdmin(st.settings); err != nil {
		return err
	}
	if err := st.checkServices(ctx); err != nil {
		return err
	}
	if err := ensureKeys(ctx, st.settings); err != nil {
		return err
	}
	if err := st.startPostgres(ctx); err != nil {
		return err
	}
	if err := st.startCatcher(); err != nil {
		return err
	}
	st.print("Starting the services …")
	if err := st.startServices(); err != nil {
		return err
	}
	if err := st.waitReady(ctx); err != nil {
		return err
	}
	return st.admin.verify(ctx, st.settings, "http://"+dialable(st.CRMAddr, "127.0.0.1"))
}

// Variables with the URL of a database that exists already. With both, no
// server is needed.
const (
	crmDatabase          = "CRM_DATABASE_URL"
	notificationDatabase = "NOTIFICATION_DATABASE_URL"
)

// missingDatabases are those without a URL from the user.
func missingDatabases() (names []string) {
	for variable, name := range map[string]string{crmDatabase: "crm", notificationDatabase: "notification"} {
		if os.Getenv(variable) == "" && !isInFile(variable) {
			names = append(names, name)
		}
	}
	return names
}

func (st *stack) startPostgres(ctx context.Context) error {
	missing := missingDatabases()
	if len(missing) == 0 {
		return nil
	}
	st.serverURL = st.DatabaseURL.Reveal()
	if !st.DatabaseURL.IsSet() {
		st.print("Starting PostgreSQL …")
		server, err := startPostgres(ctx, st.settings)
		if err != nil {
			return err
		}
		st.postgres = server
		st.serverURL = server.URL("postgres")
	}
	return createDatabases(ctx, st.serverURL, missing...)
}

func (st *stack) startCatcher() error {
	smtp, pages := st.listeners["MAIL_SMTP_ADDR"], st.listeners["MAIL_HTTP_ADDR"]
	if smtp == nil {
		return nil
	}
	catcher, err := mailcatcher.Start(st.path("mail"), smtp, pages, string(st.InboundAddr))
	if err != nil {
		return err
	}
	delete(st.listeners, "MAIL_SMTP_ADDR")
	delete(st.listeners, "MAIL_HTTP_ADDR")
	st.catcher = catcher
	return nil
}

func (st *stack) startServices() error {
	for _, variable := range []string{"CRM_ADDR", "NOTIFICATION_ADDR", "CRM_OPS_ADDR", "NOTIFICATION_OPS_ADDR", "NOTIFICATION_INBOUND_ADDR"} {
		if listener := st.listeners[variable]; listener != nil {
			listener.Close()
			delete(st.listeners, variable)
		}
	}
	var err error
	if st.notification, err = startService(st.settings, "notification", st.NotificationAddr, st.notificationEnvironment()); err != nil {
		return err
	}
	st.crm, err = startService(st.settings, "crm", st.CRMAddr, st.crmEnvironment())
	return err
}

func (st *stack) crmEnvironment() []string {
	return environment("CRM_", map[string]string{
		"CRM_PUBLIC_URL":       givenOr("CRM_PUBLIC_URL", webURL(st.CRMAddr)), // for links in mails
		"CRM_ADDR":             st.CRMAddr,
		"CRM_OPS_ADDR":         string(st.CRMOpsAddr),
		"CRM_DATABASE_URL":     givenOr(crmDatabase, databaseURL(st.serverURL, "crm")),
		"CRM_NOTIFICATION_URL": givenOr("CRM_NOTIFICATION_URL", "http://"+dialable(st.NotificationAddr, "127.0.0.1")),
		"CRM_KEYS_FILE":        st.keysFile(),
		"CRM_ADMIN_EMAIL":      st.admin.email,
		"CRM_ADMIN_PASSWORD":   st.admin.password,
		"CRM_SUPPORT_ADDRESS":  st.SupportAddress,
	})
}

func (st *stack) notificationEnvironment() []string {
	smtpURL := st.SMTPURL.Reveal()
	if smtpURL == "" {
		smtpURL = "smtp://" + dialable(st.SMTPAddr, "127.0.0.1")
	}
	domain, bounces := st.SupportAddress[strings.LastIndexByte(st.SupportAddress, '@')+1:], ""
	if st.InboundAddr != "" { // delivery reports can come in
		bounces = "bounces." + domain
	}
	return environment("NOTIFICATION_", map[string]string{
		"NOTIFICATION_ADDR":            st.NotificationAddr,
		"NOTIFICATION_OPS_ADDR":        string(st.NotificationOpsAddr),
		"NOTIFICATION_DATABASE_URL":    givenOr(notificationDatabase, databaseURL(st.serverURL, "notification")),
		"NOTIFICATION_JWKS_URL":        givenOr("NOTIFICATION_JWKS_URL", "http://"+dialable(st.CRMAddr, "127.0.0.1")+"/.well-known/jwks.json"),
		"NOTIFICATION_SMTP_URL":        smtpURL,
		"NOTIFICATION_MAIL_FROM":       givenOr("NOTIFICATION_MAIL_FROM", "Fixdesk <"+st.SupportAddress+">"),
		"NOTIFICATION_INBOUND_ADDR":    cmp.Or(string(st.InboundAddr), "off"),
		"NOTIFICATION_INBOUND_DOMAINS": givenOr("NOTIFICATION_INBOUND_DOMAINS", domain),
		"NOTIFICATION_BOUNCE_DOMAIN":   givenOr("NOTIFICATION_BOUNCE_DOMAIN", bounces),
	})
}

func (st *stack) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return st.notification.WaitReady(ctx) })
	both.Go(func() error { return st.crm.WaitReady(ctx) })
	return both.Wait()
}

// wait returns when ctx ends, or with an error when a part of the stack ends by
// itself. No part is restarted.
func (st *stack) wait(ctx context.Context) error {
	var postgresDone <-chan struct{}
	if st.postgres != nil {
		postgresDone = st.postgres.Done()
	}
	var catcherFailed <-chan error
	if st.catcher != nil {
		catcherFailed = st.catcher.Failed()
	}
	select {
	case <-ctx.Done():
		st.print("\nStopping …")
		return nil
	case <-st.crm.Done():
		return st.crm.Ended()
	case <-st.notification.Done():
		return st.notification.Ended()
	case <-postgresDone:
		return fmt.Errorf("PostgreSQL ended by itself; the last lines of %s:\n%s", st.path("postgres.log"), lastLines(st.path("postgres.log")))
	case err := <-catcherFailed:
		return err
	}
}

// stop ends all parts, the last started first.
func (st *stack) stop() error {
	var failed []error
	within := func(limit time.Duration, stop func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		failed = append(failed, stop(ctx))
	}
	if st.crm != nil {
		within(serviceStopTime("CRM_SHUTDOWN_TIMEOUT"), st.crm.Terminate)
	}
	if st.notification != nil {
		within(serviceStopTime("NOTIFICATION_SHUTDOWN_TIMEOUT"), st.notification.Terminate)
	}
	if st.catcher != nil {
		within(stopTime, st.catcher.Stop)
	}
	if st.postgres != nil {
		within(stopTime, st.postgres.Stop)
	}
	for _, listener := range st.listeners {
		listener.Close()
	}
	if st.lock != nil {
		st.lock.Close()
	}
	return errors.Join(failed...)
}

func (st *stack) print(text string) { fmt.Fprintln(st.out, text) }

// announce prints the addresses and the next steps.
func (st *stack) announce() {
	var text strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&text, "  %-15s %s\n", name, fmt.Sprintf(format, values...))
	}
	crm := webURL(st.CRMAddr)
	fmt.Fprintf(&text, "\nFixdesk is ready after %.1f s.\n\n", time.Since(st.began).Seconds())
	line("Console", "%s  (sign in as the first admin, or register)", crm)
	line("CRM", "%s  (API pages: %[1]s/docs)", crm)
	line("Notification", "%s  (API pages: %[1]s/docs)", webURL(st.NotificationAddr))
	var metrics []string
	for _, ops := range []config.OptionalAddr{st.CRMOpsAddr, st.NotificationOpsAddr} {
		if ops != "" {
			metrics = append(metrics, webURL(string(ops))+"/metrics")
		}
	}
	if len(metrics) > 0 {
		line("Metrics", "%s", strings.Join(metrics, "  "))
	}
	if st.InboundAddr != "" {
		line("Mail in", "SMTP: %s, for %s", st.InboundAddr, st.SupportAddress)
	}
	if st.catcher != nil {
		line("Caught mail", "%s  (SMTP: %s)", webURL(st.MailAddr), st.SMTPAddr)
	} else {
		line("Mail", "goes to the server of NOTIFICATION_SMTP_URL")
	}
	if st.postgres != nil {
		psql := "psql"
		if _, err := exec.LookPath(psql); err != nil {
			psql = st.postgres.BinDir() + "/psql"
		}
		line("Databases", "%s '%s'", psql, st.postgres.URL("crm"))
		line("", "%s '%s'", psql, st.postgres.URL("notification"))
	} else {
		line("Databases", "on the server of your database variables")
	}
	line("State and logs", "%s", st.State)
	if folder := st.postgresFolder(); st.postgres != nil && folder != st.path("postgres") {
		line("Data", "%s  (the state folder is closed to PostgreSQL's account)", folder)
	}
	line("First admin", "%s", st.admin.email)
	line("Password", "%s", st.admin.explain(st.settings))
	if st.admin.verified {
		fmt.Fprintf(&text, `
Or by the API: try this in another terminal, then follow
docs/walkthrough.md:

  . %s
  curl -s %s/v1/auth/login -H 'Content-Type: application/json' \
    -d "{\"email\":\"$CRM_ADMIN_EMAIL\",\"password\":\"$CRM_ADMIN_PASSWORD\"}"
`, shellWord(st.path(adminFile)), crm)
	}
	text.WriteString(`
Ctrl-C stops all of it; the next start finds the same data.
`)
	st.print(text.String())
}
