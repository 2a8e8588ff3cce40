package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
)

// launcher is this command's program, in a folder with the services.
var launcher string

// migrated is a cluster with both databases, of which the servers of most stacks are
// copies. The common stack makes and migrates its databases itself.
var migrated string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		shared, err := launch.OpenShared()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer shared.Close()
		bin, err := shared.Programs(context.Background())
		if err == nil {
			migrated, err = shared.Cluster(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		launcher = filepath.Join(bin, "local")
		code := m.Run()
		if common.running != nil {
			if err := common.running.end(); code == 0 && err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
			os.RemoveAll(common.running.state)
		}
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}())
}

// common is one stack for the tests that don't restart or configure it.
var common struct {
	sync.Once
	running  *running
	engineer sync.Mutex // held by the test that has an engineer; see oneEngineer
}

func commonStack(t *testing.T) *running {
	t.Helper()
	common.Do(func() {
		state, err := newStateFolder()
		if err != nil {
			t.Fatal(err)
		}
		r, err := startLauncher(state, pgserver.TemplateVariable+"="+os.Getenv(pgserver.TemplateVariable))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.waitReady(); err != nil {
			t.Error(err)
		}
		common.running = r
	})
	if common.running == nil || common.running.crm == "" {
		t.Fatal("the common stack did not start")
	}
	return common.running
}

// stateFolder returns one that PostgreSQL's account can enter, unlike t.TempDir.
func stateFolder(t *testing.T) string {
	t.Helper()
	dir, err := newStateFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newStateFolder() (string, error) {
	dir, err := os.MkdirTemp("", "fixdesk-state-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// patience is the limit of every wait, so long that a busy machine fails no test.
const patience = 4 * time.Minute

// running is a running launcher.
type running struct {
	cmd              *exec.Cmd
	state            string
	output           *output
	ended            chan struct{}
	err              error // of Wait, once it has ended
	crm, notify, web string
	inbound          string // host and port that take mail in
}

// defaultOpsPorts leaves the operations listeners at their default ports. Only one
// test may use it, since a port may be taken between its check and its use.
const defaultOpsPorts = "TEST_DEFAULT_OPS_PORTS=yes"

// command returns the launcher's command with no environment but these variables, on
// free ports, with few connections, each of which is warmed at the start.
func command(state string, variables []string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(launcher, arguments...)
	cmd.Env = append([]string{
		"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH"), "FIXDESK_STATE=" + state,
		pgserver.TemplateVariable + "=" + migrated,
		"CRM_DATABASE_POOL_SIZE=8", "NOTIFICATION_DATABASE_POOL_SIZE=4",
		"CRM_ADDR=127.0.0.1:0", "NOTIFICATION_ADDR=127.0.0.1:0", "MAIL_SMTP_ADDR=127.0.0.1:0", "MAIL_HTTP_ADDR=127.0.0.1:0",
	}, variables...)
	if !slices.Contains(variables, defaultOpsPorts) {
		cmd.Env = append([]string{"CRM_OPS_ADDR=127.0.0.1:0", "NOTIFICATION_OPS_ADDR=127.0.0.1:0", "NOTIFICATION_INBOUND_ADDR=127.0.0.1:0"}, cmd.Env...)
	}
	return cmd
}

// startLauncher starts the launcher without waiting for the stack to be ready.
func startLauncher(state string, variables ...string) (*running, error) {
	r := &running{cmd: command(state, variables), state: state, output: newOutput(), ended: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { r.err = r.cmd.Wait(); r.output.end(); close(r.ended) }()
	return r, nil
}

// begin is startLauncher for one test, which stops the stack.
func begin(t *testing.T, state string, variables ...string) *running {
	t.Helper()
	r, err := startLauncher(state, variables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		<-r.ended
		if t.Failed() {
			t.Logf("the launcher printed:\n%s", r.output)
		}
	})
	return r
}

// started starts the launcher and waits until the stack is ready.
func started(t *testing.T, state string, variables ...string) *running {
	t.Helper()
	r := begin(t, state, variables...)
	if err := r.waitReady(); err != nil {
		t.Fatal(err)
	}
	return r
}

// mailIn matches the line of where mail is taken in.
var mailIn = regexp.MustCompile(`Mail in\s+SMTP: (\S+),`)

func (r *running) waitReady() error {
	if !r.output.waitFor("Ctrl-C stops all of it") {
		return fmt.Errorf("the stack did not get ready:\n%s\n%s", r.output, r.logs())
	}
	r.crm, r.notify, r.web = r.output.url("CRM"), r.output.url("Notification"), r.output.url("Caught mail")
	if found := mailIn.FindStringSubmatch(r.output.String()); found != nil {
		r.inbound = found[1]
	}
	return nil
}

// end stops the stack as a user does.
func (r *running) end() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-r.ended
	return r.err
}

// stop stops the stack with a signal, and expects exit code 0.
func (r *running) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.ended:
		if r.err != nil {
			t.Errorf("stopped with %v:\n%s", r.err, r.output)
		}
	case <-time.After(patience):
		t.Fatal("does not stop")
	}
}

// exit waits until the launcher ends and returns its exit code.
func (r *running) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("does not end")
		return 0
	}
}

func (r *running) logs() string {
	var all strings.Builder
	for _, name := range []string{"crm.log", "notification.log", "postgres.log"} {
		fmt.Fprintf(&all, "%s:\n%s\n", name, lastLines(filepath.Join(r.state, name)))
	}
	return all.String()
}

// output collects the output of a program.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	ended   bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waitFor reports whether the text was printed before the program ended.
func (o *output) waitFor(text string) bool {
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		found, ended, changed := strings.Contains(o.text.String(), text), o.ended, o.changed
		o.mu.Unlock()
		if found || ended {
			return found
		}
		select {
		case <-changed:
		case <-deadline:
			return false
		}
	}
}

// url is the address printed in the line of that name.
func (o *output) url(name string) string {
	scanner := bufio.NewScanner(strings.NewReader(o.String()))
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); strings.HasPrefix(line, name+" ") {
			return regexp.MustCompile(`http://\S+`).FindString(line)
		}
	}
	return ""
}

// object is a JSON object.
type object map[string]any

// call makes a JSON request and expects the given status.
func call(t *testing.T, method, url, token string, body object, want int) object {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("%s %s: %s, want %d: %s", method, url, response.Status, want, text)
	}
	answer := object{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s %s: %v: %s", method, url, err, text)
		}
	}
	return answer
}

// get makes a request and returns the body.
func get(t *testing.T, url string, want int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Fatalf("%s: %s, want %d: %v", url, response.Status, want, err)
	}
	return string(text)
}

const testPassword = "correct horse battery staple 7"

// customer registers one and returns an access token.
func (r *running) customer(t *testing.T, email string) string {
	t.Helper()
	call(t, http.MethodPost, r.crm+"/v1/auth/register", "", object{"name": "Ann", "email": email, "password": testPassword}, http.StatusCreated)
	return r.login(t, email, testPassword)
}

func (r *running) login(t *testing.T, email, password string) string {
	t.Helper()
	answer := call(t, http.MethodPost, r.crm+"/v1/auth/login", "", object{"email": email, "password": password}, http.StatusOK)
	return answer["access_token"].(string)
}

func (r *running) admin(t *testing.T) admin {
	t.Helper()
	a, err := readAdmin(filepath.Join(r.state, adminFile))
	if err != nil || a.email == "" || a.password == "" {
		t.Fatalf("no first admin: %v", err)
	}
	return a
}

// mailTo waits for a mail to the address and returns its subject.
func (r *running) mailTo(t *testing.T, email string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		items := call(t, http.MethodGet, r.web+"/api/messages?to="+email, "", nil, http.StatusOK)["items"].([]any)
		if len(items) > 0 {
			return items[0].(map[string]any)["subject"].(string)
		}
	}
	t.Fatalf("no mail to %s\n%s", email, r.logs())
	return ""
}
