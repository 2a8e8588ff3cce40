package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"fixdesk/deploy/local/internal/mailcatcher"
	"fixdesk/pkg/dev/pgserver"
)

const (
	stopGrace    = 20 * time.Second // for each part, then it is stopped hard
	readyTimeout = 60 * time.Second
)

// stack is everything that runs. Its parts are started in the order of the
// fields and stopped in reverse.
type stack struct {
	*settings
	out io.Writer

	lock         *os.File
	listeners    map[string]net.Listener // reserved and not yet handed over
	postgres     *pgserver.Server        // nil with DATABASE_URL
	catcher      *mailcatcher.Catcher    // nil with NOTIFICATION_SMTP_URL
	notification *service
	crm          *service

	serverURL string // of a database on the server, for administration
	admin     admin
}

func (st *stack) start(ctx context.Context) error {
	var err error
	if st.lock, err = lockState(st.State); err != nil {
		return err
	}
	if st.listeners, err = st.reserve(); err != nil {
		return err
	}
	if st.admin, err = firstAdmin(st.settings); err != nil {
		return err
	}
	st.say("Building the services and starting PostgreSQL …")
	together, both := errgroup.WithContext(ctx)
	together.Go(func() error { return build(both, st.settings) })
	together.Go(func() error { return st.startPostgres(ctx) })
	if err := together.Wait(); err != nil {
		return err
	}
	if err := ensureKeys(ctx, st.settings); err != nil {
		return err
	}
	if err := st.startCatcher(); err != nil {
		return err
	}
	if err := st.startServices(); err != nil {
		return err
	}
	return st.waitReady(ctx)
}

func (st *stack) startPostgres(ctx context.Context) error {
	st.serverURL = st.DatabaseURL.Reveal()
	if !st.DatabaseURL.IsSet() {
		server, err := startPostgres(ctx, st.settings)
		if err != nil {
			return err
		}
		st.postgres = server
		st.serverURL = server.URL("postgres")
	}
	return createDatabases(ctx, st.serverURL, "crm", "notification")
}

func (st *stack) startCatcher() error {
	smtp, pages := st.listeners["MAIL_SMTP_ADDR"], st.listeners["MAIL_HTTP_ADDR"]
	if smtp == nil {
		return nil
	}
	catcher, err := mailcatcher.Start(st.path("mail"), smtp, pages)
	if err != nil {
		return err
	}
	delete(st.listeners, "MAIL_SMTP_ADDR")
	delete(st.listeners, "MAIL_HTTP_ADDR")
	st.catcher = catcher
	return nil
}

func (st *stack) startServices() error {
	for _, variable := range []string{"CRM_ADDR", "NOTIFICATION_ADDR"} {
		st.listeners[variable].Close()
		delete(st.listeners, variable)
	}
	var err error
	if st.notification, err = startService(st.settings, "notification", st.notificationEnvironment()); err != nil {
		return err
	}
	st.crm, err = startService(st.settings, "crm", st.crmEnvironment())
	return err
}

func (st *stack) crmEnvironment() []string {
	publicURL := os.Getenv("CRM_PUBLIC_URL") // for links in mails
	if publicURL == "" {
		publicURL = webURL(st.CRMAddr)
	}
	return environment("CRM_", map[string]string{
		"CRM_PUBLIC_URL":       publicURL,
		"CRM_ADDR":             st.CRMAddr,
		"CRM_DATABASE_URL":     databaseURL(st.serverURL, "crm"),
		"CRM_NOTIFICATION_URL": "http://" + dialable(st.NotificationAddr, "127.0.0.1"),
		"CRM_KEYS_FILE":        st.path(keysFile),
		"CRM_ADMIN_EMAIL":      st.admin.email,
		"CRM_ADMIN_PASSWORD":   st.admin.password,
	})
}

func (st *stack) notificationEnvironment() []string {
	smtpURL := st.SMTPURL.Reveal()
	if smtpURL == "" {
		smtpURL = "smtp://" + dialable(st.SMTPAddr, "127.0.0.1")
	}
	return environment("NOTIFICATION_", map[string]string{
		"NOTIFICATION_ADDR":         st.NotificationAddr,
		"NOTIFICATION_DATABASE_URL": databaseURL(st.serverURL, "notification"),
		"NOTIFICATION_JWKS_URL":     "http://" + dialable(st.CRMAddr, "127.0.0.1") + "/.well-known/jwks.json",
		"NOTIFICATION_SMTP_URL":     smtpURL,
	})
}

func (st *stack) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return st.notification.waitReady(ctx, dialable(st.NotificationAddr, "127.0.0.1")) })
	both.Go(func() error { return st.crm.waitReady(ctx, dialable(st.CRMAddr, "127.0.0.1")) })
	return both.Wait()
}

// wait returns when the stack is asked to stop, or with an error when a part
// of it ends by itself. Nothing is started again silently.
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
		st.say("\nStopping …")
		return nil
	case <-st.crm.process.Done():
		return st.crm.ended()
	case <-st.notification.process.Done():
		return st.notification.ended()
	case <-postgresDone:
		return fmt.Errorf("PostgreSQL ended by itself; the last lines of %s:\n%s", st.path("postgres.log"), lastLines(st.path("postgres.log"), 0))
	case err := <-catcherFailed:
		return err
	}
}

// stop ends what runs, last started first, each part within stopGrace.
func (st *stack) stop() error {
	var failed []error
	within := func(stop func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		failed = append(failed, stop(ctx))
	}
	for _, service := range []*service{st.crm, st.notification} {
		if service != nil {
			within(func(ctx context.Context) error { return service.process.Stop(ctx, syscall.SIGTERM) })
		}
	}
	if st.catcher != nil {
		within(st.catcher.Stop)
	}
	if st.postgres != nil {
		within(st.postgres.Stop)
	}
	for _, listener := range st.listeners {
		listener.Close()
	}
	if st.lock != nil {
		st.lock.Close()
	}
	return errors.Join(failed...)
}

func (st *stack) say(text string) { fmt.Fprintln(st.out, text) }

// announce prints where everything is and what to do next.
func (st *stack) announce() {
	var text strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&text, "  %-15s %s\n", name, fmt.Sprintf(format, values...))
	}
	crm := webURL(st.CRMAddr)
	text.WriteString("\nFixdesk is ready.\n\n")
	line("CRM", "%s  (API pages: %[1]s/docs)", crm)
	line("Notification", "%s  (API pages: %[1]s/docs)", webURL(st.NotificationAddr))
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
		line("Databases", "crm and notification on the server of DATABASE_URL")
	}
	line("State and logs", "%s", st.State)
	if folder := st.postgresFolder(); st.postgres != nil && folder != st.path("postgres") {
		line("Data", "%s  (the state folder is closed to PostgreSQL's account)", folder)
	}
	line("First admin", "%s", st.admin.email)
	if st.AdminPassword.IsSet() {
		line("Password", "the one in CRM_ADMIN_PASSWORD")
	} else {
		line("Password", "%s", st.admin.password)
	}
	fmt.Fprintf(&text, `
Try this in another terminal, then follow the walkthrough in the README:

  . %s
  curl -s %s/v1/auth/login -H 'Content-Type: application/json' \
    -d "{\"email\":\"$CRM_ADMIN_EMAIL\",\"password\":\"$CRM_ADMIN_PASSWORD\"}"

Ctrl-C stops all of it; the next start finds the same data.
`, shellWord(st.path(adminFile)), crm)
	st.say(text.String())
}
