// Command withpg runs a command, such as go test, with a PostgreSQL server that all
// its test binaries share, and with a folder for temporary files in memory where
// there is space. It removes both at the end.
//
//	go run fixdesk/pkg/dev/pgtest/withpg go test -race work
//
// Its exit code is the command's. A server that FIXDESK_TEST_DATABASE_URL
// already names is used instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"fixdesk/pkg/dev/pgtest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withpg COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(arguments []string) (code int, err error) {
	// The terminal sends ctrl-C to the command too; withpg waits for its end.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	environment := os.Environ()
	if os.Getenv(pgtest.EnvURL) == "" {
		cluster, startErr := pgtest.StartCluster(ctx)
		if startErr != nil {
			return 1, startErr
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		environment = append(environment, cluster.Environment()...)
	}
	cmd := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	cmd.Env = environment
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}
