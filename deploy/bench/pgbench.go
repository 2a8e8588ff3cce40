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

var perSecond = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// run gives the transactions a second over so many connections.
func (p *pgbench) run(ctx context.Context, conns int, d time.Duration) (float64, error) {
	args := []string{
		"-n", "-M", "prepared", "-c", strconv.Itoa(conns), "-j", "2", "-T", strconv.Itoa(max(1, int(d.Seconds()))),
		"-f", p.script, "-D", "seq=" + strconv.FormatInt(time.Now().UnixMicro(), 10),
	}
	for name, value := range p.variables {
		args = append(args, "-D", name+"="+value)
	}
	output, err := exec.CommandContext(ctx, p.program, append(args, p.url)...).CombinedOutput()
	found := perSecond.FindSubmatch(output)
	if err != nil || found == nil {
		return 0, fmt.Errorf("pgbench: %w: %s", err, strings.TrimSpace(string(output[:min(len(output), 2000)])))
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
