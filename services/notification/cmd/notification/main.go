// Command notification is Fixdesk's notification service: it sends mails and
// reports the result of each. See notification help.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"fixdesk/pkg/command"
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

Each command prints its usage with -h.
Exit codes: 0 done, 1 failed, 2 not understood.

This is version %s.

It is configured by environment variables:

`

func main() {
	command.Main("notification", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	name, rest := "serve", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	plain := func(does string, fn func() error) error {
		return command.Plain("notification "+name, does, rest, errOut, fn)
	}
	switch name {
	case "serve":
		return plain("Runs the service until SIGINT or SIGTERM.", func() error {
			obs.SaveMemory(22 << 20)
			return logged(ctx, errOut, func(a *app.App) error { return a.Run(ctx) })
		})
	case "check":
		return plain("Checks the variables and exits.", func() error { return check(errOut) })
	case "health":
		return health(ctx, rest, errOut)
	case "migrate":
		return plain("Brings the database of NOTIFICATION_DATABASE_URL to this version's schema.", func() error {
			return logged(ctx, errOut, func(a *app.App) error {
				defer a.Close()
				return a.Migrate(ctx)
			})
		})
	case "after-restore":
		return afterRestore(ctx, rest, out, errOut)
	case "openapi":
		return plain("Prints the OpenAPI document of the API.", func() error { return openapi(ctx, out, errOut) })
	case "version", "-version", "--version":
		return plain("Prints version, revision and Go version.", func() error {
			_, err := io.WriteString(out, version.Read().Lines("notification"))
			return err
		})
	case "help", "-h", "-help", "--help":
		_, _ = fmt.Fprintf(out, usage, version.Read().Version)
		return config.Usage(out, app.Prefix, &app.Config{})
	}
	return fmt.Errorf("%w: there is no command %q", command.ErrUsage, name)
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
		return command.ErrLogged
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

func health(ctx context.Context, args []string, errOut io.Writer) error {
	return command.Health("notification health", "NOTIFICATION_ADDR", args, errOut, func(path string) error {
		var c app.Config
		if err := config.Load(app.Prefix, &c); err != nil {
			return err
		}
		return httpapi.CheckHealth(ctx, c.Addr, path)
	})
}

const afterRestoreUsage = `Usage: notification after-restore [--before TIME]
Holds back the mails that may have been sent after the moment to which the
database was restored, until POST /v1/sending/release. Run it on a restored
database before the service starts.`

// afterRestore holds back the mails that may have been sent after the moment to which
// the database was restored.
func afterRestore(ctx context.Context, args []string, out, errOut io.Writer) error {
	before := app.Clock()
	flags := flag.NewFlagSet("notification after-restore", flag.ContinueOnError)
	flags.Func("before", "hold back what was due before this `TIME`, as in\n2026-11-30T12:00:00Z (default now)", func(value string) (err error) {
		before, err = time.Parse(time.RFC3339, value)
		return err
	})
	if err := command.Parse(flags, afterRestoreUsage, args, errOut); err != nil {
		return err
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
