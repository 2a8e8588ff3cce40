package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgserver"
)

// NewTemplate makes a cluster in the new folder dir for pgserver.Options.Template. It
// has the databases crm and notification, which the programs in the folder bin have
// migrated, so that services of tests start in half the time. No server may run on it.
func NewTemplate(ctx context.Context, dir, bin string) (err error) {
	server, err := pgserver.Start(ctx, pgserver.Options{Dir: dir, Test: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for name := range Programs {
		if _, err := conn.Exec(ctx, "create database "+name+" encoding 'UTF8' template template0"); err != nil {
			return err
		}
		migrate := exec.CommandContext(ctx, filepath.Join(bin, name), "migrate")
		migrate.Env = append(os.Environ(), strings.ToUpper(name)+"_DATABASE_URL="+server.URL(name))
		if output, err := migrate.CombinedOutput(); err != nil {
			return fmt.Errorf("migrate the database %s: %w\n%s", name, err, output)
		}
	}
	return nil
}
