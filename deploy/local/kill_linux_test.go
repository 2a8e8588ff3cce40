package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/trials"
)

// process is one line of the process table.
type process struct {
	pid, parent int
	command     string
	zombie      bool
}

func processes() []process {
	var all []process
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (command) state parent …
		first, rest, _ := strings.Cut(string(text), " (")
		end := strings.LastIndex(rest, ") ")
		fields := strings.Fields(rest[end+2:])
		pid, _ := strconv.Atoi(first)
		parent, _ := strconv.Atoi(fields[1])
		all = append(all, process{pid, parent, rest[:end], fields[0] == "Z"})
	}
	return all
}

// descendants returns the launcher's children and their children.
func (r *running) descendants() []process {
	family := []int{r.cmd.Process.Pid}
	var found []process
	for range 3 {
		for _, p := range processes() {
			if slices.Contains(family, p.parent) && !slices.Contains(family, p.pid) {
				family = append(family, p.pid)
				found = append(found, p)
			}
		}
	}
	return found
}

// child returns the process id of the launcher's child of that name.
func (r *running) child(t *testing.T, name string) int {
	t.Helper()
	for _, p := range r.descendants() {
		if p.command == name && p.parent == r.cmd.Process.Pid {
			return p.pid
		}
	}
	t.Fatalf("no child %q among %v", name, r.descendants())
	return 0
}

func expectGone(t *testing.T, gone []process) {
	t.Helper()
	var left []process
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left = nil
		for _, p := range processes() {
			if !p.zombie && slices.ContainsFunc(gone, func(g process) bool { return g.pid == p.pid && g.command == p.command }) {
				left = append(left, p)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("still running: %v", left)
}

func TestKilledLauncherLeavesNothingRunningAndTheNextStartRecovers(t *testing.T) {
	t.Parallel()
	state := stateFolder(t)
	var tickets []string
	for round := range 2 {
		r := started(t, state)
		email := fmt.Sprintf("ann%d@customer.example", round)
		token := r.customer(t, email)
		ticket := call(t, http.MethodPost, r.crm+"/v1/tickets", token, object{"title": "Acknowledged", "description": "x"}, http.StatusCreated)
		tickets = append(tickets, ticket["id"].(string))
		family := r.descendants()
		if len(family) < 5 {
			t.Fatalf("control: only %v is running", family)
		}
		if round == 1 { // PostgreSQL is killed too, and leaves its pid file
			if err := syscall.Kill(r.child(t, "postgres"), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		expectGone(t, family)
	}
	r := started(t, state)
	a := r.admin(t)
	token := r.login(t, a.email, a.password)
	for round, id := range tickets {
		call(t, http.MethodGet, r.crm+"/v1/tickets/"+id, token, nil, http.StatusOK)
		r.mailTo(t, fmt.Sprintf("ann%d@customer.example", round))
	}
}

func TestCtrlCDuringTheStartLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	r := begin(t, stateFolder(t))
	if !r.output.waitFor("Starting PostgreSQL") {
		t.Fatal(r.output)
	}
	var family []process
	for deadline := time.Now().Add(patience); len(family) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		family = r.descendants()
	}
	r.stop(t, syscall.SIGINT)
	expectGone(t, family)
}

func TestTicketsAreRaisedWhileTheNotificationServiceIsFrozen(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	r := started(t, stateFolder(t))
	token := r.customer(t, "ann@customer.example")
	service := r.child(t, "notification")
	if err := syscall.Kill(service, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awake := func() {
		if err := syscall.Kill(service, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(awake)
	call(t, http.MethodPost, r.crm+"/v1/tickets", token, object{"title": "Raised meanwhile", "description": "x"}, http.StatusCreated)
	if items := call(t, http.MethodGet, r.web+"/api/messages", "", nil, http.StatusOK)["items"].([]any); len(items) != 0 {
		t.Error("control: mail was sent while the service was stopped")
	}
	awake()
	if subject := r.mailTo(t, "ann@customer.example"); !strings.Contains(subject, "Raised meanwhile") {
		t.Errorf("the mail has the subject %q", subject)
	}
}

func TestServiceThatExitsStopsTheStackAndIsReported(t *testing.T) {
	trials.Long(t)
	for name, printed := range map[string]string{"crm": "crm", "notification": "notification", "postgres": "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t, stateFolder(t))
			all := r.descendants()
			if err := syscall.Kill(r.child(t, name), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if code := r.exit(t); code != 1 || !strings.Contains(r.output.String(), printed+" ended by itself") {
				t.Errorf("exit code %d: %s", code, r.output)
			}
			expectGone(t, all)
		})
	}
}
