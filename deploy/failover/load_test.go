package failover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// rate is how many tickets are created in a second.
const rate = 20

// load creates tickets at a constant rate until it is stopped. A creation that fails is
// tried again with its Idempotency-Key, as a client should.
type load struct {
	url    string
	client *http.Client
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu           sync.Mutex
	token        string
	acknowledged map[uuid.UUID]int64 // their numbers
	current      *phase
}

// phase is what the load met while one thing happened.
type phase struct {
	name     string
	attempts int
	failed   map[string]int // by status or kind of error
	last     time.Time      // of the last success
	longest  time.Duration  // without a success
	logged   map[string]int // warnings and errors of all replicas, by level and text
}

func (p *phase) failures() (n int) {
	for _, of := range p.failed {
		n += of
	}
	return n
}

func (p *phase) lines() (n int) {
	for _, of := range p.logged {
		n += of
	}
	return n
}

// prepareLoad makes an engineer and signs in as the first admin.
func prepareLoad(t *testing.T, url string) *load {
	t.Helper()
	l := &load{url: url, acknowledged: map[uuid.UUID]int64{}, client: &http.Client{Timeout: 35 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}}
	l.signIn(t.Context())
	status, user, err := l.do(t.Context(), "/v1/auth/register", object{"name": "Engineer", "email": engineerEmail, "password": password, "role": "engineer"}, "")
	if err != nil || status != http.StatusCreated {
		t.Fatalf("register: %d, %v", status, err)
	}
	if status, _, err := l.do(t.Context(), fmt.Sprintf("/v1/registrations/%s/approve", user["id"]), object{}, ""); err != nil || status != http.StatusOK {
		t.Fatalf("approve: %d, %v", status, err)
	}
	l.begin("start")
	return l
}

func (l *load) start(t *testing.T) {
	t.Helper()
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	l.done.Go(func() { l.run(ctx) })
	t.Cleanup(l.end)
}

const engineerEmail = "engineer@fixdesk.example"

// end waits until every creation that began is acknowledged.
func (l *load) end() {
	l.stop()
	l.done.Wait()
	l.client.CloseIdleConnections()
}

func (l *load) run(ctx context.Context) {
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.done.Go(l.create)
		}
	}
}

// create repeats one creation until it is acknowledged.
func (l *load) create() {
	key := uuid.NewString()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		status, ticket, err := l.do(ctx, "/v1/tickets", object{"title": "Printer on fire", "description": "It burns."}, key)
		l.record(status, ticket, err)
		switch {
		case err == nil && status == http.StatusCreated:
			return
		case status == http.StatusUnauthorized:
			l.signIn(ctx)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (l *load) record(status int, ticket object, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.current
	p.attempts++
	switch {
	case err != nil:
		p.failed["no answer"]++
	case status == http.StatusUnauthorized: // the token's ten minutes are over
	case status != http.StatusCreated:
		p.failed[fmt.Sprint(status)]++
	default:
		number, _ := ticket["number"].(float64)
		id, _ := ticket["id"].(string)
		l.acknowledged[uuid.MustParse(id)] = int64(number)
		p.longest, p.last = max(p.longest, time.Since(p.last)), time.Now()
	}
}

// begin begins a phase and returns the one before.
func (l *load) begin(name string) *phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.current
	l.current = &phase{name: name, failed: map[string]int{}, last: time.Now()}
	return before
}

// settle waits until the service has answered every attempt well for a while.
func (l *load) settle(t *testing.T) {
	t.Helper()
	calm, failures := time.Now(), -1
	eventually(t, "service after "+l.current.name, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := l.current.failures(); n != failures || time.Since(l.current.last) > time.Second {
			failures, calm = n, time.Now()
		}
		return time.Since(calm) > 3*time.Second
	})
}

func (l *load) signIn(ctx context.Context) {
	_, answer, err := l.do(ctx, "/v1/auth/login", object{"email": adminEmail, "password": password}, "")
	if token, ok := answer["access_token"].(string); err == nil && ok {
		l.mu.Lock()
		l.token = token
		l.mu.Unlock()
	}
}

func (l *load) do(ctx context.Context, path string, body object, key string) (status int, answer object, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	l.mu.Lock()
	req.Header.Set("Authorization", "Bearer "+l.token)
	l.mu.Unlock()
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	req.GetBody = nil // Go's client must not repeat it by itself
	res, err := l.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err
	}
	_ = json.Unmarshal(text, &answer)
	return res.StatusCode, answer, nil
}
