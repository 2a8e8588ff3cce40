package faulttest

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/dev/trials"
)

// slowConnections opens n connections that send single bytes with pauses: half of
// them never end their headers, half never end the body of a request that is
// authenticated and valid.
func slowConnections(t *testing.T, crm *service, token string, n int) (open *atomic.Int32, stop func()) {
	t.Helper()
	addr := strings.TrimPrefix(crm.url, "http://")
	heads := []string{
		"GET /v1/me HTTP/1.1\r\nHost: " + addr + "\r\nAuthorization: Bearer " + token + "\r\nX-Slow: ",
		"POST /v1/tickets HTTP/1.1\r\nHost: " + addr + "\r\nAuthorization: Bearer " + token +
			"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"title\":\"",
	}
	open = &atomic.Int32{}
	done := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		open.Add(1)
		group.Go(func() {
			defer conn.Close()
			defer open.Add(-1)
			_, _ = io.WriteString(conn, heads[i%2])
			for {
				select {
				case <-done:
					return
				case <-time.After(500 * time.Millisecond):
				}
				if _, err := io.WriteString(conn, "x"); err != nil {
					return // closed by the server
				}
			}
		})
	}
	return open, func() { close(done); group.Wait() }
}

func TestThousandSlowConnectionsDelayNoRequestAndAreClosed(t *testing.T) {
	trials.Long(t)
	const slow = 1000
	s := newStack(t, shared.server)
	crm := s.startCRM(t, nil)
	c := newPeople(t, crm, 2)
	measure := func() time.Duration {
		var took []time.Duration
		for n := range trials.Count(20, 40) {
			begin := time.Now()
			if n%4 == 0 {
				c.customer.must(t, http.MethodPost, "/v1/tickets", newTicket(n), http.StatusCreated)
			} else {
				c.customer.must(t, http.MethodGet, "/v1/tickets?limit=5", nil, http.StatusOK)
			}
			took = append(took, time.Since(begin))
		}
		return median(took)
	}
	measure() // warms up
	alone := measure()
	open, stop := slowConnections(t, crm, c.customer.token, slow)
	if held := open.Load(); held < slow*9/10 {
		t.Errorf("control: only %d slow connections are open", held)
	}
	besides := measure()
	t.Logf("half of the requests took %v alone, %v besides %d slow connections", alone, besides, slow)
	// A request that waits for slow connections takes until they are closed, 5 s for
	// headers and 10 s for bodies; other work on the machine delays a few requests.
	if besides > max(10*alone, 2500*time.Millisecond) {
		t.Errorf("half of the requests took up to %v besides slow connections, %v alone", besides, alone)
	}
	t.Parallel() // the wait for the server's timeouts measures nothing
	eventually(t, "slow connections are closed", func() bool { return open.Load() == 0 })
	stop()
}
