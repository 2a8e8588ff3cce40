// Command crm is Fixdesk's CRM service: identity and tickets. See crm help.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"fixdesk/pkg/command"
	"fixdesk/pkg/config"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/version"
	"fixdesk/services/crm/internal/app"
)

const usage = `crm is Fixdesk's CRM service: people and their tickets.

  crm [serve]                   run the service
  crm check                     check the variables and exit
  crm health [--ready]          ask the running service whether it is alive
  crm migrate                   bring the database to this version's schema
  crm admin create [flags]      make an approved admin
  crm keys create --file PATH   make the signing keys unless they exist
  crm keys rotate --file PATH   make the signing keys, or rotate them
  crm attachments move --to URL move files to another store
  crm token [flags]             print a service token for the notification API
  crm openapi                   print the OpenAPI document of the API
  crm version                   print version, revision and Go version
  crm help                      this, and every variable

Each command prints its usage with -h.
Exit codes: 0 done, 1 failed, 2 not understood.

This is version %s.

It is configured by environment variables:

`

func main() {
	command.Main("crm", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) })
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	name, rest := "serve", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	plain := func(does string, fn func() error) error {
		return command.Plain("crm "+name, does, rest, errOut, fn)
	}
	switch name {
	case "serve":
		return plain("Runs the service until SIGINT or SIGTERM.", func() error { return serve(ctx, errOut) })
	case "check":
		return plain("Checks the variables and exits.", func() error { return check(errOut) })
	case "migrate":
		return plain("Brings the database of CRM_DATABASE_URL to this version's schema.", func() error { return migrate(ctx, errOut) })
	case "health":
		return health(ctx, rest, errOut)
	case "admin":
		return admin(ctx, rest, in, out, errOut)
	case "keys":
		return keys(rest, out, errOut)
	case "attachments":
		return attachments(ctx, rest, out, errOut)
	case "token":
		return token(rest, out, errOut)
	case "openapi":
		return plain("Prints the OpenAPI document of the API.", func() error { return openapi(ctx, out, errOut) })
	case "version", "-version", "--version":
		return plain("Prints version, revision and Go version.", func() error {
			_, err := io.WriteString(out, version.Read().Lines("crm"))
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
		_, _ = fmt.Fprintf(errOut, "There is no variable %s; see crm help.\n", name)
	}
	return err
}

func serve(ctx context.Context, errOut io.Writer) error {
	obs.SaveMemory(16 << 20)
	return logged(ctx, errOut, app.LoadConfig, nil, func(a *app.App) error { return a.Run(ctx) })
}

func migrate(ctx context.Context, errOut io.Writer) error {
	return logged(ctx, errOut, app.LoadDatabaseConfig, []app.Option{app.WithoutKeys()}, func(a *app.App) error {
		defer a.Close()
		return a.Migrate(ctx)
	})
}

// logged runs a command whose errors belong in the log, like everything else of it.
func logged(ctx context.Context, errOut io.Writer, load func() (app.Config, error), options []app.Option, do func(*app.App) error) error {
	c, err := load()
	lines := obs.NewLines(errOut)
	defer func() { _ = lines.Flush() }()
	log := c.Logger(lines)
	var a *app.App
	if err == nil {
		a, err = assemble(ctx, c, log, options...)
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
	a, err := openDatabase(ctx, errOut)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.WriteOpenAPI(out)
}

// openDatabase assembles the service from the environment, for commands that need no
// signing keys.
func openDatabase(ctx context.Context, errOut io.Writer) (*app.App, error) {
	c, err := app.LoadDatabaseConfig()
	if err != nil {
		return nil, err
	}
	return assemble(ctx, c, c.Logger(errOut), app.WithoutKeys())
}

// assemble makes the service, and warns of unknown variables with its prefix.
func assemble(ctx context.Context, c app.Config, log *slog.Logger, options ...app.Option) (*app.App, error) {
	for _, name := range config.Unknown(app.Prefix, &app.Config{}) {
		log.Warn("unknown variable; see crm help", "variable", name)
	}
	return app.New(ctx, c, log, options...)
}
