// Command bench measures the two services against what the same work costs
// without them: pgbench with the statements that the service runs, and smtp-source
// into the same smtp-sink. Both take turns in one run, since on a busy machine only
// ratios mean something. It starts its own PostgreSQL, services and mail sink, and
// stops and removes them at the end.
//
// It prints a table and exits 0 unless it could not run; no build depends on its
// figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are those of the command line.
type options struct {
	only  []string
	size  int           // tickets, and waiting recipients, of the large side
	round time.Duration // of one side
	turns int           // rounds of each side
	mails int           // of one round
	dir   string
	keep  bool
}

// section is a part of the measurement that can be chosen by name.
type section struct {
	name, about string
	run         func(context.Context, *stack, options) ([]line, error)
}

var sections = []section{
	{"tickets", "create, get and list against pgbench", measureTickets},
	{"mail", "mails per second against smtp-source", measureMail},
	{"inbound", "mails taken in per second against Postfix's queue (root)", measureInbound},
	{"latency", "from a ticket to its mails, otherwise idle", measureLatency},
	{"overload", "four times as much as the CRM can answer", measureOverload},
	{"growth", "tickets: a large database against a small one", measureGrowth},
	{"console", "the console in Chromium: lists, tickets, keys", measureConsole},
	{"backlog", "delivery: a long queue against a short one", measureBacklog},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ctrl-C ends this program at once
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parse(arguments []string) (options, error) {
	o := options{round: 5 * time.Second, turns: 3, mails: 20000}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "measure these alone, separated by commas")
	quick := flags.Bool("quick", false, "a smoke run of less than a minute: short rounds, -size 20000; its figures mean little")
	flags.IntVar(&o.size, "size", 1_000_000, "tickets, and waiting recipients, of the large side of growth and backlog")
	flags.StringVar(&o.dir, "dir", "/var/tmp", "a folder on the disk to measure on; what is made in it is removed")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder with the services' logs")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: bench [flags]\nPrints a Markdown table: what was measured, its yardstick, their ratio, and the bar.\n\nMeasurements:\n")
		for _, s := range sections {
			fmt.Fprintf(flags.Output(), "  %-10s %s\n", s.name, s.about)
		}
		fmt.Fprint(flags.Output(), "\nFlags:\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if *quick {
		o.round, o.turns, o.mails, o.size = 1500*time.Millisecond, 1, 4000, min(o.size, 20000)
	}
	for name := range strings.SplitSeq(*only, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			fmt.Fprintf(os.Stderr, "bench: there is no measurement %q\n", name)
			flags.Usage()
			return o, flag.ErrHelp
		}
		o.only = append(o.only, name)
	}
	return o, nil
}

func run(ctx context.Context, o options) (err error) {
	began := time.Now()
	s, err := startStack(ctx, o)
	defer func() { err = errors.Join(err, s.stop()) }()
	if err != nil {
		return err
	}
	var lines []line
	for _, part := range sections {
		if len(o.only) > 0 && !slices.Contains(o.only, part.name) {
			continue
		}
		progress("%s", part.about)
		measured, err := part.run(ctx, s, o)
		lines = append(lines, measured...)
		if ctx.Err() != nil {
			return errors.New("stopped")
		}
		if err != nil {
			lines = append(lines, line{work: part.about, note: err.Error()})
		}
		s.stopServices()
	}
	lines = append(lines, s.memory()...)
	progress("took %s", time.Since(began).Round(time.Second))
	printTable(os.Stdout, lines)
	return nil
}

func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, values...))
}
