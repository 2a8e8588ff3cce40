package failover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/subprocess"
)

// patience is far above what any step takes.
const patience = 3 * time.Minute

// object is a JSON object.
type object map[string]any

// node is a PostgreSQL server under Patroni.
type node struct {
	name          string
	dir           string
	address, rest string // host:port of PostgreSQL and of Patroni
	configuration string
	patroni       *subprocess.Process
}

// cluster is etcd and two nodes.
type cluster struct {
	dir   string
	nodes [2]*node
}

// newCluster starts a cluster and waits until it has a primary and a standby.
func newCluster(t *testing.T, synchronous bool) *cluster {
	t.Helper()
	c := &cluster{dir: postgresFolder(t)}
	etcd, peer := freeAddress(t), freeAddress(t)
	c.run(t, "etcd", "etcd", "--data-dir", filepath.Join(c.dir, "etcd"), "--name", "one", "--unsafe-no-fsync",
		"--listen-client-urls", "http://"+etcd, "--advertise-client-urls", "http://"+etcd,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster", "one=http://"+peer)
	for i := range c.nodes {
		n := &node{name: fmt.Sprintf("node%d", i+1), address: freeAddress(t), rest: freeAddress(t)}
		n.dir, n.configuration = filepath.Join(c.dir, n.name), filepath.Join(c.dir, n.name+".yml")
		text, err := json.Marshal(n.settings(c.dir, etcd, synchronous)) // JSON is YAML
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n.configuration, text, 0o644); err != nil {
			t.Fatal(err)
		}
		c.nodes[i] = n
		c.start(t, n)
		eventually(t, n.name+" runs", func() bool { return n.is("/health") })
	}
	eventually(t, "a primary", func() bool { return c.primary() != nil })
	standby := "/replica"
	if synchronous {
		standby = "/synchronous"
	}
	eventually(t, "a standby", func() bool { return c.standby().is(standby) })
	return c
}

// settings is Patroni's configuration of a node.
func (n *node) settings(dir, etcd string, synchronous bool) object {
	account := func(name string) object { return object{"username": name, "password": "secret"} }
	return object{
		"scope": "fixdesk", "name": n.name,
		"restapi": object{"listen": n.rest, "connect_address": n.rest},
		"etcd3":   object{"host": etcd},
		"bootstrap": object{
			"dcs": object{
				"ttl": 20, "loop_wait": 2, "retry_timeout": 3, "primary_start_timeout": 0, "synchronous_mode": synchronous,
				"maximum_lag_on_failover": 1 << 30,
				"postgresql":              object{"use_pg_rewind": true, "parameters": object{"max_connections": 150, "wal_log_hints": "on"}},
			},
			"initdb": []any{object{"encoding": "UTF8"}, object{"locale": "C"}, "data-checksums"},
			"pg_hba": []string{"local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"},
		},
		"postgresql": object{
			"listen": n.address, "connect_address": n.address, "data_dir": n.dir, "bin_dir": "/usr/lib/postgresql/15/bin", "pgpass": n.dir + ".pgpass",
			"authentication": object{"superuser": account("postgres"), "replication": account("replicator"), "rewind": account("rewind")},
			"parameters":     object{"unix_socket_directories": dir},
		},
	}
}

func (c *cluster) start(t *testing.T, n *node) {
	t.Helper()
	n.patroni = c.run(t, n.name, "patroni", n.configuration)
}

// run starts a program as the user postgres, until the end of the test.
func (c *cluster) run(t *testing.T, name, program string, arguments ...string) *subprocess.Process {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, arguments...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + c.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: postgresCredential(t)}
	process, err := subprocess.Start(cmd, syscall.SIGTERM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = process.Stop(ctx, syscall.SIGTERM)
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: …%s", name, text[max(0, len(text)-600):])
		}
	})
	return process
}

// kill ends Patroni and PostgreSQL of a node at once, as a power cut of its machine.
func (n *node) kill(t *testing.T) {
	t.Helper()
	pid := n.postmaster(t)
	_ = n.patroni.Signal(syscall.SIGKILL)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func (n *node) postmaster(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// is reports whether Patroni answers 200 at the path: /primary, /replica, /synchronous.
func (n *node) is(path string) bool {
	return isOK("http://" + n.rest + path)
}

// isOK reports whether a GET is answered 200.
func isOK(url string) bool {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// primary is nil while there is none.
func (c *cluster) primary() *node {
	for _, n := range c.nodes {
		if n.is("/primary") {
			return n
		}
	}
	return nil
}

// standby is the node that is not the primary.
func (c *cluster) standby() *node {
	if c.nodes[0].is("/primary") {
		return c.nodes[1]
	}
	return c.nodes[0]
}

// switchover makes the standby the primary, without a fault.
func (c *cluster) switchover(t *testing.T) {
	t.Helper()
	before := c.primary()
	body, _ := json.Marshal(object{"leader": before.name})
	res, err := http.Post("http://"+before.rest+"/switchover", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("switchover: %s", res.Status)
	}
}

// url is the address of a database on both nodes.
func (c *cluster) url(user, database string) string {
	return fmt.Sprintf("postgres://%s@%s,%s/%s?sslmode=disable&target_session_attrs=read-write", user, c.nodes[0].address, c.nodes[1].address, database)
}

func (c *cluster) exec(t *testing.T, user, database string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.url(user, database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// postgresFolder is a folder of the user postgres.
func postgresFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "failover-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	account := postgresCredential(t)
	if err := os.Chown(dir, int(account.Uid), int(account.Gid)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func postgresCredential(t *testing.T) *syscall.Credential {
	t.Helper()
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
