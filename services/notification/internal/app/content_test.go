package app_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

const canary = "canary-reset-token"

// withToken is a mail with a secret.
func withToken(sensitive bool, recipients ...string) notifyapi.Request {
	html := "<p>" + canary + "</p>"
	r := newMail(recipients...)
	reply := "support+42." + canary + "@example.org"
	r.Text, r.HTML, r.ReplyTo, r.Sensitive = "Your token: "+canary, &html, &reply, sensitive
	return r
}

func TestContentIsAnsweredOnlyToItsCallerAndNeverInLists(t *testing.T) {
	s, i, _ := startHeld(t)
	own, err := s.Create(t.Context(), "ordinary", withToken(false, "a@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	sensitive, err := s.Create(t.Context(), "sensitive", withToken(true, "a@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(own.Text, canary) || !strings.Contains(*own.HTML, canary) || !strings.Contains(*own.ReplyTo, canary) {
		t.Errorf("the answer to the own POST lacks the content: %+v", own)
	}
	if sensitive.Text != "" || sensitive.HTML != nil || sensitive.ReplyTo != nil || !sensitive.Sensitive {
		t.Errorf("the answer to POST has sensitive content: %+v", sensitive)
	}
	reader := i.token(t, notifyapi.Audience, "ops", notifyapi.ScopeRead)
	manager := i.token(t, notifyapi.Audience, "ops", allScopes...)
	writer := i.token(t, notifyapi.Audience, "test", allScopes...)
	for _, tc := range []struct {
		name, token, method, path string
		want                      bool
	}{
		{"own", writer, "GET", "/v1/notifications/" + own.ID.String(), true}, // the control
		{"own sensitive", writer, "GET", "/v1/notifications/" + sensitive.ID.String(), false},
		{"own list", writer, "GET", "/v1/notifications?include=recipients", false},
		{"foreign", reader, "GET", "/v1/notifications/" + own.ID.String(), false},
		{"foreign sensitive", reader, "GET", "/v1/notifications/" + sensitive.ID.String(), false},
		{"foreign list", reader, "GET", "/v1/notifications", false},
		{"foreign list with recipients", reader, "GET", "/v1/notifications?include=recipients", false},
		{"foreign cancel", manager, "POST", "/v1/notifications/" + own.ID.String() + "/cancel", false},
		{"own cancel of the sensitive", writer, "POST", "/v1/notifications/" + sensitive.ID.String() + "/cancel", false},
	} {
		status, _, answer := call(t, s, tc.token, tc.method, tc.path, "", "")
		raw, _ := json.Marshal(answer)
		if got := strings.Contains(string(raw), canary); status != 200 || got != tc.want {
			t.Errorf("%s: %d, content %v: %s", tc.name, status, got, raw)
		}
		if _, has := answer["text"]; has != tc.want {
			t.Errorf("%s: text is there: %v", tc.name, has)
		}
	}
}

func TestSensitiveContentIsErasedWhenTheNotificationEnds(t *testing.T) {
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "RCPT" && strings.Contains(e.Arg, "refused") {
			return "550 5.1.1 No such user"
		}
		return ""
	})
	i := newIssuer(t)
	url := newDatabase(t)
	s := start(t, i, testConfig(url, i.url, smtp.Addr()))
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	sensitive, err := s.Create(t.Context(), "sensitive", withToken(true, "a@example.org", "refused@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, sensitive.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	eventually(t, "the content is erased", func() bool { return len(columnsWith(t, pool, canary)) == 0 })
	if m := smtp.Messages(); len(m) != 1 || !strings.Contains(m[0].Data, canary) {
		t.Errorf("%d mails, or without the token", len(m))
	}
	var answer *notifyapi.Error
	if _, err := s.Retry(t.Context(), sensitive.ID); !errors.As(err, &answer) || answer.Status != 409 || !strings.Contains(answer.Detail, "sensitive") {
		t.Errorf("retry of a sensitive one: %v", err)
	}
	again, err := s.Create(t.Context(), "sensitive", withToken(true, "a@example.org", "refused@example.org"))
	if err != nil || again.ID != sensitive.ID {
		t.Errorf("the same key again: %v, %v", again.ID, err)
	}
	// The control: an ordinary one keeps its content, and the search finds it.
	ordinary, err := s.Create(t.Context(), "ordinary", withToken(false, "a@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, ordinary.ID, notifyapi.StatusCompleted, waitLimit)
	if found := columnsWith(t, pool, canary); strings.Join(found, " ") != "notifications.html notifications.reply_to notifications.text" {
		t.Errorf("the search finds an ordinary one in %v", found)
	}
}

// columnsWith names the text and JSON columns of every table that contain a text.
func columnsWith(t *testing.T, pool *pgxpool.Pool, text string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select table_name || '.' || column_name from information_schema.columns
		join information_schema.tables using (table_schema, table_name)
		where table_schema = 'public' and table_type = 'BASE TABLE' and data_type in ('text', 'character varying', 'json', 'jsonb')
		order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(columns) < 10 {
		t.Fatalf("%d columns, %v", len(columns), err)
	}
	var found []string
	for _, c := range columns {
		table, column, _ := strings.Cut(c, ".")
		var n int
		err := pool.QueryRow(t.Context(), "select count(*) from "+pgx.Identifier{table}.Sanitize()+
			" where "+pgx.Identifier{column}.Sanitize()+"::text like '%' || $1 || '%'", text).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found = append(found, c)
		}
	}
	return found
}

func TestListWithRecipientsEqualsTheSingleNotifications(t *testing.T) {
	s, _, open := startHeld(t)
	open()
	reference := "ticket-1"
	var ids []uuid.UUID
	for _, n := range []int{1, 3, 150} {
		r := newMail(numbered("r", n)...)
		r.Reference = &reference
		created, err := s.Create(t.Context(), uuid.NewString(), r)
		if err != nil {
			t.Fatal(err)
		}
		ids = append([]uuid.UUID{created.ID}, ids...)
		s.until(t, created.ID, notifyapi.StatusCompleted, waitLimit)
	}
	page, err := s.List(t.Context(), notifyapi.ListParams{Reference: reference, Recipients: true})
	if err != nil || len(page.Items) != 3 {
		t.Fatalf("%d items, %v", len(page.Items), err)
	}
	for k, id := range ids {
		one, err := s.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		one.Text, one.HTML = "", nil
		got, _ := json.Marshal(page.Items[k])
		want, _ := json.Marshal(one)
		if string(got) != string(want) {
			t.Errorf("in the list\n%s\nby itself\n%s", got, want)
		}
	}
	without, err := s.List(t.Context(), notifyapi.ListParams{Reference: reference})
	if err != nil || len(without.Items) != 3 || without.Items[0].Recipients != nil || without.Items[0].RecipientsNext != "" {
		t.Errorf("a list that doesn't ask for them has recipients: %v", err)
	}
}
