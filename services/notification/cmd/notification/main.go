// Command notification is Fixdesk's notification service: it sends mails and
// reports the result of each. See notification help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"fixdesk/pkg/config"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/version"
	"fixdesk/services/notification/internal/app"
)

const usage = `notification is Fixdesk's notification service: it sends mails and reports
the result of each.

  notification [serve]    run the service
  notification check      check the variables and exit
  notification health [--ready]
                          ask the running service whether it is alive, or ready
  notification migrate    bring the database to this version's schema
  notification after-restore [--before TIME]
                          hold back the mails that were due before TIME (as in
                          2026-11-30T12:00:00Z, default now) until they are
                          released by POST /v1/sending/release; to be run on a
                          restored database before the service starts
  notification openapi    print the OpenAPI document of the API
  notification version    print version, revision and Go version
  notification help       this, and every variable

Exit codes: 0 done, 1 failed, 2 not understood.

This is version %s.

It is configured by environment variables:

`

// errUsage is returned for an invalid command line.
var errUsage = errors.New("not understood")

// errLogged is returned for an error that is in the log.
var errLogged = errors.New("the reason is in the log")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errUsage):
		stop()
		fmt.Fprintln(os.Stderr, "notification:", err, "(see notification help)")
		os.Exit(2)
	case errors.Is(err, errLogged):
		stop()
		os.Exit(1)
	case err != nil:
		stop()
		fmt.Fprintln(os.Stderr, "notification:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	command, rest := "serve", args
	if len(args) > 0 {
		command, rest = args[0], args[1:]
	}
	switch command {
	case "health":
		return health(ctx, rest)
	case "after-restore":
		return afterRestore(ctx, rest, out, errOut)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: unexpected %q", errUsage, rest[0])
	}
	switch command {
	case "serve":
		obs.SaveMemory()
		return logged(ctx, errOut, func(a *app.App) error { return a.Run(ctx) })
	case "check":
		return check(errOut)
	case "migrate":
		return logged(ctx, errOut, func(a *app.App) error {
			defer a.Close()
			return a.Migrate(ctx)
		})
	case "openapi":
		return openapi(ctx, out, errOut)
	case "version", "-version", "--version":
		_, err := io.WriteString(out, version.Read().Lines("notification"))
		return err
	case "help", "-h", "-help", "--help":
		_, _ = fmt.Fprintf(out, usage, version.Read().Version)
		return config.Usage(out, app.Prefix, &app.Config{})
	}
	return fmt.Errorf("%w: there is no command %q", errUsage, command)
}

// check reads the configuration and reports invalid values.
func check(errOut io.Writer) error {
	_, err := app.LoadConfig()
	for _, name := range config.Unknown(app.Prefix, &app.Config{}) {
		_, _ = fmt.Fprintf(errOut, "There is no variable %s; see notification help.\n", name)
	}
	return err
}

// logged runs a command whose errors belong in the log, like everything else of it.
func logged(ctx context.Context, errOut io.Writer, do func(*app.App) error) error {
	c, err := app.LoadConfig()
	lines := obs.NewLines(errOut)
	defer func() { _ = lines.Flush() }()
	log := c.Logger(lines)
	var a *app.App
	if err == nil {
		a, err = assemble(ctx, c, log)
	}
	if err == nil {
		err = do(a)
	}
	if err != nil {
		obs.Fatal(log, err)
		return errLogged
	}
	return nil
}

// openapi prints the OpenAPI document. It connects to no database.
func openapi(ctx context.Context, out, errOut io.Writer) error {
	c, err := app.LoadConfig()
	if err != nil {
		return err
	}
	a, err := assemble(ctx, c, c.Logger(errOut))
	if err != nil {
		return err
	}
	defer a.Close()
	return a.WriteOpenAPI(out)
}

// assemble makes the service, and warns of unknown variables with its prefix.
func assemble(ctx context.Context, c app.Config, log *slog.Logger) (*app.App, error) {
	for _, name := range config.Unknown(app.Prefix, &app.Config{}) {
		log.Warn("unknown variable; see notification help", "variable", name)
	}
	return app.New(ctx, c, log)
}

// health asks the running service at NOTIFICATION_ADDR, for the health check of a
// container.
func health(ctx context.Context, args []string) error {
	path := "/healthz"
	switch {
	case slices.Equal(args, []string{"--ready"}):
		path = "/readyz"
	case len(args) > 0:
		return fmt.Errorf("%w: unexpected %q; the command is notification health [--ready]", errUsage, args[0])
	}
	var c app.Config
	if err := config.Load(app.Prefix, &c); err != nil {
		return err
	}
	return httpapi.CheckHealth(ctx, c.Addr, path)
}

// afterRestore holds back the mails that may have been sent after the moment to which
// the database was restored.
func afterRestore(ctx context.Context, args []string, out, errOut io.Writer) error {
	before := app.Clock()
	switch {
	case len(args) == 2 && args[0] == "--before":
		var err error
		if before, err = time.Parse(time.RFC3339, args[1]); err != nil {
			return fmt.Errorf("%w: --before must be a time such as 2026-11-30T12:00:00Z", errUsage)
		}
	case len(args) > 0:
		return fmt.Errorf("%w: the command is notification after-restore [--before TIME]", errUsage)
	}
	return logged(ctx, errOut, func(a *app.App) error {
		defer a.Close()
		held, err := a.AfterRestore(ctx, before)
		if err == nil {
			_, err = fmt.Fprintf(out, "%d recipients are held back.\n", held)
		}
		return err
	})
}
