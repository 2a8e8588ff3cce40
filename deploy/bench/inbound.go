package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/postfix"

	"github.com/jackc/pgx/v5"
)

// measureInbound hands mail in by smtp-source, in turns to the service, which answers
// when the mail is in PostgreSQL, and to a Postfix, which answers when it is in the
// queue on the same disk. Postfix delivers nothing: it holds all of it.
func measureInbound(ctx context.Context, s *stack, o options) ([]line, error) {
	source, err := postfixTool("smtp-source")
	if err != nil {
		return nil, err
	}
	postfix, stop, err := s.startPostfix(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := s.makeDatabase(ctx, "inbound", "notification"); err != nil {
		return nil, err
	}
	addr, err := launch.FreeAddress()
	if err != nil {
		return nil, err
	}
	if _, err := s.startService(ctx, "notification", map[string]string{
		"DATABASE_URL": s.postgres.URL("inbound"), "JWKS_URL": s.jwks.URL, "SMTP_URL": "smtp://127.0.0.1:1", "RATE_LIMIT": "off",
		"INBOUND_ADDR": addr, "INBOUND_DOMAINS": "desk.test", "INBOUND_MAILS_PER_MINUTE": "1000000000",
	}); err != nil {
		return nil, err
	}
	round := func(to string) (float64, error) {
		begin := time.Now()
		output, err := exec.CommandContext(ctx, source, "-d", "-s", strconv.Itoa(smtpConns), "-m", strconv.Itoa(o.mails), "-l", strconv.Itoa(mailBytes),
			"-f", "ada@example.com", "-t", "support@desk.test", to).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("smtp-source: %w: %s", err, output)
		}
		return float64(o.mails) / time.Since(begin).Seconds(), nil
	}
	var ours, bounds []float64
	for range o.turns {
		bound, err := round(postfix)
		if err != nil {
			return nil, err
		}
		rate, err := round(addr)
		if err != nil {
			return nil, err
		}
		ours, bounds = append(ours, rate), append(bounds, bound)
		progress("  inbound: %.0f/s, Postfix %.0f/s", rate, bound)
	}
	var size float64
	if err := s.inDatabase(ctx, "inbound", func(conn *pgx.Conn) error {
		var stored int
		if err := conn.QueryRow(ctx, "select count(*), pg_database_size('inbound') from inbound_mails").Scan(&stored, &size); err != nil {
			return err
		}
		if stored != o.mails*o.turns {
			return fmt.Errorf("%d mails are stored, want %d", stored, o.mails*o.turns)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	l := atLeast("mails taken in over 10 SMTP connections, durable, against Postfix's queue", ours, bounds, 1, "/s")
	l.note = fmt.Sprintf("a mail of %.1f kB takes %.1f kB in the database", float64(mailBytes)/1000, size/float64(o.mails*o.turns)/1000)
	return []line{l}, nil
}

// startPostfix runs a Postfix with a queue of its own on the measured disk.
func (s *stack) startPostfix(ctx context.Context) (addr string, stop func(), err error) {
	program, err := postfixTool("postfix")
	if err != nil {
		return "", nil, err
	}
	if os.Geteuid() != 0 {
		return "", nil, errors.New("Postfix needs root")
	}
	if addr, err = launch.FreeAddress(); err != nil {
		return "", nil, err
	}
	dir := filepath.Join(s.dir, "postfix")
	conf, err := postfix.Configure(dir, addr, fmt.Sprintf(postfixSettings, dir), "qmgr unix n - n 300 1 qmgr\n")
	if err != nil {
		return "", nil, err
	}
	if output, err := exec.CommandContext(ctx, program, "-c", conf, "start").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("start Postfix: %w: %s", err, output)
	}
	stop = func() { _ = exec.Command(program, "-c", conf, "stop").Run() }
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := launch.WaitListening(ctx, addr); err != nil {
		stop()
		return "", nil, fmt.Errorf("start Postfix: %w", err)
	}
	return addr, stop, nil
}

// postfixSettings have Postfix hold what comes in; %[1]s is its folder.
const postfixSettings = `maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = mail.desk.test
mydestination =
relay_domains = desk.test
smtpd_end_of_data_restrictions = check_client_access static:HOLD
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 100
`
