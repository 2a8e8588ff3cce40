package pgtest

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Freezable gives a URL that leads to the database at databaseURL through a
// proxy, and a function that freezes the proxy for the rest of the test: as
// with a PostgreSQL that is stopped by SIGSTOP, connections are accepted, stay
// open, and answer nothing.
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
	var (
		gate  sync.RWMutex // held for writing while frozen
		mu    sync.Mutex
		conns []net.Conn
		wg    sync.WaitGroup
	)
	frozen := false
	pass := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			gate.RLock()
			if n > 0 {
				_, _ = to.Write(buf[:n])
			}
			gate.RUnlock()
			if err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial(pgconn.NetworkAddress(config.Host, config.Port))
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, client, server)
			mu.Unlock()
			wg.Go(func() { pass(server, client) })
			wg.Go(func() { pass(client, server) })
		}
	})
	freeze = func() {
		gate.Lock()
		frozen = true
	}
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		if frozen {
			gate.Unlock()
		}
		wg.Wait()
	})
	proxy := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: listener.Addr().String(),
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	return proxy.String(), freeze
}
