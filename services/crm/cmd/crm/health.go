package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"fixdesk/pkg/config"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/app"
)

// health asks the running service at CRM_ADDR, for the health check of a container.
func health(ctx context.Context, args []string, errOut io.Writer) error {
	flags := flag.NewFlagSet("crm health", flag.ContinueOnError)
	ready := flags.Bool("ready", false, "ask whether it is ready for requests, too")
	flags.Usage = func() {
		_, _ = fmt.Fprintln(errOut, "Usage: crm health [--ready]\nAsks the service at CRM_ADDR of this host whether it is alive (/healthz), or\nready (/readyz). The exit code is 0 if it is, and else 1.")
		flags.PrintDefaults()
	}
	if err := parse(flags, args, errOut); err != nil {
		return ignoreHelp(err)
	}
	var c app.Config
	if err := config.Load(app.Prefix, &c); err != nil {
		return err
	}
	path := "/healthz"
	if *ready {
		path = "/readyz"
	}
	return httpapi.CheckHealth(ctx, c.Addr, path)
}
