package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"fixdesk/pkg/dev/launch"
)

const (
	// overloadFactor is the rate of requests, as a multiple of what the service
	// can answer.
	overloadFactor = 4
	overloadBar    = 0.80
	// overloadConns is enough for that rate while each request waits.
	overloadConns = 2000
	// overloadTurns is how many turns there are for each that another measurement
	// has: the disk and what else runs on a machine make single ones differ.
	overloadTurns = 2
	// overloadStart is how long an overload lasts before it is measured: until then
	// connections are made, and the first requests are served at once.
	overloadStart = 2 * time.Second
)

// overload sends requests at a fixed rate, whatever the answers are, as many
// independent clients do. Each connection has its own schedule, and sends late when
// the answer before is late.
type overload struct {
	addr    string
	rate    float64 // requests a second, of all connections
	request func(buf []byte, random *rand.Rand) []byte
}

// overloaded is the result of an overload.
type overloaded struct {
	asked, good, other int
	cpu                string    // of a request that was served
	rejected           []float64 // seconds until each 503
	took               time.Duration
}

func (o overloaded) goodput() float64 { return float64(o.good) / o.took.Seconds() }

// run overloads the service and counts, after overloadStart, what is answered within d.
func (o overload) run(ctx context.Context, s *stack, d time.Duration) (overloaded, error) {
	var (
		mu     sync.Mutex
		all    overloaded
		failed error
		wg     sync.WaitGroup
	)
	from := time.Now().Add(overloadStart)
	for range overloadConns {
		wg.Go(func() {
			one, err := o.one(ctx, from, from.Add(d))
			mu.Lock()
			defer mu.Unlock()
			all.asked, all.good, all.other = all.asked+one.asked, all.good+one.good, all.other+one.other
			all.rejected = append(all.rejected, one.rejected...)
			if failed == nil {
				failed = err
			}
		})
	}
	time.Sleep(time.Until(from))
	before := s.spent()
	time.Sleep(time.Until(from.Add(d)))
	after := s.spent()
	wg.Wait()
	all.took, all.cpu = d, before.perRequest(after, all.good)
	return all, failed
}

func (o overload) one(ctx context.Context, from, end time.Time) (seen overloaded, err error) {
	conn, err := net.Dial("tcp", o.addr)
	if err != nil {
		return seen, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var (
		random  = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
		reader  = bufio.NewReaderSize(conn, 4<<10)
		period  = time.Duration(overloadConns / o.rate * float64(time.Second))
		next    = time.Now().Add(rand.N(period))
		request []byte
	)
	for ; next.Before(end); next = next.Add(period) {
		time.Sleep(time.Until(next))
		begin := time.Now()
		if !begin.Before(end) {
			break
		}
		request = o.request(request[:0], random)
		if _, err := conn.Write(request); err != nil {
			return seen, err
		}
		status, err := readAnswer(reader)
		if err != nil {
			return seen, fmt.Errorf("read an answer: %w", err)
		}
		next = later(next, time.Now().Add(-period))
		if answered := time.Now(); answered.Before(from) || !answered.Before(end) {
			continue
		}
		seen.asked++
		switch {
		case status >= 200 && status <= 299:
			seen.good++
		case status == http.StatusServiceUnavailable:
			seen.rejected = append(seen.rejected, time.Since(begin).Seconds())
		default:
			seen.other++
		}
	}
	return seen, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// overloadLoad returns the load of measureOverload, for profiles.
func (s *stack) overloadLoad(ctx context.Context) (func(context.Context) error, error) {
	client, _, err := s.overloadClient(ctx)
	if err != nil {
		return nil, err
	}
	got, err := load{addr: client.addr, conns: connections, request: client.create}.run(ctx, 3*time.Second)
	return func(ctx context.Context) error {
		seen, err := overload{addr: client.addr, rate: overloadFactor * got.rate, request: client.create}.run(ctx, s, 2*profileTime)
		progress("  peak %.0f/s; of %.0f/s asked %.0f/s are answered 2xx", got.rate, float64(seen.asked)/seen.took.Seconds(), seen.goodput())
		return err
	}, err
}

// overloadClient starts a CRM on a database of its own.
func (s *stack) overloadClient(ctx context.Context) (client crmClient, crm *launch.Service, err error) {
	if err := s.makeTickets(ctx, "overload", smallTickets); err != nil {
		return client, nil, err
	}
	if crm, err = s.startCRM(ctx, "overload", closedURL); err != nil {
		return client, nil, err
	}
	client = crmClient{addr: crm.Address, tickets: smallTickets}
	client.tokens, err = s.tokens()
	return client, crm, err
}

// measureOverload compares the rate of 2xx answers at four times the peak load with
// the peak rate.
func measureOverload(ctx context.Context, s *stack, o options) ([]line, error) {
	client, crm, err := s.overloadClient(ctx)
	if err != nil {
		return nil, err
	}
	// The bar on memory does not apply to overload.
	within := s.peak[crm.Name]
	defer func() {
		s.stopService(crm)
		s.peak[crm.Name] = within
	}()
	closed := load{addr: client.addr, conns: connections, request: client.create}
	if _, err := closed.run(ctx, time.Second); err != nil { // warm up
		return nil, err
	}
	m, err := s.overloadInTurns(ctx, client, closed, o)
	if err != nil {
		return nil, err
	}
	l := atLeast(fmt.Sprintf("tickets created when %d times as many are asked for as at most (yardstick: at most)", overloadFactor),
		m.rates, m.peaks, overloadBar, "/s")
	l.ratio = median(m.ratios)
	l.met = l.ratio >= overloadBar
	l.note = fmt.Sprintf("%.2f to %.2f in %d turns; %.0f %% answered 503, 99 %% of them within %.2f s; %d other errors; %d connections, %d MiB resident",
		slices.Min(m.ratios), slices.Max(m.ratios), len(m.ratios),
		100*float64(len(m.waits))/float64(m.asked), quantile(m.waits, 0.99), m.other, overloadConns, peakResident(crm.Pid())>>20)
	return []line{l}, ctx.Err()
}

// overloadTurned is what was measured in all turns.
type overloadTurned struct {
	rates, peaks, ratios, waits []float64
	asked, other                int
}

// overloadInTurns measures the peak before and after each overload, and compares that
// with their mean: the tables grow from one to the next.
func (s *stack) overloadInTurns(ctx context.Context, client crmClient, closed load, o options) (m overloadTurned, err error) {
	peak := func() (rate float64, cpu string, err error) {
		if _, err := closed.run(ctx, time.Second); err != nil { // what was left of the overload ends
			return 0, "", err
		}
		from := s.spent()
		got, err := closed.run(ctx, o.round)
		return got.rate, from.perRequest(s.spent(), len(got.took)), err
	}
	before, cpu, err := peak()
	if err != nil {
		return m, err
	}
	for range overloadTurns * o.turns {
		got, err := overload{addr: client.addr, rate: overloadFactor * before, request: client.create}.run(ctx, s, o.round)
		if err != nil {
			return m, err
		}
		after, cpuAfter, err := peak()
		if err != nil {
			return m, err
		}
		between := (before + after) / 2
		m.rates, m.peaks, m.ratios = append(m.rates, got.goodput()), append(m.peaks, between), append(m.ratios, got.goodput()/between)
		m.waits, m.asked, m.other = append(m.waits, got.rejected...), m.asked+got.asked, m.other+got.other
		progress("  peak %.0f/s, then %.0f/s; of %.0f/s asked %.0f/s are answered 2xx", before, after, float64(got.asked)/got.took.Seconds(), got.goodput())
		progress("    at most: %s; overloaded: %s", cpu, got.cpu)
		before, cpu = after, cpuAfter
	}
	return m, nil
}
