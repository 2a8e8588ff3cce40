package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// logPrefix is the server's log_line_prefix: the application's name.
const logPrefix = "@@%a@@ "

// statement is one that a service ran, with its parameters.
type statement struct {
	sql    string
	values []*string // nil is NULL
}

// statementsOf returns the statements that one request of the CRM runs, in their
// order. It repeats the request while the server logs statements: what ran as often
// as the request is the request's, the rest a background loop's.
func (s *stack) statementsOf(ctx context.Context, request func() error) ([]statement, error) {
	const times = 7
	for range 3 { // the first ones on a connection run more
		if err := request(); err != nil {
			return nil, err
		}
	}
	log, err := os.Open(s.serverLog())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if err := s.logStatements(ctx, "all"); err != nil {
		return nil, err
	}
	before, err := log.Stat()
	if err != nil {
		return nil, err
	}
	for range times {
		if err := request(); err != nil {
			return nil, err
		}
	}
	if err := s.logStatements(ctx, "none"); err != nil {
		return nil, err
	}
	after, err := log.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, after.Size()-before.Size())
	if _, err := log.ReadAt(text, before.Size()); err != nil {
		return nil, err
	}
	var own []statement
	runs := map[string]int{}
	for _, st := range readLog(string(text), "fixdesk-crm") {
		if runs[st.sql]++; runs[st.sql] == times {
			own = append(own, st)
		}
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("the server's log has no statement of the service")
	}
	return own, nil
}

// logStatements changes log_statement and waits until every connection has it.
func (s *stack) logStatements(ctx context.Context, which string) error {
	for _, sql := range []string{"alter system set log_statement = '" + which + "'", "select pg_reload_conf()"} {
		if _, err := s.admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(300 * time.Millisecond):
	}
	return ctx.Err()
}

var (
	executed  = regexp.MustCompile(`^(?:execute [^:]*|statement): `)
	parameter = regexp.MustCompile(`\$\d+ = (?:NULL|'(?:[^']|'')*')`)
	comment   = regexp.MustCompile(`(?m)^\s*--.*\n`)
)

// readLog returns the application's statements in the server's log, where a line
// break within one is followed by a tab.
func readLog(log, application string) []statement {
	var list []statement
	prefix := strings.ReplaceAll(logPrefix, "%a", application)
	for entry := range strings.SplitSeq(strings.ReplaceAll(log, "\n\t", "\v"), "\n") {
		entry, ours := strings.CutPrefix(entry, prefix)
		if !ours {
			continue
		}
		entry = strings.ReplaceAll(entry, "\v", "\n")
		if text, ok := strings.CutPrefix(entry, "LOG:  "); ok {
			if at := executed.FindStringIndex(text); at != nil {
				list = append(list, statement{sql: comment.ReplaceAllString(text[at[1]:], "")})
			}
		}
		if text, ok := strings.CutPrefix(entry, "DETAIL:  parameters: "); ok && len(list) > 0 {
			for _, p := range parameter.FindAllString(text, -1) {
				list[len(list)-1].values = append(list[len(list)-1].values, value(p))
			}
		}
	}
	return list
}

func value(parameter string) *string {
	_, text, _ := strings.Cut(parameter, " = ")
	if text == "NULL" {
		return nil
	}
	text = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	return &text
}

var (
	placeholder = regexp.MustCompile(`\$\d+`)
	uuidText    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	literalText = regexp.MustCompile(`'(?:[^']|'')*'`)
	// pgbench takes a colon before a word for a variable even within quotes.
	colonWord = regexp.MustCompile(`:[A-Za-z_0-9]`)
	timeText  = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
)

// script returns statements as a script for pgbench. known has the pgbench
// expressions of values that differ between requests. Another UUID is replaced by a
// new one each time, larger than those before, as UUIDv7 are; another time by now();
// all else is a variable with its value, which pgbench sends as a parameter.
func script(statements []statement, set string, known map[string]string) (text string, variables map[string]string) {
	variables = map[string]string{}
	var out strings.Builder
	out.WriteString("\\set seq :seq + 1\n" + set + "\n")
	fresh := 0
	for i, st := range statements {
		expressions := make([]string, len(st.values))
		for n, v := range st.values {
			switch {
			case v == nil:
				expressions[n] = "null"
			case known[*v] != "":
				expressions[n] = known[*v]
			case uuidText.MatchString(*v):
				fresh++
				expressions[n] = fmt.Sprintf("(:seq::text || lpad(:client_id::text, 3, '0') || '%013d')::uuid", fresh)
			case timeText.MatchString(*v):
				expressions[n] = "now()"
			default:
				name := fmt.Sprintf("p%d_%d", i, n+1)
				expressions[n] = ":" + name
				variables[name] = *v
			}
		}
		sql := literalText.ReplaceAllStringFunc(st.sql, func(literal string) string {
			if !colonWord.MatchString(literal) {
				return literal
			}
			name := fmt.Sprintf("l%d", len(variables))
			variables[name] = strings.ReplaceAll(literal[1:len(literal)-1], "''", "'")
			return ":" + name
		})
		out.WriteString(placeholder.ReplaceAllStringFunc(sql, func(p string) string {
			if n, _ := strconv.Atoi(p[1:]); n <= len(expressions) {
				return expressions[n-1]
			}
			return p
		}))
		out.WriteString(";\n")
	}
	return out.String(), variables
}

// numbered returns the pgbench expression of an id whose number is a variable.
func numbered(kind, variable string) string {
	return "('" + kind + "' || lpad(:" + variable + "::text, 12, '0'))::uuid"
}
