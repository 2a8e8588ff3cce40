// Command bench measures the two services against what the same work costs
// without them: pgbench with plain statements for the same work, and smtp-source
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
	json  string // a file for the result, "" for none
	work  string // to profile instead of measuring, "" for none
	out   string // the folder of profiles
}

// section is a part of the measurement that can be chosen by name.
type section struct {
	name, about string
	run         func(context.Context, *stack, options) ([]line, error)
	// named runs it only when it is named: it isn't a row of the table.
	named bool
}

var sections = []section{
	{name: "tickets", about: "create, get and list against pgbench", run: measureTickets},
	{name: "actions", about: "accept, comment and patch against pgbench", run: measureActions},
	{name: "read-floor", about: "what get would cost without anything but net/http and pgx", run: measureReadFloor, named: true},
	{name: "wal", about: "WAL of a status change of a long ticket", run: measureWAL},
	{name: "mail", about: "mails per second against smtp-source", run: measureMail},
	{name: "floor", about: "the least that mails with durable states cost, against smtp-source", run: measureFloor, named: true},
	{name: "inbound", about: "mails taken in per second against Postfix's queue (root)", run: measureInbound, named: true},
	{name: "latency", about: "from a ticket to its mails, otherwise idle", run: measureLatency},
	{name: "streams", about: "ten thousand event streams on one replica", run: measureStreams},
	{name: "handover", about: "creates while an engineer's tickets are handed over", run: measureHandOver},
	{name: "overload", about: "four times as much as the CRM can answer", run: measureOverload},
	{name: "growth", about: "tickets: a large database against a small one", run: measureGrowth},
	{name: "capacity", about: "bytes, WAL and CPU time of a ticket with its mails", run: measureCapacity, named: true},
	{name: "large", about: "delivery beside many recipients that are over (-size, 100,000,000 by make bench-large)", run: measureLarge, named: true},
	{name: "console", about: "the console in Chromium: lists, tickets, keys", run: measureConsole, named: true},
	{name: "backlog", about: "delivery: a long queue against a short one", run: measureBacklog},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ctrl-C ends this program at once
	if os.Getenv(readFloorAddr) != "" {
		if err := serveReadFloor(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
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
	o := options{round: 3 * time.Second, turns: 3, mails: 20000, out: "profiles"}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "measure these alone, separated by commas")
	quick := flags.Bool("quick", false, "a smoke run of less than a minute: short rounds, -size 20000; its figures mean little")
	flags.IntVar(&o.size, "size", 1_000_000, "tickets, and waiting recipients, of the large side of growth and backlog")
	flags.StringVar(&o.dir, "dir", "/var/tmp", "a folder on the disk to measure on; what is made in it is removed")
	flags.StringVar(&o.json, "json", "", "a file to write the result to, as JSON too")
	flags.StringVar(&o.work, "profile", "", "profile the services under this load instead: "+strings.Join(profiles(), ", "))
	flags.StringVar(&o.out, "out", o.out, "the folder of -profile, for pprof files")
	flags.DurationVar(&o.round, "round", o.round, "the length of one turn of each side")
	flags.IntVar(&o.turns, "turns", o.turns, "turns of each side")
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
	if o.work != "" && !slices.Contains(profiles(), o.work) {
		fmt.Fprintf(os.Stderr, "bench: there is no load %q: %s\n", o.work, strings.Join(profiles(), ", "))
		return o, flag.ErrHelp
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
	if o.work != "" {
		return s.profile(ctx, o)
	}
	lines, err := measure(ctx, s, o)
	if err != nil {
		return err
	}
	progress("took %s", time.Since(began).Round(time.Second))
	printTable(os.Stdout, lines)
	if o.json != "" {
		return writeJSON(o.json, lines)
	}
	return nil
}

func measure(ctx context.Context, s *stack, o options) (lines []line, err error) {
	for _, part := range sections {
		if len(o.only) > 0 && !slices.Contains(o.only, part.name) || len(o.only) == 0 && part.named {
			continue
		}
		progress("%s", part.about)
		measured, err := part.run(ctx, s, o)
		lines = append(lines, measured...)
		if ctx.Err() != nil {
			return nil, errors.New("stopped")
		}
		if err != nil {
			lines = append(lines, line{work: part.about, note: err.Error()})
		}
		s.stopServices()
		if err := s.dropDatabases(ctx); err != nil {
			return nil, err
		}
	}
	return append(lines, s.memory()...), nil
}

func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, values...))
}
