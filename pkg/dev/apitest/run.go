package apitest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Config has the service's URL, the callers, and the values to send.
type Config struct {
	URL      string // of the service, without a trailing slash
	Requests int
	Seed     uint64

	// Tokens are used at random; with an empty one no token is sent. Known returns
	// valid values by the name of a field or parameter, or by operationId, a space
	// and the parameter's name. Both are called again every 250 requests, since
	// requests change what exists, and every 25 while operations are missing.
	Tokens func() []string
	Known  func() map[string][]string

	// Header adds headers to the i-th request.
	Header func(i int, h http.Header)

	// Away reports that an operation, named by its id, needs a service that is not
	// there, so that it may answer 503.
	Away func(operationID string) bool

	// Rare reports that an operation should be called a tenth as often, because it
	// takes long or ends the session of a token.
	Rare func(operationID string) bool
}

func (c Config) away(operationID string) bool { return c.Away != nil && c.Away(operationID) }

// Report is the result of a run.
type Report struct {
	Requests  int
	Statuses  map[int]int
	Succeeded map[string]int // answers of 2xx, by operationId
	Defects   []string       // one for each answer that is not as described
}

// refresh is the number of requests after which Tokens and Known are called again, and
// refreshMissing that of those that are only for operations that never succeeded.
const (
	refresh        = 250
	refreshMissing = 25
)

// Run sends requests and compares the answers: c.Requests of them, and up to nine times
// as many more while an operation never succeeded that could. It fails only if it can't
// send any.
func (d *Document) Run(ctx context.Context, c Config) (Report, error) {
	g := &generator{Rand: mathrand.New(mathrand.NewPCG(c.Seed, 0)), document: d, canary: "Canary" + rand.Text()[:10]}
	report := Report{Statuses: map[int]int{}, Succeeded: map[string]int{}}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	var tokens []string
	for i := 0; i < c.Requests || i < 10*c.Requests && len(d.missing(c, report)) > 0; i++ {
		all, every := i < c.Requests, refreshMissing
		if all {
			every = refresh
		}
		if i%every == 0 {
			tokens, g.known = c.Tokens(), c.Known()
		}
		op := d.next(g, c, report, all)
		if c.Rare != nil && c.Rare(op.id) && (report.Succeeded[op.id] > 0 || c.away(op.id)) && g.IntN(10) > 0 {
			continue
		}
		r := g.request(op)
		token := tokens[g.IntN(len(tokens))]
		if g.IntN(20) == 0 {
			token = g.canary
		}
		a, err := send(ctx, client, c, r, i, token)
		if ctx.Err() != nil {
			return report, fmt.Errorf("request %d: %w", i, ctx.Err())
		}
		report.Requests++
		name := fmt.Sprintf("request %d, %s %.300q", i, op.method, r.target)
		if err != nil {
			report.Defects = append(report.Defects, fmt.Sprintf("%s: no answer: %v", name, err))
			continue
		}
		report.Statuses[a.status]++
		if a.status < 300 {
			report.Succeeded[op.id]++
		}
		for _, defect := range g.check(c, r, a) {
			report.Defects = append(report.Defects, fmt.Sprintf("%s: %d: %s\n  sent %.300q\n  got  %.300q", name, a.status, defect, r.body, a.body))
		}
	}
	return report, nil
}

// next returns one of the operations that never succeeded and could; with all, more
// often any.
func (d *Document) next(g *generator, c Config, r Report, all bool) *operation {
	if !all || g.IntN(4) == 0 {
		if missing := d.missing(c, r); len(missing) > 0 {
			return missing[g.IntN(len(missing))]
		}
	}
	return d.operations[g.IntN(len(d.operations))]
}

// missing are the operations that never succeeded and could.
func (d *Document) missing(c Config, r Report) []*operation {
	return slices.DeleteFunc(slices.Clone(d.operations), func(op *operation) bool {
		return r.Succeeded[op.id] > 0 || c.away(op.id)
	})
}

// Unreached lists the operations that never succeeded.
func (d *Document) Unreached(r Report) (ids []string) {
	for _, op := range d.operations {
		if r.Succeeded[op.id] == 0 {
			ids = append(ids, op.id)
		}
	}
	return ids
}

// answer is an answer; of a stream it has the beginning alone.
type answer struct {
	status int
	header http.Header
	media  string
	body   string
}

func send(ctx context.Context, client *http.Client, c Config, r *request, i int, token string) (answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var body io.Reader
	if r.sent {
		body = strings.NewReader(r.body)
	}
	request, err := http.NewRequestWithContext(ctx, r.op.method, c.URL+r.target, body)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if c.Header != nil {
		c.Header(i, request.Header)
	}
	for name, values := range r.header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	media, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	a := answer{status: response.StatusCode, header: response.Header, media: media}
	if media == "text/event-stream" {
		return a, nil
	}
	data, err := io.ReadAll(response.Body)
	a.body = string(data)
	return a, err
}
