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

// notificationService answers like the real one: it lists by reference, in pages,
// without content, and with recipients on request.
type notificationService struct {
	*httptest.Server
	mails []notifyapi.Notification // newest first
	fail  int                      // the status of every answer; 0 for none
	calls atomic.Int64
}

func newNotificationService(d *testEnv) *notificationService {
	d.Helper()
	m := &notificationService{}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	d.Cleanup(m.Close)
	d.service.mails = m.client()
	return m
}

func (m *notificationService) client() *notifyapi.Client {
	return &notifyapi.Client{
		BaseURL: m.URL, HTTPClient: m.Client(),
		Token: func(context.Context) (string, error) { return "token", nil },
	}
}

func (m *notificationService) serve(w http.ResponseWriter, r *http.Request) {
	m.calls.Add(1)
	refuse := func(status int, code string) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code})
	}
	if m.fail != 0 {
		refuse(m.fail, "canary_code")
		return
	}
	if r.URL.Path != "/v1/notifications" {
		refuse(http.StatusNotFound, errs.CodeNotFound)
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
		n.Text = ""
		if q.Get("include") != "recipients" {
			n.Recipients = nil
		}
		page.Items = append(page.Items, n)
	}
	_ = json.NewEncoder(w).Encode(page)
}

// add stores one more mail about a ticket in the service.
func (m *notificationService) add(t crmtest.Ticket, subject string, status notifyapi.Status, recipients ...notifyapi.Recipient) {
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

func TestStaffListTheMailsOfATicketWithEachRecipient(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	notifications := newNotificationService(d)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket, another := d.Raise(customer, "Printer", "It smokes"), d.Raise(customer, "Lamp", "It flickers")
	d.Exec(`update outbox set dead_at = now(), attempts = 1, last_error = 'refused: 422' where reference = $1 and kind = 'ticket_assigned'`, ticket.ID)
	sent, refusal := time.Now(), "550 no such user"
	notifications.add(ticket, "Old", notifyapi.StatusPartiallyFailed,
		notifyapi.Recipient{ID: uuid.New(), Email: "a@example.com", Status: notifyapi.RecipientSent, Attempts: 2, SentAt: &sent},
		notifyapi.Recipient{ID: uuid.New(), Email: "b@example.com", Status: notifyapi.RecipientFailed, Attempts: 1, LastError: &refusal})
	notifications.add(another, "Of another ticket", notifyapi.StatusCompleted)
	notifications.add(ticket, "New", notifyapi.StatusQueued, notifyapi.Recipient{ID: uuid.New(), Email: "a@example.com", Status: notifyapi.RecipientQueued})

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

func TestEachMailOfATicketIsOnOnePageWhateverTheLimit(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	notifications := newNotificationService(d)
	customer, _, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	for i := range 40 {
		notifications.add(ticket, "Mail "+strconv.Itoa(i), notifyapi.StatusCompleted)
	}
	all := crmtest.Parse[crmtest.Page[mailBody]](d.Call(admin, "GET", ticket.Path("/notifications?limit=100"), nil).Want(200))
	if len(all.Items) != 42 || all.NextCursor != "" {
		t.Fatalf("%d mails, next %q", len(all.Items), all.NextCursor)
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
	if err := mailsUnavailable(&notifyapi.Error{Status: http.StatusBadRequest, Code: errs.CodeInvalidCursor}); !errs.HasCode(err, errs.CodeInvalidCursor) {
		t.Errorf("a cursor that the notification service refuses: %v", err)
	}
}

func TestMailsOfATicketAreUnavailableWithoutTheNotificationService(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	notifications := newNotificationService(d)
	customer, admin := d.User("customer"), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	notifications.add(ticket, "Mail", notifyapi.StatusCompleted)
	down := &notifyapi.Client{BaseURL: "http://127.0.0.1:1", Token: notifications.client().Token}
	for name, arrange := range map[string]func(){
		"unreachable":        func() { d.service.mails = down },
		"failing":            func() { notifications.fail = http.StatusServiceUnavailable },
		"refusing the token": func() { notifications.fail = http.StatusUnauthorized },
	} {
		d.service.mails = notifications.client()
		notifications.fail = 0
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

func TestPageOfMailsIsOneCallOfTheNotificationService(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	notifications := newNotificationService(d)
	customer, admin := d.User("customer"), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Exec("update outbox set done_at = now()")
	for i := range 150 {
		notifications.add(ticket, "Mail "+strconv.Itoa(i), notifyapi.StatusCompleted,
			notifyapi.Recipient{ID: uuid.New(), Email: "a@example.com", Status: notifyapi.RecipientSent})
	}
	cursor := ""
	for _, want := range []int{100, 50} {
		before := notifications.calls.Load()
		p := crmtest.Parse[crmtest.Page[mailBody]](d.Call(admin, "GET", ticket.Path("/notifications?limit=100"+cursor), nil).Want(200))
		if calls := notifications.calls.Load() - before; calls != 1 {
			t.Errorf("%d calls for a page", calls)
		}
		if len(p.Items) != want || len(p.Items[0].Recipients) != 1 || p.Items[0].Recipients[0].Status != "sent" { // the control
			t.Errorf("%d mails, want %d with their recipients", len(p.Items), want)
		}
		cursor = "&cursor=" + p.NextCursor
	}
}
