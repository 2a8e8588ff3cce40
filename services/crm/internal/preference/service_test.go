package preference

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/ticket"
)

// testEnv is the shared environment with the routes of tickets and preferences.
type testEnv struct {
	*crmtest.Env
	service *Service
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.New(t, func(e *crmtest.Env, api *httpapi.API) {
		d.service = NewService(Config{Pool: e.Pool, Now: e.Now, Wake: func() {}, Log: discard})
		ticket.Register(api, ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}}))
		Register(api, d.service)
	})
	return d
}

const preferencesPath = "/v1/me/preferences"

// want sets a person's preferences; events are the kinds that they refuse.
func (d *testEnv) want(who crmtest.User, digest Interval, events ...string) {
	d.Helper()
	refused := crmtest.Object{}
	for _, kind := range events {
		refused[kind] = "none"
	}
	d.Call(who, "PUT", preferencesPath, crmtest.Object{"events": refused, "digest": digest, "digest_hour": 8, "time_zone": "Europe/Berlin"}).Want(200)
}

func (d *testEnv) comment(who crmtest.User, t crmtest.Ticket, body string) {
	d.Helper()
	d.Call(who, "POST", t.Path("/comments"), crmtest.Object{"body": body}).Want(201)
}

func TestPreferencesAreReadBackAsTheyWerePut(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	const byDefault = `{"events":{"ticket_received":"mail","ticket_assigned":"mail","ticket_unassigned":"mail","ticket_changed":"mail","ticket_commented":"mail","registration_waiting":"mail"},"digest":"never","digest_hour":8,"time_zone":"UTC"}`
	if got := string(d.Call(customer, "GET", preferencesPath, nil).Want(200).Body); strings.TrimSpace(got) != byDefault {
		t.Errorf("by default %s", got)
	}
	put := d.Call(customer, "PUT", preferencesPath, `{"events":{"ticket_changed":"none","ticket_commented":"mail"},"digest":"daily","digest_hour":23,"time_zone":"Asia/Kolkata"}`).Want(200)
	want := strings.NewReplacer(`"ticket_changed":"mail"`, `"ticket_changed":"none"`, `"never"`, `"daily"`, `:8`, `:23`, "UTC", "Asia/Kolkata").Replace(byDefault)
	for _, got := range []crmtest.Response{put, d.Call(customer, "GET", preferencesPath, nil).Want(200)} {
		if strings.TrimSpace(string(got.Body)) != want {
			t.Errorf("got %s, want %s", got.Body, want)
		}
	}
	if got := string(d.Call(d.User("customer"), "GET", preferencesPath, nil).Want(200).Body); strings.TrimSpace(got) != byDefault {
		t.Errorf("another person's are %s", got)
	}
	for _, bad := range []string{
		`{"events":{"password_reset":"none"},"digest":"never","digest_hour":8,"time_zone":"UTC"}`,
		`{"events":{"account_changed":"none"},"digest":"never","digest_hour":8,"time_zone":"UTC"}`,
		`{"events":{"ticket_changed":"no"},"digest":"never","digest_hour":8,"time_zone":"UTC"}`,
		`{"events":{},"digest":"weekly","digest_hour":8,"time_zone":"UTC"}`,
		`{"events":{},"digest":"daily","digest_hour":24,"time_zone":"UTC"}`,
		`{"events":{},"digest":"daily","digest_hour":-1,"time_zone":"UTC"}`,
		`{"events":{},"digest":"daily","digest_hour":8,"time_zone":"Europe/Atlantis"}`,
		`{"events":{},"digest":"daily","digest_hour":8}`,
	} {
		d.Call(customer, "PUT", preferencesPath, bad).Refused(422, "validation_failed")
	}
	if got := string(d.Call(customer, "GET", preferencesPath, nil).Want(200).Body); strings.TrimSpace(got) != want {
		t.Errorf("a refused change changed them to %s", got)
	}
}

func TestRefusedKindOfMailIsNotWritten(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	d.want(customer, Never, "ticket_received", "ticket_commented")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.WantNotices("a ticket whose reporter refuses receipts", "ticket_assigned > "+engineer.Email)
	d.comment(engineer, ticket, "On my way")
	d.WantNotices("a comment that the reporter refuses")
	// The controls: another kind, another person.
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	d.WantNotices("a change", "ticket_changed > "+customer.Email)
	d.comment(customer, ticket, "Thank you")
	d.WantNotices("a comment for the engineer", "ticket_commented > "+engineer.Email)
	d.want(customer, Never)
	d.comment(engineer, ticket, "You are welcome")
	d.WantNotices("a comment that the reporter wants again", "ticket_commented > "+customer.Email)
}

func TestDatabaseKeepsMailsAboutSecurityFromBeingRefused(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	for _, kind := range []string{
		notice.KindPasswordReset, notice.KindEmailVerification, notice.KindInvitation, notice.KindAccountChanged, notice.KindRegistrationDecided, notice.KindDigest,
	} {
		if _, err := d.service.Put(t.Context(), customer.ID, Preferences{Refused: []string{kind}, Digest: Never, TimeZone: "UTC"}); err == nil {
			t.Errorf("%s can be refused", kind)
		}
	}
	if _, err := d.service.Put(t.Context(), customer.ID, Preferences{Refused: notice.RefusableKinds, Digest: Never, TimeZone: "UTC"}); err != nil {
		t.Errorf("the control: %v", err)
	}
}

func (d *testEnv) token(who crmtest.User, kind string) string {
	d.Helper()
	secret := crmtest.Get[[]byte](d.Env, `select value from secrets where name = 'unsubscribe'`)
	return notice.Subscription{User: who.ID, Kind: kind}.Token(secret)
}

// anonymous has no account.
var anonymous = crmtest.User{}

func (d *testEnv) mailed(token string) bool {
	d.Helper()
	return crmtest.Parse[subscriptionBody](d.Call(anonymous, "GET", "/v1/unsubscribe?token="+token, nil).Want(200)).Mailed
}

func TestOneClickEndsOneKindOfMailToOnePerson(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	var multi bytes.Buffer
	w := multipart.NewWriter(&multi)
	if err := w.WriteField("List-Unsubscribe", "One-Click"); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for name, click := range map[string]struct{ path, contentType, body string }{
		"a form (RFC 8058)":                  {"/unsubscribe", form, "List-Unsubscribe=One-Click"},
		"a form of several parts (RFC 8058)": {"/unsubscribe", w.FormDataContentType(), multi.String()},
		"the page":                           {"/v1/unsubscribe", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestEnv(t)
			customer, engineer := d.User("customer"), d.Engineer()
			ticket := d.Raise(customer, "Printer", "It smokes")
			token := d.token(customer, notice.KindTicketCommented)
			d.Messages()
			if !d.mailed(token) {
				t.Error("not mailed before the click")
			}
			for _, path := range []string{"/unsubscribe", "/v1/unsubscribe"} { // a link that is only looked at
				d.Call(anonymous, "GET", path+"?token="+token, nil)
				d.Call(anonymous, "HEAD", path+"?token="+token, nil)
			}
			d.comment(engineer, ticket, "On my way")
			d.WantNotices("looking at the link", "ticket_commented > "+customer.Email)
			for range 2 {
				d.Call(anonymous, "POST", click.path+"?token="+token, click.body, "Content-Type", click.contentType).Want(204)
			}
			if d.mailed(token) {
				t.Error("still mailed after the click")
			}
			d.comment(engineer, ticket, "I am there")
			d.WantNotices("the click")
			// The controls: another kind, another person.
			d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
			d.comment(customer, ticket, "Thank you")
			d.WantNotices("the click, for others", "ticket_changed > "+customer.Email, "ticket_commented > "+engineer.Email)
		})
	}
}

func TestDigestsLinkEndsAllThatItGathers(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	d.want(customer, Hourly)
	token := d.token(customer, notice.KindDigest)
	d.Call(anonymous, "POST", "/unsubscribe?token="+token, nil).Want(204)
	if d.mailed(token) || d.mailed(d.token(customer, notice.KindTicketChanged)) || !d.mailed(d.token(customer, notice.KindTicketReceived)) {
		t.Error("it ends too much or too little")
	}
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.comment(engineer, ticket, "On my way")
	if n := crmtest.Get[int](d.Env, `select count(*) from digest_items`); n != 0 {
		t.Errorf("%d notices wait for a digest", n)
	}
	d.WantNotices("a ticket", "ticket_received > "+customer.Email, "ticket_assigned > "+engineer.Email)
}

func TestForgedTokensAreAnsweredLikeAPageThatIsNotThere(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, erased := d.User("customer"), d.User("customer")
	d.Exec(`update users set erased_at = now() where id = $1`, erased.ID)
	valid := d.token(customer, notice.KindTicketCommented)
	other := notice.Subscription{User: customer.ID, Kind: notice.KindTicketCommented}.Token([]byte("another secret"))
	tokens := []string{
		other, valid[:len(valid)-1], valid + "A", "AAAA", d.token(erased, notice.KindTicketCommented), d.token(crmtest.User{ID: uuid.New()}, notice.KindTicketCommented),
		d.token(customer, notice.KindPasswordReset), d.token(customer, "*"),
	}
	for _, token := range tokens {
		for _, call := range []string{"GET /v1/unsubscribe", "POST /v1/unsubscribe", "POST /unsubscribe"} {
			method, path, _ := strings.Cut(call, " ")
			d.Call(anonymous, method, path+"?token="+token, nil).Refused(404, "not_found")
		}
	}
	for _, query := range []string{"", "?token=", "?token=" + valid + "&token=" + valid, "?token=" + valid + "&kind=x", "?token=" + strings.Repeat("A", 201), "?token=%00"} {
		d.Call(anonymous, "POST", "/v1/unsubscribe"+query, nil).Refused(422, "validation_failed")
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from preferences`); n != 0 {
		t.Errorf("%d people are unsubscribed", n)
	}
	d.Call(anonymous, "POST", "/v1/unsubscribe?token="+valid, nil).Want(204) // the control
}
