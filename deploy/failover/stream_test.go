package failover

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// stream reads the event stream through HAProxy and connects anew whenever it ends, as
// a browser does.
type stream struct {
	load *load
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	last     string // the position
	opened   int
	events   map[string]int // how often each came
	created  map[uuid.UUID]bool
	repeated int
}

func startStream(t *testing.T, l *load) *stream {
	t.Helper()
	s := &stream{load: l, events: map[string]int{}, created: map[uuid.UUID]bool{}}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.done.Go(func() {
		for ctx.Err() == nil {
			s.read(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	t.Cleanup(s.end)
	eventually(t, "the stream is open", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.opened > 0
	})
	return s
}

func (s *stream) end() {
	s.stop()
	s.done.Wait()
}

// read reads one connection to its end.
func (s *stream) read(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.load.url+"/v1/events", nil)
	if err != nil {
		return
	}
	s.load.mu.Lock()
	req.Header.Set("Authorization", "Bearer "+s.load.token)
	s.load.mu.Unlock()
	if s.last != "" {
		req.Header.Set("Last-Event-ID", s.last)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized { // the token's ten minutes are over
		s.load.signIn(ctx)
	}
	if res.StatusCode != http.StatusOK {
		return
	}
	s.mu.Lock()
	s.opened++
	s.mu.Unlock()
	position, kind, data := "", "", ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			position = value
		case "event":
			kind = value
		case "data":
			data = value
		case "": // an event is over
			if position != "" {
				s.last = position
			}
			if data != "" {
				s.note(kind, data)
			}
			position, kind, data = "", "", ""
		}
	}
}

func (s *stream) note(kind, data string) {
	var event struct {
		ID       string
		TicketID uuid.UUID `json:"ticket_id"`
	}
	if json.Unmarshal([]byte(data), &event) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[event.ID]++
	if s.events[event.ID] > 1 {
		s.repeated++
	}
	if kind == "created" {
		s.created[event.TicketID] = true
	}
}

// missing returns how many acknowledged tickets the stream has not had, and how many
// events it had twice.
func (s *stream) missing() (missing, repeated int) {
	s.load.mu.Lock()
	defer s.load.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.load.acknowledged {
		if !s.created[id] {
			missing++
		}
	}
	return missing, s.repeated
}
