package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"

	"github.com/google/uuid"
)

// The floor of reads is what any service on net/http and pgx costs that reads a session and a ticket:
// a server without checks, log and metrics, which answers with a text that is ready. It
// shares round trips as the CRM does.

const (
	readFloorDatabase = "BENCH_READ_FLOOR_DATABASE"
	readFloorAddr     = "BENCH_READ_FLOOR_ADDR"

	readFloorSessions = `select p.id, p.name, p.email, p.role
from unnest((select $1::uuid[])) as wanted(id)
cross join lateral (
	select s.id, u.name, u.email, u.role from sessions s join users u on u.id = s.user_id
	where s.id = wanted.id and s.revoked_at is null and s.expires_at > now() and u.status = 'approved'
	offset 0) p`
	readFloorTickets = `select f.*
from unnest((select $1::uuid[])) as wanted(id)
cross join lateral (
	select t.id, t.number, t.title, t.description, t.status, t.priority,
		t.reporter_id, r.name as reporter_name, r.email as reporter_email, t.assignee_id, a.name as assignee_name,
		t.resolution, t.blocked_reason, t.waiting_for, t.version,
		t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files
	from tickets t
	join users r on r.id = t.reporter_id
	left join users a on a.id = t.assignee_id
	where t.id = wanted.id
	offset 0) f`
	// readFloorBody is as long as a ticket of the benchmark.
	readFloorBody = 800
)

// measureReadFloor compares the floor with pgbench as the row on GET does, and reading the
// session alone, which an answer 304 needs at least, with both reads.
func measureReadFloor(ctx context.Context, s *stack, o options) ([]line, error) {
	if err := s.makeTickets(ctx, "tickets", smallTickets); err != nil {
		return nil, err
	}
	for _, database := range []string{"floor_ours", "floor_yardstick"} {
		if err := s.clone(ctx, database, "tickets"); err != nil {
			return nil, err
		}
	}
	svc, err := s.startReadFloor(ctx, "floor_ours")
	if err != nil {
		return nil, err
	}
	client, err := s.client(svc.Address, smallTickets)
	if err != nil {
		return nil, err
	}
	both := sides{client: client, ours: "floor_ours", yardstick: "floor_yardstick"}
	lines := s.compareAll(ctx, o, both, []comparison{{
		name: "floor", work: "a session and a ticket by net/http and pgx alone, 16 connections", script: "get", conns: connections,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.get },
	}})
	l, err := s.measureUnchanged(ctx, o, client, unchanged{
		work: "a 304 for which the session alone is read, 16 connections (yardstick: a session and a ticket)", requests: client.oneTicket(),
	})
	return append(lines, l), err
}

// startReadFloor starts this program as the floor.
func (s *stack) startReadFloor(ctx context.Context, database string) (*launch.Service, error) {
	addr, err := launch.FreeAddress()
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	svc, err := launch.Start(launch.Options{
		Name: "floor", Program: program, Address: addr, Dir: s.dir, LogFile: filepath.Join(s.dir, "floor.log"),
		Environment: []string{readFloorDatabase + "=" + s.postgres.URL(database), readFloorAddr + "=" + addr},
	})
	if err != nil {
		return nil, err
	}
	s.services = append(s.services, svc)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return svc, svc.WaitReady(ctx)
}

// serveReadFloor is the floor.
func serveReadFloor(ctx context.Context) error {
	pool, err := pg.Open(ctx, os.Getenv(readFloorDatabase), pg.Config{Application: "floor"})
	if err != nil {
		return err
	}
	obs.SaveMemory(16 << 20)
	reads := pg.NewShared(pool, time.Now)
	sessions, tickets := pg.NewSharedRows(reads, existing(readFloorSessions)), pg.NewSharedRows(reads, existing(readFloorTickets))
	body := []byte(`"` + strings.Repeat("x", readFloorBody-3) + "\"\n")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/tickets/{id}", func(w http.ResponseWriter, r *http.Request) {
		ticket, err := uuid.Parse(r.PathValue("id"))
		number, err2 := strconv.Atoi(strings.TrimLeft(r.PathValue("id")[24:], "0"))
		if err != nil || err2 != nil {
			http.Error(w, "no id", http.StatusNotFound)
			return
		}
		session := sessions.Ask(uuid.MustParse(id(sessionIDs, reporterOf(number))))
		unchanged := r.Header.Get("If-None-Match") != ""
		var found bool
		if !unchanged {
			_, found, err = tickets.Get(r.Context(), ticket)
		}
		_, known, err2 := session.Get(r.Context())
		switch {
		case err != nil || err2 != nil || !known || !found && !unchanged:
			http.Error(w, "not read", http.StatusInternalServerError)
		case unchanged:
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header()["Content-Type"] = []string{"application/json"}
			w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
			w.Header()["Etag"] = []string{`"1"`}
			_, _ = w.Write(body)
		}
	})
	server := &http.Server{Addr: os.Getenv(readFloorAddr), Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// existing reads the rows of keys, and of each the key alone.
func existing(sql string) func(context.Context, pg.DBTX, []uuid.UUID) (map[uuid.UUID]bool, error) {
	return func(ctx context.Context, db pg.DBTX, keys []uuid.UUID) (map[uuid.UUID]bool, error) {
		rows, err := db.Query(ctx, sql, keys)
		if err != nil {
			return nil, err
		}
		found := make(map[uuid.UUID]bool, len(keys))
		for rows.Next() {
			found[uuid.UUID(rows.RawValues()[0])] = true
		}
		rows.Close()
		return found, rows.Err()
	}
}
