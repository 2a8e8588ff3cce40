package main

import (
	"context"
	"io"

	"fixdesk/pkg/command"
	"fixdesk/pkg/config"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/app"
)

func health(ctx context.Context, args []string, errOut io.Writer) error {
	return command.Health("crm health", "CRM_ADDR", args, errOut, func(path string) error {
		var c app.Config
		if err := config.Load(app.Prefix, &c); err != nil {
			return err
		}
		return httpapi.CheckHealth(ctx, c.Addr, path)
	})
}
