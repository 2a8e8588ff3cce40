package pgtest

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Freezable returns a URL that leads to the database at databaseURL through a
// proxy, and a function that freezes the proxy for the rest of the test: as with a
// PostgreSQL that is stopped by SIGSTOP, connections are accepted and stay open,
// and nothing is answered.
func Freezable(t testing.TB, databaseURL string) (proxied string, freeze func()) {
	t.Helper()
	config, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	p := &proxy{listener: listener}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: listener.Addr().String(),
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	return address.String(), p.freeze
}

// proxy passes bytes between clients and one server until it is frozen.
type proxy struct {
	listener         net.Listener
	network, address string
	running          sync.WaitGroup
	passing          sync.RWMutex // held for writing while frozen

	mu     sync.Mutex
	conns  []net.Conn
	frozen bool
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(p.network, p.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.running.Go(func() { p.pass(server, client) })
		p.running.Go(func() { p.pass(client, server) })
	}
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.passing.RLock()
		if n > 0 {
			_, _ = to.Write(buf[:n])
		}
		p.passing.RUnlock()
		if err != nil {
			return
		}
	}
}

func (p *proxy) freeze() {
	p.passing.Lock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	if p.frozen {
		p.passing.Unlock()
	}
	p.mu.Unlock()
	p.running.Wait()
}
