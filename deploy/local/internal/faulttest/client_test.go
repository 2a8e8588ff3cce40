package faulttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// object is a JSON object.
type object map[string]any

// client calls one replica. Its connections are closed with the test.
type client struct {
	url, token string
	http       *http.Client
}

func newClient(t *testing.T, url, token string) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{url: url, token: token, http: &http.Client{Transport: transport, Timeout: patience}}
}

// with returns the same client with another token.
func (c *client) with(token string) *client { return &client{c.url, token, c.http} }

// at returns the same client for another replica.
func (c *client) at(url string) *client { return &client{url, c.token, c.http} }

// answer is an answer with its body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) object() object {
	var o object
	_ = json.Unmarshal(a.body, &o)
	return o
}

func (a answer) id() string { id, _ := a.object()["id"].(string); return id }

// do sends one request. An error means that it was not answered.
func (c *client) do(ctx context.Context, method, path string, body object, headers ...string) (answer, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, content)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, data}, err
}

// retryWhileBusy repeats a request while it is answered 503, as on a slow machine.
func (c *client) retryWhileBusy(method, path string, body object) (answer, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		a, err := c.do(context.Background(), method, path, body)
		if err != nil || !isUnavailable(a) || time.Now().After(deadline) {
			return a, err
		}
	}
}

// must sends a request and expects that status.
func (c *client) must(t *testing.T, method, path string, body object, status int) answer {
	t.Helper()
	send := c.retryWhileBusy
	if status == http.StatusServiceUnavailable {
		send = func(method, path string, body object) (answer, error) {
			return c.do(context.Background(), method, path, body)
		}
	}
	a, err := send(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// login returns a client with a new session.
func (c *client) login(t *testing.T, email string) *client {
	t.Helper()
	a := c.with("").must(t, http.MethodPost, "/v1/auth/login", object{"email": email, "password": password}, http.StatusOK)
	return c.with(a.object()["access_token"].(string))
}

// person is a client with an account and a session.
type person struct {
	*client
	id, email string
}

// customer registers one and signs in.
func (c *client) customer(t *testing.T, name string) person {
	t.Helper()
	email := strings.ToLower(name) + "@customer.example"
	a := c.with("").must(t, http.MethodPost, "/v1/auth/register", object{"name": name, "email": email, "password": password}, http.StatusCreated)
	return person{c.login(t, email), a.id(), email}
}

// staff registers an engineer or admin, has the admin c approve, and signs in.
func (c *client) staff(t *testing.T, role, name string) person {
	t.Helper()
	email := strings.ToLower(name) + "@" + role + ".example"
	a := c.with("").must(t, http.MethodPost, "/v1/auth/register", object{"name": name, "email": email, "password": password, "role": role}, http.StatusCreated)
	c.must(t, http.MethodPost, "/v1/registrations/"+a.id()+"/approve", nil, http.StatusOK)
	return person{c.login(t, email), a.id(), email}
}

// people are the accounts of a test.
type people struct {
	admin     *client
	customer  person
	engineers []person
}

func newPeople(t *testing.T, crm *service, engineers int) people {
	t.Helper()
	c := people{admin: newClient(t, crm.url, "").login(t, adminEmail)}
	for i := range engineers {
		c.engineers = append(c.engineers, c.admin.staff(t, "engineer", fmt.Sprintf("Eve%d", i)))
	}
	c.customer = c.admin.customer(t, "Carl")
	return c
}

func newTicket(n int) object {
	return object{"title": fmt.Sprintf("Printer %d on fire", n), "description": "It smokes and smells."}
}

// load runs work in some goroutines, again and again with a short pause, until stop
// is called; stop returns when all have ended.
func load(workers int, work func(ctx context.Context, worker, n int)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				work(ctx, worker, n)
				<-time.After(2 * time.Millisecond)
			}
		})
	}
	return func() { cancel(); group.Wait() }
}

// idList holds the ids of what was acknowledged.
type idList struct {
	mu  sync.Mutex
	ids []string
}

func (l *idList) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
}

func (l *idList) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.ids...)
}

func (l *idList) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}

// event is one of a stream.
type event struct{ position, id string }

// stream reads the stream of events after a position until next returns false.
func (c *client) stream(t *testing.T, after string, opened func(), next func(event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", c.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	response, err := c.http.Do(request)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("open the stream: %v", err)
	}
	defer response.Body.Close()
	opened()
	var e event
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			e.position = value
		case "data":
			var data struct{ ID string }
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				t.Fatal(err)
			}
			if e.id = data.ID; !next(e) {
				return
			}
		}
	}
	t.Error("the stream ended early")
}
