package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"fixdesk/pkg/command"
	"fixdesk/services/crm/internal/attachment"
)

const moveUsage = `Usage: crm attachments move --to URL
Copies all files to another store and removes the others an hour later. A store
is postgres, file:///folder, or
s3://bucket/prefix?endpoint=https://host&region=name.
Set CRM_ATTACHMENT_STORE to it and restart the service first, so that new files
are kept there. The service may run. What is interrupted can be continued by the
same command.`

// attachments moves the contents of files to another store.
func attachments(ctx context.Context, args []string, out, errOut io.Writer) error {
	args, err := subcommand(args, "attachments", "move")
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("crm attachments move", flag.ContinueOnError)
	to := flags.String("to", "", "the store (required)")
	if err := command.Parse(flags, moveUsage, args, errOut); err != nil {
		return err
	}
	if *to == "" {
		return fmt.Errorf("%w: --to is needed", command.ErrUsage)
	}
	if _, err := attachment.ParseStore(*to); err != nil {
		return fmt.Errorf("%w: --to %w", command.ErrUsage, err)
	}
	a, err := openDatabase(ctx, errOut)
	if err != nil {
		return err
	}
	defer a.Close()
	done, err := a.Files().Move(ctx, *to, func(done attachment.Moved) {
		if done.Files%100 == 0 {
			_, _ = fmt.Fprintf(out, "files so far: %d, %d MiB\n", done.Files, done.Bytes>>20)
		}
	})
	_, _ = fmt.Fprintf(out, "files moved: %d, %d MiB; failed: %d\n", done.Files, done.Bytes>>20, done.Failed)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; the same command continues")
	}
	return err
}
