//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fixdesk/db"
	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
)

const (
	uploadsAtOnce = 50
	// uploadMemory is by how many bytes the resident memory may grow meanwhile.
	uploadMemory = 64 << 20
)

// TestFiftyUploadsAtOnceNeedLittleMemory sends fifty files at the same time, of which
// none ends before all have begun, and reads the peak of the process's memory.
func TestFiftyUploadsAtOnceNeedLittleMemory(t *testing.T) {
	size := 2 << 20 // all of them together are more than may be used
	if trials.Count(1, 2) > 1 {
		size = 25 << 20
	}
	s := newService(t)
	tokens := []string{s.token("admin@fixdesk.test", "canary in the coal mine"), s.register("ada@fixdesk.test")}
	var begun, all sync.WaitGroup
	begun.Add(1)
	s.upload(tokens[0], make([]byte, 1<<20), &begun) // what every process needs once
	if err := os.WriteFile(s.proc("clear_refs"), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	before := s.memory("VmRSS")
	begun.Add(uploadsAtOnce)
	for i := range uploadsAtOnce {
		all.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, size)
			s.upload(tokens[i%2], content, &begun)
		})
	}
	all.Wait()
	grown := s.memory("VmHWM") - before
	t.Logf("%d uploads of %d MiB at once: resident memory from %d to %d KiB at most", uploadsAtOnce, size>>20, before>>10, (before+grown)>>10)
	if grown > uploadMemory {
		t.Errorf("resident memory grows by %d MiB", grown>>20)
	}
}

// service is the command, serving.
type service struct {
	*testing.T
	*launch.Service
}

func newService(t *testing.T) service {
	t.Helper()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := launch.Start(launch.Options{
		Name: "crm", Program: os.Args[0], Address: address, LogFile: filepath.Join(t.TempDir(), "log"),
		Environment: []string{
			asCommand + "=1", "GOCOVERDIR=" + t.TempDir(), "CRM_DATABASE_URL=" + pgtest.NewPatientURL(t, db.CRM, "crm/migrations"),
			"CRM_ADDR=" + address, "CRM_OPS_ADDR=off", "CRM_ADMIN_EMAIL=admin@fixdesk.test", "CRM_ADMIN_PASSWORD=canary in the coal mine",
			"CRM_ATTACHMENT_QUOTA=100GiB", "CRM_NOTIFICATION_URL=http://127.0.0.1:1",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := p.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return service{t, p}
}

func (s service) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", s.Pid(), name) }

// memory reads a value of the process's status in bytes.
func (s service) memory(name string) int64 {
	s.Helper()
	status, err := os.ReadFile(s.proc("status"))
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				s.Fatal(err)
			}
			return kib << 10
		}
	}
	s.Fatalf("no %s in the status of the process", name)
	return 0
}

// ask sends JSON and returns a text of the answer.
func (s service) ask(path, body, field string) string {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "http://"+s.Address+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode >= 300 {
		s.Fatalf("%s: %d %v, %v", path, response.StatusCode, answer, err)
	}
	text, _ := answer[field].(string)
	return text
}

func (s service) token(email, password string) string {
	s.Helper()
	return s.ask("/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), "access_token")
}

// register registers a customer and signs in.
func (s service) register(email string) (token string) {
	s.Helper()
	const password = "a lamp in the hallway"
	s.ask("/v1/auth/register", fmt.Sprintf(`{"name":"Ada","email":%q,"password":%q}`, email, password), "id")
	return s.token(email, password)
}

// upload sends a file. When half of it is sent, it waits for the other uploads to begin,
// and goes on sending a byte each second: the service ends an upload that stands still.
func (s service) upload(token string, content []byte, others *sync.WaitGroup) {
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "--b\r\nContent-Disposition: form-data; name=file; filename=a.bin\r\n\r\n")
		_, _ = writer.Write(content[:len(content)/2])
		rest := content[len(content)/2:]
		others.Done()
		begun := make(chan struct{})
		go func() { others.Wait(); close(begun) }()
		for waiting := true; waiting; {
			select {
			case <-begun:
				waiting = false
			case <-time.After(time.Second):
				_, _ = writer.Write(rest[:1])
				rest = rest[1:]
			}
		}
		_, _ = writer.Write(rest)
		_, _ = io.WriteString(writer, "\r\n--b--\r\n")
		_ = writer.Close()
	}()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "http://"+s.Address+"/v1/attachments", reader)
	if err != nil {
		s.Error(err)
		return
	}
	request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		_ = reader.CloseWithError(err)
		s.Error(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(response.Body)
		_ = reader.CloseWithError(io.ErrClosedPipe)
		s.Errorf("answered %d %s", response.StatusCode, text)
	}
}
