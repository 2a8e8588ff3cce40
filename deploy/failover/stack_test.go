package failover

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/smtptest"
)

const (
	adminEmail = "admin@fixdesk.example"
	password   = "correct horse battery staple"
	drainDelay = "5s"
)

// stack is a cluster with two replicas of each service behind HAProxy. They reach the
// database by PgBouncer and HAProxy; their migrations name both nodes.
type stack struct {
	*cluster
	bin      string
	mail     *smtptest.Server
	mailAddr string
	crm      string // URL of HAProxy's frontend
	replicas map[string]*launch.Service
	options  map[string]launch.Options
}

// newStack starts everything and waits until it is ready.
func newStack(t *testing.T, synchronous bool) *stack {
	t.Helper()
	s := &stack{cluster: newCluster(t, synchronous), bin: t.TempDir(), replicas: map[string]*launch.Service{}, options: map[string]launch.Options{}}
	if err := launch.Build(t.Context(), s.bin); err != nil {
		t.Fatal(err)
	}
	s.mail = (&smtptest.Server{}).Start(t, "")
	s.mailAddr = s.mail.Addr()
	for _, name := range []string{"crm", "notification"} {
		s.exec(t, "postgres", "postgres", "create role "+name+" login", "create database "+name+" owner "+name)
		for _, limit := range []string{"statement_timeout = '5s'", "lock_timeout = '2s'", "idle_in_transaction_session_timeout = '10s'", "jit = off", "random_page_cost = 1.1", "max_parallel_workers_per_gather = 0"} {
			s.exec(t, "postgres", "postgres", "alter role "+name+" set "+limit)
		}
	}
	address := map[string]string{}
	for _, name := range []string{"CRM_BIND", "CRM_1", "CRM_2", "NOTIFICATION_BIND", "NOTIFICATION_1", "NOTIFICATION_2", "DATABASE_BIND", "PGBOUNCER"} {
		address[name] = freeAddress(t)
	}
	s.crm = "http://" + address["CRM_BIND"]
	s.startHAProxy(t, address)
	s.startPgBouncer(t, address)
	s.configure(t, address)
	for name := range s.options {
		if strings.HasSuffix(name, "1") { // migrates
			program, _ := strings.CutSuffix(name, "1")
			s.command(t, name, program, "migrate")
		}
	}
	for name := range s.options {
		s.startReplica(t, name)
	}
	s.awaitReplicas(t)
	for _, name := range []string{"CRM_BIND", "NOTIFICATION_BIND"} {
		eventually(t, "HAProxy sees the replicas", func() bool { return isOK("http://" + address[name] + "/readyz") })
	}
	return s
}

// startHAProxy runs haproxy.cfg.
func (s *stack) startHAProxy(t *testing.T, address map[string]string) {
	t.Helper()
	environment := []string{"STATS_SOCKET=" + filepath.Join(s.dir, "haproxy.sock")}
	for i, n := range s.nodes {
		environment = append(environment, fmt.Sprintf("DATABASE_%d=%s", i+1, n.address), fmt.Sprintf("PATRONI_%d=%s", i+1, portOf(n.rest)))
	}
	for name, value := range address {
		environment = append(environment, name+"="+value)
	}
	config, err := filepath.Abs("haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	readable := filepath.Join(s.dir, "haproxy.cfg")
	if err := os.WriteFile(readable, text, 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(t, "haproxy", "env", append(environment, "haproxy", "-db", "-f", readable)...)
}

// pgBouncer is the program of the pooler, and whether it keeps prepared statements, as
// from 1.21 on.
func pgBouncer(t *testing.T) (program string, prepares bool) {
	t.Helper()
	program = cmp.Or(os.Getenv("FIXDESK_PGBOUNCER"), "pgbouncer")
	output, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(output), "PgBouncer %d.%d", &major, &minor); err != nil {
		t.Fatalf("%s: %v", output, err)
	}
	return program, major > 1 || minor >= 21
}

// startPgBouncer runs PgBouncer in transaction mode, with fewer connections to the
// server than the replicas have to it.
func (s *stack) startPgBouncer(t *testing.T, address map[string]string) {
	t.Helper()
	program, prepares := pgBouncer(t)
	users := filepath.Join(s.dir, "users.txt")
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%s\nunix_socket_dir=\nauth_type=trust\nauth_file=%s\n"+
		"pool_mode=transaction\ndefault_pool_size=6\nmax_client_conn=500\nquery_wait_timeout=5\nserver_connect_timeout=2\nserver_login_retry=1\n",
		portOf(address["DATABASE_BIND"]), portOf(address["PGBOUNCER"]), users)
	if prepares {
		text += "max_prepared_statements=200\n"
	}
	for path, content := range map[string]string{users: `"crm" ""` + "\n" + `"notification" ""` + "\n", filepath.Join(s.dir, "pgbouncer.ini"): text} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, "pgbouncer", program, filepath.Join(s.dir, "pgbouncer.ini"))
}

// pooled is the URL of a service's database through PgBouncer.
func pooled(t *testing.T, service, address string) string {
	t.Helper()
	url := "postgres://" + service + "@" + address + "/" + service + "?sslmode=disable"
	if _, prepares := pgBouncer(t); prepares {
		url += "&default_query_exec_mode=cache_statement"
	}
	return url
}

// configure sets the options of all replicas.
func (s *stack) configure(t *testing.T, address map[string]string) {
	t.Helper()
	keys := filepath.Join(s.bin, "keys.json")
	if output, err := exec.Command(filepath.Join(s.bin, "crm"), "keys", "rotate", "--file", keys).CombinedOutput(); err != nil {
		t.Fatalf("make the keys: %v\n%s", err, output)
	}
	for n := 1; n <= 2; n++ {
		for name, variables := range map[string]map[string]string{
			"crm": {
				"CRM_DATABASE_URL": pooled(t, "crm", address["PGBOUNCER"]), "CRM_DATABASE_POOLER": "transaction",
				"CRM_MIGRATE_DATABASE_URL": s.url("crm", "crm"),
				"CRM_NOTIFICATION_URL":     "http://" + address["NOTIFICATION_BIND"], "CRM_KEYS_FILE": keys,
				"CRM_ADMIN_EMAIL": adminEmail, "CRM_ADMIN_PASSWORD": password, "CRM_RATE_LIMIT": "off", "CRM_RATE_LIMIT_NETWORK": "off",
			},
			"notification": {
				"NOTIFICATION_DATABASE_URL": pooled(t, "notification", address["PGBOUNCER"]), "NOTIFICATION_DATABASE_POOLER": "transaction",
				"NOTIFICATION_MIGRATE_DATABASE_URL": s.url("notification", "notification"),
				"NOTIFICATION_JWKS_URL":             s.crm + "/.well-known/jwks.json", "NOTIFICATION_SMTP_URL": "smtp://" + s.mailAddr + "?tls=none",
				"NOTIFICATION_RATE_LIMIT": "off", "NOTIFICATION_LEASE": "15s",
			},
		} {
			prefix, replica := strings.ToUpper(name), fmt.Sprintf("%s%d", name, n)
			listen := address[fmt.Sprintf("%s_%d", prefix, n)]
			common := map[string]string{"_ADDR": listen, "_OPS_ADDR": "off", "_DRAIN_DELAY": drainDelay, "_MIGRATE": "off", "_INSTANCE": replica, "_LOG_LEVEL": "warn"}
			for variable, value := range common {
				variables[prefix+variable] = value
			}
			s.options[replica] = launch.Options{
				Name: replica, Program: filepath.Join(s.bin, name), Address: listen, LogFile: filepath.Join(s.bin, replica+".log"), Environment: environment(variables),
			}
		}
	}
}

func environment(variables map[string]string) []string {
	list := []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		list = append(list, name+"="+variables[name])
	}
	return list
}

// command runs a command of a service with the environment of a replica.
func (s *stack) command(t *testing.T, replica, program string, arguments ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), arguments...)
	cmd.Env = s.options[replica].Environment
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, arguments, err, output)
	}
}

func (s *stack) startReplica(t *testing.T, name string) {
	t.Helper()
	process, err := launch.Start(s.options[name])
	if err != nil {
		t.Fatal(err)
	}
	s.replicas[name] = process
	t.Cleanup(func() {
		process.Kill()
		if t.Failed() {
			t.Log(process.LogEnd())
		}
	})
}

func (s *stack) awaitReplicas(t *testing.T) {
	t.Helper()
	for _, replica := range s.replicas {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := replica.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// restart stops a replica as systemd and Kubernetes do, and starts it again.
func (s *stack) restart(t *testing.T, name string) {
	t.Helper()
	if err := s.replicas[name].Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.replicas[name].Done()
	s.startReplica(t, name)
	s.awaitReplicas(t)
}

// kill ends a replica at once.
func (s *stack) kill(name string) { s.replicas[name].Kill() }

// logged counts the lines of all replicas by level and text.
func (s *stack) logged() map[string]int {
	count := map[string]int{}
	for _, options := range s.options {
		text, err := os.ReadFile(options.LogFile)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			var fields struct{ Level, Msg, Job string }
			if json.Unmarshal([]byte(line), &fields) == nil {
				count[strings.TrimSpace(fields.Level+" "+fields.Msg+" "+fields.Job)]++
			}
		}
	}
	return count
}
