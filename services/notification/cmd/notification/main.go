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
	"syscall"

	"fixdesk/pkg/config"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/version"
	"fixdesk/services/notification/internal/app"
)

const usage = `notification is Fixdesk's notification service: it sends mails and reports
the result of each.

  notification [serve]    run the service
  notification check      check the variables and exit
  notification migrate    bring the database to this version's schema
  notification openapi    print the OpenAPI document of the API
  notification version    print version, revision and Go version
  notification help       this, and every variable

Exit codes: 0 done, 1 failed, 2 not understood.

This is version %s.

It is configured by environment variables:

`

// errUsage is returned for an invalid command line.
var errUsage = errors.New("not understood")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errUsage):
		stop()
		fmt.Fprintln(os.Stderr, "notification:", err, "(see notification help)")
		os.Exit(2)
	case err != nil:
		stop()
		fmt.Fprintln(os.Stderr, "notification:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	if len(args) > 1 {
		return fmt.Errorf("%w: unexpected %q", errUsage, args[1])
	}
	switch command {
	case "serve":
		obs.SaveMemory()
		return with(ctx, errOut, func(a *app.App) error { return a.Run(ctx) })
	case "check":
		return check(errOut)
	case "migrate":
		return with(ctx, errOut, func(a *app.App) error {
			defer a.Close()
			return a.Migrate(ctx)
		})
	case "openapi":
		return with(ctx, errOut, func(a *app.App) error {
			defer a.Close()
			return a.WriteOpenAPI(out)
		})
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

// with reads the configuration, warns of unknown variables with the service's
// prefix, and assembles the service.
func with(ctx context.Context, errOut io.Writer, do func(*app.App) error) error {
	c, err := app.LoadConfig()
	if err != nil {
		return err
	}
	log := obs.NewLogger(errOut, c.LogLevel, c.LogFormat)
	warnOfUnknown(log)
	a, err := app.New(ctx, c, log)
	if err != nil {
		return err
	}
	return do(a)
}

func warnOfUnknown(log *slog.Logger) {
	for _, name := range config.Unknown(app.Prefix, &app.Config{}) {
		log.Warn("unknown variable; see notification help", "variable", name)
	}
}
