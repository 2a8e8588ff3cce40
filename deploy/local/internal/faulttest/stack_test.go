package faulttest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
)

const (
	adminEmail = "admin@fixdesk.example"
	password   = "correct horse battery staple"
)

// variables are environment variables of a service.
type variables map[string]string

// stack is one installation: two databases, signing keys and a mail server.
// The services are started one by one.
type stack struct {
	dir    string
	bin    string // the folder of the services' programs
	server *pgserver.Server
	keys   string
	mail   *mailServer

	// crm and notify are the test's own pools of the two databases.
	crm, notify *pgxpool.Pool
	crmName     string
	notifyName  string

	crmAddr, notifyAddr string // of the first replica of each
}

var databases atomic.Int32

// newStack makes an installation on server.
func newStack(t *testing.T, server *pgserver.Server) *stack {
	t.Helper()
	return newStackFrom(t, server, "crm", "notification")
}

// newStackFrom makes an installation whose databases are copies of the named ones.
func newStackFrom(t *testing.T, server *pgserver.Server, crm, notification string) *stack {
	t.Helper()
	n := databases.Add(1)
	s := &stack{
		dir: t.TempDir(), bin: filepath.Join(shared.dir, "bin"), server: server, mail: startMail(t),
		crmName: fmt.Sprintf("crm%d", n), notifyName: fmt.Sprintf("notification%d", n),
		crmAddr: freeAddress(t), notifyAddr: freeAddress(t),
	}
	s.keys = filepath.Join(s.dir, "keys.json")
	if output, err := exec.Command(binary("crm"), "keys", "rotate", "--file", s.keys).CombinedOutput(); err != nil {
		t.Fatalf("make the keys: %v\n%s", err, output)
	}
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for name, template := range map[string]string{s.crmName: crm, s.notifyName: notification} {
		if _, err := conn.Exec(t.Context(), "create database "+name+" template "+template); err != nil {
			t.Fatal(err)
		}
	}
	s.crm, s.notify = newPool(t, server.URL(s.crmName)), newPool(t, server.URL(s.notifyName))
	return s
}

// databaseURL sets timeouts of a minute, so that only a fault makes the services
// answer 503.
func (s *stack) databaseURL(name string) string {
	return s.server.URL(name) + "&statement_timeout=60000&idle_in_transaction_session_timeout=60000&connect_timeout=60"
}

func newPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func binary(name string) string { return filepath.Join(shared.dir, "bin", name) }

// freeAddress returns an address to listen on, which a restart uses again.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// startCRM starts a replica of the CRM; more overrides its variables.
func (s *stack) startCRM(t *testing.T, more variables) *service {
	t.Helper()
	v := variables{
		"CRM_ADDR": s.crmAddr, "CRM_OPS_ADDR": "off", "CRM_DATABASE_URL": s.databaseURL(s.crmName), "CRM_NOTIFICATION_URL": "http://" + s.notifyAddr,
		"CRM_KEYS_FILE": s.keys, "CRM_ADMIN_EMAIL": adminEmail, "CRM_ADMIN_PASSWORD": password, "CRM_RELAY_INTERVAL": "200ms", "CRM_TICKETS_PER_HOUR": "1000000",
		"CRM_REQUEST_TIMEOUT": "60s", "CRM_SHUTDOWN_TIMEOUT": "60s", "CRM_RATE_LIMIT": "off", "CRM_RATE_LIMIT_NETWORK": "off",
	}
	maps.Copy(v, more)
	return s.start(t, "crm", v["CRM_ADDR"], v)
}

// startNotification starts a replica of the notification service.
func (s *stack) startNotification(t *testing.T, more variables) *service {
	t.Helper()
	v := variables{
		"NOTIFICATION_ADDR": s.notifyAddr, "NOTIFICATION_OPS_ADDR": "off", "NOTIFICATION_DATABASE_URL": s.databaseURL(s.notifyName),
		"NOTIFICATION_JWKS_URL": "http://" + s.crmAddr + "/.well-known/jwks.json", "NOTIFICATION_SMTP_URL": "smtp://" + s.mail.Addr() + "?tls=none",
		"NOTIFICATION_POLL_INTERVAL": "200ms", "NOTIFICATION_RETRY_BASE": "200ms",
		"NOTIFICATION_REQUEST_TIMEOUT": "60s", "NOTIFICATION_SHUTDOWN_TIMEOUT": "60s", "NOTIFICATION_RATE_LIMIT": "off",
	}
	maps.Copy(v, more)
	return s.start(t, "notification", v["NOTIFICATION_ADDR"], v)
}

// service is a running replica.
type service struct {
	*launch.Service
	url string
}

var replicas atomic.Int32

// begin starts a service without waiting for it.
func (s *stack) begin(t *testing.T, name, addr string, v variables) *service {
	t.Helper()
	environment := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	for variable, value := range v {
		environment = append(environment, variable+"="+value)
	}
	process, err := launch.Start(launch.Options{
		Name: name, Program: filepath.Join(s.bin, name), Address: addr, Environment: environment,
		LogFile: filepath.Join(s.dir, fmt.Sprintf("%s-%d.log", name, replicas.Add(1))),
	})
	if err != nil {
		t.Fatal(err)
	}
	svc := &service{Service: process, url: "http://" + addr}
	t.Cleanup(func() {
		svc.Kill()
		if t.Failed() {
			t.Log(svc.LogEnd())
		}
	})
	return svc
}

func (s *stack) start(t *testing.T, name, addr string, v variables) *service {
	t.Helper()
	svc := s.begin(t, name, addr, v)
	svc.waitReady(t)
	return svc
}

func (svc *service) waitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := svc.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// terminate sends SIGTERM and expects exit code 0.
func (svc *service) terminate(t *testing.T) {
	t.Helper()
	if err := svc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	svc.ended(t)
}

func (svc *service) ended(t *testing.T) {
	t.Helper()
	select {
	case <-svc.Done():
		if err := svc.Err(); err != nil {
			t.Errorf("%s ended with %v", svc.Name, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s does not end", svc.Name)
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %s", patience, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// count reads one number.
func count(t *testing.T, db querier, sql string, arguments ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRow(context.Background(), sql, arguments...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
}
