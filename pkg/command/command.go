// Package command has what the command lines of the services' programs have in common:
// exit codes, flags and the help of each command.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

var (
	// ErrUsage is wrapped by the error of an invalid command line.
	ErrUsage = errors.New("not understood")
	// ErrLogged is the error of a command whose reason is in the log.
	ErrLogged = errors.New("the reason is in the log")
)

// Main runs a program; SIGINT and SIGTERM end ctx. The exit code is 0 when run succeeds,
// or returns flag.ErrHelp, 2 for ErrUsage, and else 1. Other errors than ErrLogged are
// printed.
func Main(program string, run func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, ErrUsage):
		fmt.Fprintf(os.Stderr, "%s: %v (see %s help)\n", program, err, program)
		os.Exit(2)
	case errors.Is(err, ErrLogged):
		os.Exit(1)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}

// Parse reads the flags of a command that takes nothing else. After -h, which prints
// usage and the flags, it returns flag.ErrHelp.
func Parse(flags *flag.FlagSet, usage string, args []string, errOut io.Writer) error {
	flags.SetOutput(errOut)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(errOut, usage)
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUsage, err)
	case flags.NArg() > 0:
		return fmt.Errorf("%w: unexpected %q", ErrUsage, flags.Arg(0))
	}
	return nil
}

// Plain runs a command without flags, unless it is asked for its usage.
func Plain(name, does string, args []string, errOut io.Writer, run func() error) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	if err := Parse(flags, fmt.Sprintf("Usage: %s\n%s", name, does), args, errOut); err != nil {
		return err
	}
	return run()
}

// Health asks a running service of this host for the health check of a container: at
// /healthz, or with --ready at /readyz.
func Health(name, variable string, args []string, errOut io.Writer, ask func(path string) error) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	ready := flags.Bool("ready", false, "ask whether it is ready for requests, too")
	usage := fmt.Sprintf("Usage: %s [--ready]\nAsks the service at %s of this host whether it is\nalive (/healthz), or ready (/readyz). The exit code is 0 if it is, and else 1.", name, variable)
	if err := Parse(flags, usage, args, errOut); err != nil {
		return err
	}
	if *ready {
		return ask("/readyz")
	}
	return ask("/healthz")
}
