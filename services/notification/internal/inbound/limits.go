package inbound

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// clientLimits bounds the connections and the mails of each network.
type clientLimits struct {
	connections, perClient int
	perMinute              int
	now                    func() time.Time

	mu       sync.Mutex
	open     map[*boundedConn]struct{}
	clients  map[string]int
	rates    map[string]*rate
	stopping bool
}

// rate counts the mails of the minute that began at since.
type rate struct {
	since time.Time
	mails int
}

func newClientLimits(c ListenerConfig, now func() time.Time) *clientLimits {
	return &clientLimits{
		connections: c.Connections, perClient: c.ClientConnections, perMinute: c.MailsPerMinute, now: now,
		open: map[*boundedConn]struct{}{}, clients: map[string]int{}, rates: map[string]*rate{},
	}
}

// add reports whether one more connection is allowed.
func (l *clientLimits) add(c *boundedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping || len(l.open) >= l.connections || l.clients[c.network] >= l.perClient {
		return false
	}
	l.open[c] = struct{}{}
	l.clients[c.network]++
	return true
}

func (l *clientLimits) remove(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[c]; !ok {
		return
	}
	delete(l.open, c)
	if l.clients[c.network]--; l.clients[c.network] == 0 {
		delete(l.clients, c.network)
	}
}

// take reports whether the network may hand in one more mail in this minute.
func (l *clientLimits) take(network string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.rates) > 10_000 {
		for name, r := range l.rates {
			if now.Sub(r.since) >= time.Minute {
				delete(l.rates, name)
			}
		}
	}
	r := l.rates[network]
	if r == nil || now.Sub(r.since) >= time.Minute || now.Before(r.since) {
		r = &rate{since: now}
		l.rates[network] = r
	}
	r.mails++
	return r.mails <= l.perMinute
}

func (l *clientLimits) isStopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping
}

// stop refuses new connections and ends those that wait for a command.
func (l *clientLimits) stop() {
	for _, c := range l.all() {
		c.stop()
	}
}

func (l *clientLimits) closeAll() {
	for _, c := range l.all() {
		_ = c.Close()
	}
}

// all lists the open connections, and lets no further one in.
func (l *clientLimits) all() []*boundedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	return slices.Collect(maps.Keys(l.open))
}

// network is the address of a client, for IPv6 its /64.
func network(a net.Addr) string {
	addr, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.Network() // a local socket
	}
	ip := addr.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}
