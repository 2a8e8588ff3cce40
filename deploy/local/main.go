// Command local runs all of Fixdesk on one machine: PostgreSQL, a mail
// catcher, and the two services as the binaries that are deployed. It owns the
// state folder. It uses the services by environment variables, command lines,
// signals, /readyz and one sign-in of the first admin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	// A second ctrl-C ends this program and its children at once.
	context.AfterFunc(ctx, stop)
	stopWithTool()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, arguments []string, out, errOut *os.File) int {
	command := "up"
	if len(arguments) > 0 {
		command, arguments = arguments[0], arguments[1:]
	}
	if (command == "up" || command == "demo") && len(arguments) > 0 {
		switch arguments[0] {
		case "-h", "-help", "--help":
			printHelp(out)
			return 0
		}
		fmt.Fprintf(errOut, "%q takes no arguments; \"help\" says what it does.\n", command)
		return 2
	}
	var err error
	switch command {
	case "up":
		err = up(ctx, out, false)
	case "demo":
		err = up(ctx, out, true)
	case "token":
		return token(ctx, arguments, out, errOut)
	case "help", "-h", "-help", "--help":
		printHelp(out)
		return 0
	default:
		fmt.Fprintf(errOut, "There is no sub-command %q; \"help\" lists them.\n", command)
		return 2
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(errOut, "\nFixdesk stopped: %v\n", err)
		return 1
	}
	return 0
}

// up starts the stack and runs it until ctx ends; with demo it fills it first.
func up(ctx context.Context, out io.Writer, demo bool) (err error) {
	s, err := readSettings()
	if err != nil {
		return err
	}
	st := &stack{settings: s, out: out, began: time.Now()}
	defer func() { err = errors.Join(err, st.stop()) }()
	if err := st.start(ctx); err != nil {
		return fmt.Errorf("it can't start: %w", err)
	}
	if demo {
		if err := st.fillDemo(ctx); err != nil {
			return err
		}
	}
	st.announce()
	return st.wait(ctx)
}
