package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// lives is how many tickets go through a whole life, and livesAtOnce how many of them
// at the same time.
const (
	lives       = 4000
	livesAtOnce = 8
)

// life is what a ticket's people do, in this order: its customer raises it, its
// engineer accepts, both comment, the engineer resolves it.
const life = "raised, accepted, two comments, resolved"

// measureCapacity takes tickets through whole lives, with the mails about them, and
// measures what each costs: bytes in the databases, WAL, CPU time.
func measureCapacity(ctx context.Context, s *stack, o options) ([]line, error) {
	count := lives
	if o.turns == 1 {
		count /= 10
	}
	sink, err := s.startSink(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.makeDatabase(ctx, "capacity_mails", "notification"); err != nil {
		return nil, err
	}
	if err := s.makeTickets(ctx, "capacity_tickets", smallTickets); err != nil {
		return nil, err
	}
	notification, err := s.startNotification(ctx, "capacity_mails", sink, nil)
	if err != nil {
		return nil, err
	}
	crm, err := s.startCRM(ctx, "capacity_tickets", "http://"+notification.Address)
	if err != nil {
		return nil, err
	}
	client, err := s.client(crm.Address, smallTickets)
	if err != nil {
		return nil, err
	}
	if err := s.live(ctx, client, livesAtOnce); err != nil { // tables and indexes have their first pages
		return nil, err
	}
	before, err := s.used(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.live(ctx, client, count); err != nil {
		return nil, err
	}
	after, err := s.used(ctx)
	if err != nil {
		return nil, err
	}
	files, err := s.measureFiles(ctx, client)
	return append(after.minus(before).lines(float64(count)), files), err
}

const (
	storedFiles   = 100
	storedFileLen = 300_000
)

// measureFiles stores files of bytes that don't compress, as pictures don't.
func (s *stack) measureFiles(ctx context.Context, client crmClient) (line, error) {
	before, err := s.tables(ctx, "capacity_tickets")
	if err != nil {
		return line{}, err
	}
	random := mathrand.NewChaCha8([32]byte{})
	for n := range storedFiles {
		file := make([]byte, storedFileLen)
		_, _ = random.Read(file)
		if err := client.upload(ctx, 1+n%customers, file); err != nil {
			return line{}, err
		}
	}
	after, err := s.tables(ctx, "capacity_tickets")
	each := after.minus(before).sum() / storedFiles
	return line{work: fmt.Sprintf("a file of %d kB in the CRM's database", storedFileLen/1000), ours: fmt.Sprintf("%.1f kB", each/1000)}, err
}

func (client crmClient) upload(ctx context.Context, person int, file []byte) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "picture.bin")
	if err != nil {
		return err
	}
	_, _ = part.Write(file)
	if err := form.Close(); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+client.addr+"/v1/attachments", &body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+client.tokens[person])
	request.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("the upload is answered %d", answer.StatusCode)
	}
	return nil
}

// used is what was used so far.
type used struct {
	tickets, mails           tables
	wal                      float64 // bytes
	crm, notification, pgsql time.Duration
	recipients               float64
}

// tables is the size in bytes of each table of a database, with its indexes.
type tables map[string]float64

// used reads it after a vacuum, as autovacuum does it in time.
func (s *stack) used(ctx context.Context) (u used, err error) {
	for _, svc := range s.services {
		switch svc.Name {
		case "crm":
			u.crm = cpuOf(svc.Pid())
		case "notification":
			u.notification = cpuOf(svc.Pid())
		}
	}
	u.pgsql = between(nil, s.spent().postgres)
	if err := s.admin.QueryRow(ctx, "select (pg_current_wal_insert_lsn() - '0/0')::float8").Scan(&u.wal); err != nil {
		return u, err
	}
	for database, sizes := range map[string]*tables{"capacity_tickets": &u.tickets, "capacity_mails": &u.mails} {
		if err := s.execute(ctx, database, "vacuum analyze"); err != nil {
			return u, err
		}
		if *sizes, err = s.tables(ctx, database); err != nil {
			return u, err
		}
	}
	return u, s.inDatabase(ctx, "capacity_mails", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select count(*)::float8 from recipients").Scan(&u.recipients)
	})
}

func (s *stack) tables(ctx context.Context, database string) (sizes tables, err error) {
	sizes = tables{}
	err = s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "select relname, pg_total_relation_size(relid)::float8 from pg_stat_user_tables")
		if err != nil {
			return err
		}
		var name string
		var size float64
		_, err = pgx.ForEachRow(rows, []any{&name, &size}, func() error {
			sizes[name] = size
			return nil
		})
		return err
	})
	return sizes, err
}

func (t tables) minus(before tables) tables {
	grown := tables{}
	for name, size := range t {
		grown[name] = size - before[name]
	}
	return grown
}

func (t tables) sum() (all float64) {
	for _, size := range t {
		all += size
	}
	return all
}

// largest names those tables with at least a twentieth of the sum, in kB for each of so many.
func (t tables) largest(of float64) string {
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(t), func(a, b string) int { return cmp.Compare(t[b], t[a]) }) {
		if t[name] >= t.sum()/20 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, t[name]/of/1000))
		}
	}
	return strings.Join(parts, ", ")
}

func (u used) minus(before used) used {
	return used{
		tickets: u.tickets.minus(before.tickets), mails: u.mails.minus(before.mails), wal: u.wal - before.wal,
		crm: u.crm - before.crm, notification: u.notification - before.notification, pgsql: u.pgsql - before.pgsql,
		recipients: u.recipients - before.recipients,
	}
}

// lines describes what so many lives used.
func (u used) lines(lives float64) []line {
	kB := func(bytes, of float64) string { return fmt.Sprintf("%.1f kB", bytes/of/1000) }
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000/lives) }
	return []line{
		{work: "a ticket's life: " + life, ours: fmt.Sprintf("%.1f mails", u.recipients/lives)},
		{work: "what it leaves in the CRM's database", ours: kB(u.tickets.sum(), lives), note: u.tickets.largest(lives)},
		{work: "what one mail leaves in the notification service's database", ours: kB(u.mails.sum(), u.recipients), note: u.mails.largest(u.recipients)},
		{work: "WAL of a life with its mails, both databases, images of pages included", ours: kB(u.wal, lives)},
		{
			work: "CPU time of a life with its mails", ours: ms(u.crm + u.notification + u.pgsql),
			note: fmt.Sprintf("crm %s, notification %s, PostgreSQL %s", ms(u.crm), ms(u.notification), ms(u.pgsql)),
		},
	}
}

// live takes tickets through their lives and waits until their mails are sent.
func (s *stack) live(ctx context.Context, client crmClient, count int) error {
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(livesAtOnce)
	for n := range count {
		group.Go(func() error { return client.live(each, 1+n%customers) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.waitUntilNone(ctx, "capacity_tickets", "select exists (select from outbox where done_at is null and dead_at is null)"); err != nil {
		return err
	}
	return s.waitUntilNone(ctx, "capacity_mails", "select exists (select from recipients where finished_at is null)")
}

// waitUntilNone waits until a query that asks for work left says no.
func (s *stack) waitUntilNone(ctx context.Context, database, query string) error {
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error { return untilNone(ctx, conn, query) })
}

// untilNone is waitUntilNone over a connection.
func untilNone(ctx context.Context, conn *pgx.Conn, query string, args ...any) error {
	for {
		var left bool
		if err := conn.QueryRow(ctx, query, args...).Scan(&left); err != nil || !left {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// live takes one ticket of a customer through its life.
func (client crmClient) live(ctx context.Context, customer int) error {
	var ticket struct {
		ID       string `json:"id"`
		Assignee struct {
			ID string `json:"id"`
		} `json:"assignee"`
	}
	body, err := client.do(ctx, "POST", "/v1/tickets", customer, newTicket)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &ticket); err != nil {
		return err
	}
	engineer, err := strconv.Atoi(strings.TrimPrefix(ticket.Assignee.ID, userIDs))
	if err != nil {
		return fmt.Errorf("the ticket has no engineer of the benchmark: %w", err)
	}
	path := "/v1/tickets/" + ticket.ID
	for _, step := range []struct {
		method, path string
		person       int
		body         string
	}{
		{"POST", path + "/accept", engineer, ""},
		{"POST", path + "/comments", engineer, `{"body":"` + commentText + `"}`},
		{"POST", path + "/comments", customer, `{"body":"` + commentText + `"}`},
		{"PATCH", path, engineer, `{"status":"resolved","resolution":"` + commentText + `"}`},
	} {
		if _, err := client.do(ctx, step.method, step.path, step.person, step.body); err != nil {
			return err
		}
	}
	return nil
}
