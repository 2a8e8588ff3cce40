package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// pgbench is a script that can be run against a database.
type pgbench struct {
	program, script, url string
	variables            map[string]string
}

func (s *stack) newPgbench(name, database, text string, variables map[string]string) (*pgbench, error) {
	program := filepath.Join(s.postgres.BinDir(), "pgbench")
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("pgbench"); err != nil {
			return nil, errors.New("needs pgbench (apt install postgresql-contrib)")
		}
	}
	path := filepath.Join(s.dir, name+".pgbench")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return &pgbench{program: program, script: path, url: s.postgres.URL(database), variables: variables}, nil
}

var (
	perSecond = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	processed = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
)

// run returns the transactions a second over so many connections, and their
// number.
func (p *pgbench) run(ctx context.Context, conns int, d time.Duration) (rate, transactions float64, err error) {
	args := []string{
		"-n", "-M", "prepared", "-c", strconv.Itoa(conns), "-j", "2", "-T", strconv.Itoa(max(1, int(d.Seconds()))),
		"-f", p.script, "-D", "n=-1", "-D", "seq=" + strconv.FormatInt(time.Now().UnixMicro(), 10),
	}
	for name, value := range p.variables {
		args = append(args, "-D", name+"="+value)
	}
	output, err := exec.CommandContext(ctx, p.program, append(args, p.url)...).CombinedOutput()
	found, all := perSecond.FindSubmatch(output), processed.FindSubmatch(output)
	if err != nil || found == nil || all == nil {
		return 0, 0, fmt.Errorf("pgbench: %w: %s", err, strings.TrimSpace(string(output[:min(len(output), 2000)])))
	}
	if transactions, err = strconv.ParseFloat(string(all[1]), 64); err != nil {
		return 0, 0, err
	}
	rate, err = strconv.ParseFloat(string(found[1]), 64)
	return rate, transactions, err
}
