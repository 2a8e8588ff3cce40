package faulttest

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/errs"
)

// proxy forwards to the notification service. Set its hooks before the
// first request.
type proxy struct {
	url string
	// tamper changes a request.
	tamper func(*http.Request)
	// accepted is called when the service has answered 202: after false the
	// connection is closed instead of passing the answer on.
	accepted func() (deliver bool)
	// answered is called when the service has answered anything: after false the
	// connection is closed. passed is called after the answer was passed on.
	answered func(*http.Request) (deliver bool)
	passed   func(*http.Request)

	mismatched atomic.Int32 // answers that say idempotency_mismatch

	mu   sync.Mutex
	keys map[string]int // 202s by the caller's key
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{keys: map[string]int{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.pass(w, r, transport, target) }))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	t.Cleanup(transport.CloseIdleConnections)
	p.url = server.URL
	return p
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request, transport *http.Transport, target string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	key := r.Header.Get("Idempotency-Key")
	// The service must finish even when the caller is killed.
	request, err := http.NewRequest(r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Header = r.Header.Clone()
	if p.tamper != nil {
		p.tamper(request)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		http.Error(w, "unreachable", http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if bytes.Contains(answer, []byte(errs.CodeIdempotencyMismatch)) {
		p.mismatched.Add(1)
	}
	if response.StatusCode == http.StatusAccepted {
		p.mu.Lock()
		p.keys[key]++
		p.mu.Unlock()
		if p.accepted != nil && !p.accepted() {
			panic(http.ErrAbortHandler)
		}
	}
	if p.answered != nil && !p.answered(r) {
		panic(http.ErrAbortHandler)
	}
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(answer)
	if p.passed != nil {
		_ = http.NewResponseController(w).Flush()
		p.passed(r)
	}
}

// repeated returns how many posts were accepted again.
func (p *proxy) repeated() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, times := range p.keys {
		n += times - 1
	}
	return n
}

func randomKey() string { return rand.Text() }
