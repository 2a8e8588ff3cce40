package ticket

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmtest"
)

// mailRoom answers as the notification service would: lists by reference in
// pages without recipients, and gives one with them.
type mailRoom struct {
	*httptest.Server
	mails  []notifyapi.Notification // newest first
	fail   func(path string) int    // the status to refuse a request with; 0 for none
	within atomic.Int64             // requests under way
	most   atomic.Int64
}

func newMailRoom(d *testEnv) *mailRoom {
	d.Helper()
	m := &mailRoom{fail: func(string) int { return 0 }}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	d.Cleanup(m.Close)
	d.service.mails = m.client()
	return m
}

func (m *mailRoom) client() *notifyapi.Client {
	return &notifyapi.Client{
		BaseURL: m.URL, HTTPClient: m.Client(),
		Token: func(context.Context) (string, error) { return "token", nil },
	}
}

func (m *mailRoom) serve(w http.ResponseWriter, r *http.Request) {
	n := m.within.Add(1)
	defer m.within.Add(-1)
	for most := m.most.Load(); n > most && !m.most.CompareAndSwap(most, n); most = m.most.Load() {
	}
	refuse := func(status int, code string) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code})
	}
	if status := m.fail(r.URL.Path); status != 0 {
		refuse(status, "canary_code")
		return
	}
	if id, one := strings.CutPrefix(r.URL.Path, "/v1/notifications/"); one {
		i := slices.IndexFunc(m.mails, func(n notifyapi.Notification) bool { return n.ID.String() == id })
		_ = json.NewEncoder(w).Encode(m.mails[i])
		return
	}
	q := r.URL.Query()
	first := 0
	if cursor := q.Get("cursor"); cursor != "" {
		var err error
		if first, err = strconv.Atoi(strings.TrimPrefix(cursor, "from")); err != nil {
			refuse(http.StatusBadRequest, errs.CodeInvalidCursor)
			return
		}
	}
	limit, _ := strconv.Atoi(q.Get("limit"))
	page := notifyapi.Page[notifyapi.Notification]{Items: []notifyapi.Notification{}}
	for i, n := range m.mails {
		if i < first || *n.Reference != q.Get("reference") {
			continue
		}
		if len(page.Items) == limit {
			page.NextCursor = "from" + strconv.Itoa(i)
			break
		}
		n.Recipients = nil
		page.Items = append(page.Items, n)
	}
	_ = json.NewEncoder(w).Encode(page)
}

// add makes the service know one more mail about a ticket.
func (m *mailRoom) add(t crmtest.Ticket, subject string, status notifyapi.Status, recipients ...notifyapi.Recipient) {
	reference := t.ID.String()
	m.mails = slices.Insert(m.mails, 0, notifyapi.Notification{
		ID: uuid.Must(uuid.NewV7()), Subject: subject, Text: "canary text", Reference: &reference,
		Status: status, CreatedAt: time.Now(), Recipients: recipients,
	})
}

type mailBody struct {
	ID         uuid.UUID
	Subject    string
	Status     string
	LastError  *string `json:"last_error"`
	Recipients []struct {
		Email     string
		Status    string
		Attempts  int
		LastError *string    `json:"last_error"`
		SentAt    *time.Time `json:"sent_at"`
	}
}

func subjects(mails []mailBody) []string {
	var s []string
	for _, m := range mails {
		s = append(s, m.Subject)
	}
	return s
}

func TestStaffSeeWhatBecameOfATicketsMailsRecipientByRecipient(t *testing.T) {
	d := newTestEnv(t)
	room := newMailRoom(d)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket, another := d.Raise(customer, "Printer", "It smokes"), d.Raise(customer, "Lamp", "It flickers")
	d.Exec(`update outbox set dead_at = now(), attempts = 1, last_error = 'refused: 422' where reference = $1 and kind = 'ticket_assigned'`, ticket.ID)
	sent, refusal := time.Now(), "550 no such user"
	room.add(ticket, "Old", notifyapi.StatusPartiallyFailed,
		notifyapi.Recipient{ID: uuid.New(), Email: "a@example.com", Status: notifyapi.RecipientSent, Attempts: 2, SentAt: &sent},
		notifyapi.Recipient{ID: uuid.New(), Email: "b@example.com", Status: notifyapi.RecipientFailed, Attempts: 1, LastError: &refusal})
	room.add(another, "Of another ticket", notifyapi.StatusCompleted)
	room.add(ticket, "New", notifyapi.StatusQueued, notifyapi.Recipient{ID: uuid.New(), Email: "a@example.com", Status: notifyapi.RecipientQueued})

	for _, who := range []crmtest.User{engineer, admin} {
		answer := d.Call(who, "GET", ticket.Path("/notifications"), nil).Want(200)
		mails := crmtest.Parse[crmtest.Page[mailBody]](answer).Items
		if len(mails) != 4 || strings.Contains(string(answer.Body), "canary") {
			t.Fatalf("%s", answer.Body)
		}
		var receipt, assigned mailBody
		for _, m := range mails[:2] {
			if m.Status == "dead" {
				assigned = m
			} else {
				receipt = m
			}
		}
		if receipt.Status != "pending" || receipt.LastError != nil || receipt.Recipients[0].Email != customer.Email || receipt.Recipients[0].Status != "pending" {
			t.Errorf("receipt: %+v", receipt)
		}
		if assigned.LastError == nil || *assigned.LastError != "refused: 422" || assigned.Recipients[0].Email != engineer.Email || assigned.Recipients[0].Status != "dead" {
			t.Errorf("assigned: %+v", assigned)
		}
		if got := subjects(mails[2:]); !slices.Equal(got, []string{"New", "Old"}) {
			t.Errorf("then %v", got)
		}
		old := mails[3]
		if a, b := old.Recipients[0], old.Recipients[1]; old.Status != "partially_failed" || a.Status != "sent" || a.Attempts != 2 || a.SentAt == nil ||
			b.Status != "failed" || b.LastError == nil || *b.LastError != refusal {
			t.Errorf("old: %+v", old)
		}
	}
	d.Call(customer, "GET", ticket.Path("/notifications"), nil).Refused(403, errs.CodeForbidden)
	d.Call(admin, "GET", "/v1/tickets/"+uuid.NewString()+"/notifications", nil).Refused(404, errs.CodeNotFound)
}

func TestMailsComeInPagesEachOnceWhereverThePageEnds(t *testing.T) {
	d := newTestEnv(t)
	room := newMailRoom(d)
	customer, _, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	for i := range 40 {
		room.add(ticket, "Mail "+strconv.Itoa(i), notifyapi.StatusCompleted)
	}
	all := crmtest.Parse[crmtest.Page[mailBody]](d.Call(admin, "GET", ticket.Path("/notifications?limit=100"), nil).Want(200))
	if len(all.Items) != 42 || all.NextCursor != "" {
		t.Fatalf("%d mails, next %q", len(all.Items), all.NextCursor)
	}
	if most := room.most.Load(); most > mailsConcurrency {
		t.Errorf("%d requests at the same time", most)
	}
	for _, limit := range []int{1, 2, 3, 20, 21, 41, 42} {
		var walked []mailBody
		cursor := ""
		for {
			p := crmtest.Parse[crmtest.Page[mailBody]](d.Call(admin, "GET", ticket.Path("/notifications?limit="+strconv.Itoa(limit)+cursor), nil).Want(200))
			walked = append(walked, p.Items...)
			if len(p.Items) > limit {
				t.Errorf("limit %d: %d items", limit, len(p.Items))
			}
			if p.NextCursor == "" {
				break
			}
			cursor = "&cursor=" + p.NextCursor
		}
		if !slices.Equal(subjects(walked), subjects(all.Items)) {
			t.Errorf("limit %d: %v", limit, subjects(walked))
		}
	}
	first := crmtest.Parse[crmtest.Page[mailBody]](d.Call(admin, "GET", ticket.Path("/notifications?limit=5"), nil).Want(200))
	another := d.Raise(customer, "Lamp", "It flickers")
	for _, cursor := range []string{"x", first.NextCursor + "A"} {
		d.Call(admin, "GET", ticket.Path("/notifications?cursor="+cursor), nil).Refused(400, errs.CodeInvalidCursor)
	}
	d.Call(admin, "GET", another.Path("/notifications?cursor="+first.NextCursor), nil).Refused(400, errs.CodeInvalidCursor)
	if err := mailsUnknown(&notifyapi.Error{Status: http.StatusBadRequest, Code: errs.CodeInvalidCursor}); !errs.HasCode(err, errs.CodeInvalidCursor) {
		t.Errorf("a cursor that the notification service refuses: %v", err)
	}
}

func TestMailsAreUnavailableRatherThanWrongWithoutTheNotificationService(t *testing.T) {
	d := newTestEnv(t)
	room := newMailRoom(d)
	customer, admin := d.User("customer"), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	room.add(ticket, "Mail", notifyapi.StatusCompleted)
	down := &notifyapi.Client{BaseURL: "http://127.0.0.1:1", Token: room.client().Token}
	for name, arrange := range map[string]func(){
		"away":            func() { d.service.mails = down },
		"failing":         func() { room.fail = failBelow("/", http.StatusServiceUnavailable) },
		"not letting us":  func() { room.fail = failBelow("/", http.StatusUnauthorized) },
		"failing for one": func() { room.fail = failBelow("/v1/notifications/", http.StatusInternalServerError) },
	} {
		d.service.mails = room.client()
		room.fail = func(string) int { return 0 }
		d.Call(admin, "GET", ticket.Path("/notifications"), nil).Want(200)
		arrange()
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, ticket.Path("/notifications"), nil)
		r.Header.Set("Authorization", "Bearer "+admin.ID.String())
		w := httptest.NewRecorder()
		d.Handler.ServeHTTP(w, r)
		answer := crmtest.Response{Env: d.Env, Code: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
		p := answer.Refused(http.StatusServiceUnavailable, errs.CodeUnavailable)
		if w.Header().Get("Retry-After") == "" || !strings.Contains(p.Detail, "notification service") || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: Retry-After %q, %s", name, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func failBelow(path string, status int) func(string) int {
	return func(asked string) int {
		if strings.HasPrefix(asked, path) {
			return status
		}
		return 0
	}
}
