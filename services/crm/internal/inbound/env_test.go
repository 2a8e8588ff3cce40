package inbound

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// testEnv is the shared environment with tickets and mail.
type testEnv struct {
	*crmtest.Env
	service *Service
	box     *mailbox
	n       int
}

func newTestEnv(t testing.TB) *testEnv {
	t.Helper()
	d := &testEnv{box: newMailbox(t)}
	d.Env = crmtest.NewWithLongTimeouts(t, func(e *crmtest.Env, api *httpapi.API) {
		tickets := ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}, ReopenWithin: 14 * 24 * time.Hour, PerHour: 10})
		files := attachment.NewService(attachment.Config{
			Pool: e.Pool, Now: e.Now, Log: slog.New(slog.DiscardHandler), Max: 1000,
			MayRead: func(context.Context, identity.Principal, uuid.UUID, bool) error { return nil },
		})
		d.service = NewService(Config{
			Pool: e.Pool, Client: d.box.client(), Tickets: tickets, Files: files, Addresses: testAddresses, Now: e.Now,
			Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		})
		ticket.Register(api, tickets)
		Register(api, d.service)
	})
	return d
}

// mailbox answers as the notification service does for mail that came in. The real one is
// tried in the tests of the local stack.
type mailbox struct {
	*httptest.Server
	mu       sync.Mutex
	mails    []notifyapi.InboundMail
	files    map[uuid.UUID][]string
	acks     map[uuid.UUID]string // result and reference
	failAcks int                  // how many acknowledgements are lost
	noDelete int                  // the status with which deletions are refused; 0 for none
}

func newMailbox(t testing.TB) *mailbox {
	b := &mailbox{files: map[uuid.UUID][]string{}, acks: map[uuid.UUID]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/inbound", b.list)
	mux.HandleFunc("GET /v1/inbound/{id}", b.get)
	mux.HandleFunc("GET /v1/inbound/{id}/raw", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the raw mail") })
	mux.HandleFunc("GET /v1/inbound/{id}/attachments/{n}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, b.files[uuid.MustParse(r.PathValue("id"))][r.PathValue("n")[0]-'0'])
	})
	mux.HandleFunc("POST /v1/inbound/{id}/ack", b.ack)
	mux.HandleFunc("DELETE /v1/inbound/{id}", b.delete)
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

func (b *mailbox) client() *notifyapi.Client {
	return &notifyapi.Client{BaseURL: b.URL, Token: func(context.Context) (string, error) { return "token", nil }, HTTPClient: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (b *mailbox) list(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	page := notifyapi.Page[notifyapi.InboundMail]{Items: []notifyapi.InboundMail{}}
	for _, m := range b.mails {
		if b.acks[m.ID] == "" {
			page.Items = append(page.Items, m)
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

func (b *mailbox) get(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.mails, func(m notifyapi.InboundMail) bool { return m.ID.String() == r.PathValue("id") })
	if i < 0 {
		http.Error(w, "{}", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(b.mails[i])
}

func (b *mailbox) ack(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failAcks > 0 {
		b.failAcks--
		http.Error(w, "{}", http.StatusServiceUnavailable)
		return
	}
	var body struct{ Result, Reference string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	b.acks[uuid.MustParse(r.PathValue("id"))] = body.Result + " " + body.Reference
	_, _ = io.WriteString(w, "{}")
}

func (b *mailbox) delete(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(b.mails), func(m notifyapi.InboundMail) bool { return m.ID.String() == r.PathValue("id") })
	switch {
	case b.noDelete != 0:
		http.Error(w, "{}", b.noDelete)
	case len(left) == len(b.mails):
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code": "not_found"}`)
	default:
		b.mails = left
		w.WriteHeader(http.StatusNoContent)
	}
}

// mail is a mail from somebody to addresses of the help desk.
func (d *testEnv) mail(from, subject, text string, to ...string) notifyapi.InboundMail {
	d.n++
	m := notifyapi.InboundMail{ID: uuid.Must(uuid.NewV7()), ReceivedAt: d.Now().UTC().Truncate(time.Microsecond), Envelope: notifyapi.Envelope{From: from, To: to}}
	m.From = &notifyapi.MailAddress{Name: "Name of " + strings.Split(from, "@")[0], Email: from}
	m.Subject, m.Text, m.MessageID = subject, text, uuid.NewString()+"@example.com"
	for _, email := range to {
		m.To = append(m.To, notifyapi.MailAddress{Email: email})
	}
	return m
}

// receive puts a mail into the mailbox, and consumes it.
func (d *testEnv) receive(m notifyapi.InboundMail) Record {
	d.Helper()
	d.box.mu.Lock()
	d.box.mails = append(d.box.mails, m)
	d.box.mu.Unlock()
	if _, err := d.service.Consume(context.Background()); err != nil {
		d.Fatal(err)
	}
	r, err := d.service.Record(context.Background(), m.ID)
	if err != nil {
		d.Fatal(err)
	}
	if got := d.box.acks[m.ID]; !strings.HasPrefix(got, string(r.Outcome)+" ") {
		d.Errorf("acknowledged as %q, is %q", got, r.Outcome)
	}
	return r
}

// became fails the test unless that became of the mail.
func (d *testEnv) became(what string, r Record, outcome Outcome, reason Reason) Record {
	d.Helper()
	if r.Outcome != outcome || r.Reason != reason {
		d.Errorf("%s: %s %s, want %s %s", what, r.Outcome, r.Reason, outcome, reason)
	}
	return r
}

// reply is the address for answers to a ticket.
func (d *testEnv) reply(t crmtest.Ticket, to Audience) string {
	return testAddresses.ReplyTo(t.ID, t.Number, to)
}

type commentBody struct {
	ID       uuid.UUID
	Body     string
	Internal bool
	Author   struct {
		ID   uuid.UUID
		Name string
	}
	ByMail      bool `json:"by_mail"`
	CC          []struct{ Email string }
	Held        *struct{ Status, Reason string }
	Attachments []struct {
		Filename string
		Size     int
	}
}

// last is the newest comment on a ticket that somebody sees.
func (d *testEnv) last(who crmtest.User, t crmtest.Ticket) commentBody {
	d.Helper()
	list := crmtest.Parse[crmtest.Page[commentBody]](d.Call(who, "GET", t.Path("/comments"), nil).Want(200)).Items
	if len(list) == 0 {
		return commentBody{}
	}
	return list[0]
}
