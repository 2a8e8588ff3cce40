package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// call does a raw request.
func call(t testing.TB, s *service, token, method, path, key, body string) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.BaseURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := s.HTTPClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s %s: %d %q", method, path, resp.StatusCode, raw)
	}
	return resp.StatusCode, resp.Header, answer
}

// startHeld starts a replica whose mail server does not answer until it is released.
func startHeld(t testing.TB) (*service, *issuer, func()) {
	t.Helper()
	release := make(chan struct{})
	var once sync.Once
	open := func() { once.Do(func() { close(release) }) }
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "CONNECT" {
			<-release
		}
		return ""
	})
	t.Cleanup(open)
	i := newIssuer(t)
	return start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr())), i, open
}

func TestEveryRouteTakesOnlyAServiceTokenWithItsScope(t *testing.T) {
	t.Parallel()
	s, i, _ := startHeld(t)
	id := raise(t, s, "anna@example.org")
	n, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	base := "/v1/notifications/" + id.String()
	routes := []struct{ method, path, scope, body string }{
		{"POST", "/v1/notifications", notifyapi.ScopeWrite, `{"subject":"s","text":"t","recipients":["a@example.org"],"requester":"r"}`},
		{"GET", "/v1/notifications", notifyapi.ScopeRead, ""},
		{"GET", base, notifyapi.ScopeRead, ""},
		{"GET", base + "/recipients", notifyapi.ScopeRead, ""},
		{"GET", base + "/recipients/" + n.Recipients[0].ID.String() + "/attempts", notifyapi.ScopeRead, ""},
		{"GET", "/v1/stats", notifyapi.ScopeRead, ""},
		{"POST", base + "/cancel", notifyapi.ScopeManage, ""},
		{"POST", base + "/retry", notifyapi.ScopeManage, ""},
	}
	for _, r := range routes {
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			others := slices.DeleteFunc(slices.Clone(allScopes), func(scope string) bool { return scope == r.scope })
			for name, tc := range map[string]struct {
				token, code string
				status      int
			}{
				"none":               {"", "invalid_token", 401},
				"garbage":            {"x.y.z", "invalid_token", 401},
				"a user's":           {i.token(t, "crm", "user", allScopes...), "invalid_token", 401},
				"another issuer's":   {newIssuer(t).token(t, notifyapi.Audience, "x", allScopes...), "invalid_token", 401},
				"all other scopes":   {i.token(t, notifyapi.Audience, "x", others...), "forbidden", 403},
				"a scope that looks": {i.token(t, notifyapi.Audience, "x", strings.ToUpper(r.scope), r.scope+"2"), "forbidden", 403},
			} {
				status, header, answer := call(t, s, tc.token, r.method, r.path, "k", r.body)
				if status != tc.status || answer["code"] != tc.code || status == 401 && !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s: %d %v", name, status, answer)
				}
			}
			status, _, answer := call(t, s, i.token(t, notifyapi.Audience, "x", r.scope), r.method, r.path, uuid.NewString(), r.body)
			if status == 401 || status == 403 {
				t.Errorf("with the scope: %d %v", status, answer)
			}
		})
	}
}

func TestInvalidRequestsAreRefusedWithTheirLocationAndNotStored(t *testing.T) {
	t.Parallel()
	s, i, _ := startHeld(t)
	token := i.token(t, notifyapi.Audience, "x", allScopes...)
	many, _ := json.Marshal(numbered("r", 1001))
	soon := time.Now().Add(time.Hour).UTC().Format(`"` + time.RFC3339 + `"`)
	base := map[string]string{"subject": `"s"`, "text": `"t"`, "recipients": `["a@example.org"]`, "requester": `"r"`}
	tests := []struct{ field, value, location string }{
		{"subject", `""`, "body.subject"},
		{"subject", `"a\r\nBcc: b@example.org"`, "body.subject"},
		{"subject", `"a\u2028b"`, "body.subject"},
		{"subject", `"  "`, "body.subject"},
		{"subject", `"` + strings.Repeat("x", 301) + `"`, "body.subject"},
		{"subject", `7`, "body.subject"},
		{"text", `""`, "body.text"},
		{"text", "", "body.text"},
		{"html", `""`, "body.html"},
		{"recipients", `[]`, "body.recipients"},
		{"recipients", `null`, "body.recipients"},
		{"recipients", string(many), "body.recipients"},
		{"recipients", `["good@example.org","Anna <a@example.org>"]`, "body.recipients[1]"},
		{"recipients", `["a@[127.0.0.1]"]`, "body.recipients[0]"},
		{"recipients", `["a@example.org,b@example.org"]`, "body.recipients[0]"},
		{"recipients", `["a@example.org\r\nRCPT TO:<b@example.org>"]`, "body.recipients[0]"},
		{"recipients", `["a"]`, "body.recipients[0]"},
		{"recipients", `["\"a b\"@example.org"]`, "body.recipients[0]"},
		{"requester", `"a\tb"`, "body.requester"},
		{"reference", `"a\nb"`, "body.reference"},
		{"thread", `"a\nb"`, "body.thread"},
		{"not_before", `"tomorrow"`, "body.not_before"},
		{"not_before", `"2999-01-01T00:00:00Z"`, "body.not_before"},
		{"expires_at", `"2020-01-01T00:00:00Z"`, "body.expires_at"},
		{"expires_at", `"2999-01-01T00:00:00Z"`, "body.expires_at"},
		{"expires_at", soon + `,"not_before":` + soon, "body.expires_at"},
		{"reply_to", `""`, "body.reply_to"},
		{"reply_to", `"a@example.org, b@example.org"`, "body.reply_to"},
		{"reply_to", `"Anna <a@example.org>"`, "body.reply_to"},
		{"reply_to", `"a@example.org\r\nBcc: b@example.org"`, "body.reply_to"},
		{"priority", `"high"`, "body.priority"},
		{"priority", `""`, "body.priority"},
		{"priority", `null`, "body.priority"},
		{"status", `"sent"`, "body.status"},
		{"id", `"019c2f4e-7a00-7000-8000-0000000004d2"`, "body.id"},
		{"Subject", `"x"`, "body.Subject"},
	}
	for _, tc := range tests {
		t.Run(tc.field+" "+tc.value[:min(len(tc.value), 40)], func(t *testing.T) {
			fields := map[string]string{}
			for k, v := range base {
				fields[k] = v
			}
			fields[tc.field] = tc.value
			var parts []string
			for k, v := range fields {
				if v != "" {
					parts = append(parts, fmt.Sprintf("%q:%s", k, v))
				}
			}
			status, _, answer := call(t, s, token, "POST", "/v1/notifications", uuid.NewString(), "{"+strings.Join(parts, ",")+"}")
			where := fmt.Sprint(answer["errors"])
			if status != 422 || answer["code"] != "validation_failed" || !strings.Contains(where, "location:"+tc.location) {
				t.Errorf("%d %v", status, answer)
			}
		})
	}
	for _, key := range []string{"", strings.Repeat("k", 201), "with space"} {
		status, _, answer := call(t, s, token, "POST", "/v1/notifications", key, `{"subject":"s","text":"t","recipients":["a@example.org"],"requester":"r"}`)
		if want := map[bool]string{true: "idempotency_missing", false: "validation_failed"}[key == ""]; answer["code"] != want {
			t.Errorf("key %q: %d %v", key, status, answer)
		}
	}
	if stats, err := s.Stats(t.Context()); err != nil || stats.Recipients.Total != 0 {
		t.Errorf("something was stored: %+v, %v", stats, err)
	}
}

func TestEmptyIdempotencyKeyIsInvalidAndAnAbsentOneIsMissing(t *testing.T) {
	s, i, _ := startHeld(t)
	for _, tc := range []struct {
		header []string
		status int
		code   string
	}{
		{nil, 400, "idempotency_missing"},
		{[]string{""}, 422, "validation_failed"},
		{[]string{"a", "b"}, 422, "validation_failed"},
		{[]string{"a"}, 202, ""}, // the control
	} {
		body := `{"subject":"s","text":"t","recipients":["a@example.org"],"requester":"r"}`
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.BaseURL+"/v1/notifications", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "Authorization": {"Bearer " + i.token(t, notifyapi.Audience, "x", allScopes...)},
		}
		if tc.header != nil {
			req.Header["Idempotency-Key"] = tc.header
		}
		resp, err := s.HTTPClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Code string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || answer.Code != tc.code {
			t.Errorf("%q: %d %s, want %d %s", tc.header, resp.StatusCode, answer.Code, tc.status, tc.code)
		}
	}
}

func TestNullIsAnAbsentOptionalField(t *testing.T) {
	s, i, _ := startHeld(t)
	token := i.token(t, notifyapi.Audience, "x", allScopes...)
	const fields = `"subject":"s","text":"t","recipients":["a@example.org"],"requester":"r"`
	status, _, first := call(t, s, token, "POST", "/v1/notifications", "k", `{`+fields+`,"html":null,"reference":null,"thread":null,"not_before":null,"expires_at":null,"reply_to":null}`)
	if status != 202 || first["html"] != nil || first["not_before"] != nil || first["text"] != "t" {
		t.Fatalf("%d %v", status, first)
	}
	if status, _, second := call(t, s, token, "POST", "/v1/notifications", "k", `{`+fields+`}`); status != 202 || second["id"] != first["id"] {
		t.Errorf("the same without null is another body: %d %v", status, second)
	}
	for _, field := range []string{"subject", "text", "recipients", "requester", "sensitive"} { // the control
		body := `{` + strings.Replace(fields, `"`+field+`"`, `"`+field+`":null,"x`+field+`"`, 1) + `}`
		if field == "sensitive" {
			body = `{` + fields + `,"sensitive":null}`
		}
		if status, _, answer := call(t, s, token, "POST", "/v1/notifications", uuid.NewString(), body); status != 422 {
			t.Errorf("%s null: %d %v", field, status, answer)
		}
	}
}

func TestFiftyEqualRequestsAreStoredOnceWithOneAnswer(t *testing.T) {
	t.Parallel()
	s, i, open := startHeld(t)
	open()
	token := i.token(t, notifyapi.Audience, "twins", allScopes...)
	const request = `{"subject":"s","text":"t","recipients":["a@example.org","b@example.org"],"requester":"r"}`
	answers := make(chan string, 50)
	var replayed atomic.Int32
	for range 50 {
		go func() {
			status, header, answer := call(t, s, token, "POST", "/v1/notifications", "same", request)
			if header.Get("Idempotency-Replayed") == "true" {
				replayed.Add(1)
			}
			b, _ := json.Marshal(answer)
			answers <- fmt.Sprint(status, header.Get("Location"), string(b))
		}()
	}
	first := <-answers
	if !strings.HasPrefix(first, "202/v1/notifications/") {
		t.Fatal(first)
	}
	for range 49 {
		if other := <-answers; other != first {
			t.Errorf("another answer:\n%s\n%s", first, other)
		}
	}
	if n := replayed.Load(); n != 49 {
		t.Errorf("%d of 50 answers are marked as replayed", n)
	}
	if list, err := s.List(t.Context(), notifyapi.ListParams{}); err != nil || len(list.Items) != 1 {
		t.Errorf("%d stored, %v", len(list.Items), err)
	}
	// Spacing and order don't make another request; another word does. Keys of
	// different callers are different.
	reordered := `{ "text":"t", "subject":"s", "requester":"r", "recipients":["a@example.org","b@example.org"] }`
	if status, _, _ := call(t, s, token, "POST", "/v1/notifications", "same", reordered); status != 202 {
		t.Errorf("reordered: %d", status)
	}
	if status, _, answer := call(t, s, token, "POST", "/v1/notifications", "same", strings.Replace(request, `"t"`, `"u"`, 1)); status != 422 || answer["code"] != "idempotency_mismatch" {
		t.Errorf("another body: %d %v", status, answer)
	}
	if status, _, answer := call(t, s, i.token(t, notifyapi.Audience, "other", allScopes...), "POST", "/v1/notifications", "same", request); status != 202 || strings.Contains(first, answer["id"].(string)) {
		t.Errorf("another caller: %d %v", status, answer)
	}
}

func TestAnswersAreTheTypesOfTheClient(t *testing.T) {
	t.Parallel()
	s, i, open := startHeld(t)
	open()
	token := i.token(t, notifyapi.Audience, "x", allScopes...)
	id := raise(t, s, numbered("r", 101)...)
	n := s.until(t, id, notifyapi.StatusCompleted, waitLimit)
	base := "/v1/notifications/" + id.String()
	for path, into := range map[string]any{
		base:                 &notifyapi.Notification{},
		"/v1/notifications":  &notifyapi.Page[notifyapi.Notification]{},
		base + "/recipients": &notifyapi.Page[notifyapi.Recipient]{},
		base + "/recipients/" + n.Recipients[0].ID.String() + "/attempts": &notifyapi.Page[notifyapi.Attempt]{},
		"/v1/stats": &notifyapi.Stats{},
	} {
		_, _, answer := call(t, s, token, "GET", path, "", "")
		raw, _ := json.Marshal(answer)
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		// The answer has every field of the client's type.
		again, _ := json.Marshal(into)
		var back map[string]any
		_ = json.Unmarshal(again, &back)
		if !reflect.DeepEqual(keys(answer), keys(back)) {
			t.Errorf("%s: the answer has %v, the client knows %v", path, keys(answer), keys(back))
		}
	}
}

// keys lists the names of fields at all depths.
func keys(v any) []string {
	names := map[string]bool{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				names[prefix+k] = true
				walk(prefix+k+".", inner)
			}
		case []any:
			for _, inner := range v {
				walk(prefix, inner)
			}
		}
	}
	walk("", v)
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func TestListsArePagedCompletelyAndFiltered(t *testing.T) {
	t.Parallel()
	s, i, open := startHeld(t)
	open()
	ctx := t.Context()
	var ids []uuid.UUID
	for n := range 5 {
		r := newMail(numbered("r", 30)...)
		reference := fmt.Sprintf("ticket-%d", n%2)
		r.Reference = &reference
		stored, err := s.Create(ctx, fmt.Sprint(n), r)
		if err != nil {
			t.Fatal(err)
		}
		ids = append([]uuid.UUID{stored.ID}, ids...)
	}
	var got []uuid.UUID
	for cursor := ""; ; {
		page, err := s.List(ctx, notifyapi.ListParams{Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Items {
			got = append(got, n.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("pages give %v, want %v", got, ids)
	}
	for _, id := range ids {
		s.until(t, id, notifyapi.StatusCompleted, waitLimit)
	}
	middle, _ := s.Get(ctx, ids[2])
	for name, tc := range map[string]struct {
		params notifyapi.ListParams
		want   int
	}{
		"reference":     {notifyapi.ListParams{Reference: "ticket-1"}, 2},
		"requester":     {notifyapi.ListParams{Requester: "nobody"}, 0},
		"status":        {notifyapi.ListParams{Status: notifyapi.StatusCompleted}, 5},
		"other status":  {notifyapi.ListParams{Status: notifyapi.StatusFailed}, 0},
		"created after": {notifyapi.ListParams{CreatedAfter: middle.CreatedAt}, 2},
		"before":        {notifyapi.ListParams{CreatedBefore: middle.CreatedAt}, 2},
		"far past":      {notifyapi.ListParams{CreatedAfter: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)}, 5},
		"far future":    {notifyapi.ListParams{CreatedBefore: time.Date(9998, 2, 3, 0, 0, 0, 0, time.UTC)}, 5},
	} {
		if page, err := s.List(ctx, tc.params); err != nil || len(page.Items) != tc.want {
			t.Errorf("%s: %d, %v, want %d", name, len(page.Items), err, tc.want)
		}
	}
	first, err := s.Recipients(ctx, ids[0], notifyapi.RecipientSent, 20, "")
	if err != nil || len(first.Items) != 20 || first.NextCursor == "" {
		t.Fatalf("%d recipients, %v", len(first.Items), err)
	}
	rest, err := s.Recipients(ctx, ids[0], notifyapi.RecipientSent, 20, first.NextCursor)
	if err != nil || len(rest.Items) != 10 || rest.NextCursor != "" || rest.Items[0].Email != "r20@example.org" {
		t.Errorf("%d more, %v", len(rest.Items), err)
	}
	var answer *notifyapi.Error
	if _, err := s.Recipients(ctx, ids[1], notifyapi.RecipientSent, 20, first.NextCursor); !errors.As(err, &answer) || answer.Code != "invalid_cursor" {
		t.Errorf("a cursor of another list: %v", err)
	}
	token := i.token(t, notifyapi.Audience, "x", allScopes...)
	for _, path := range []string{"/v1/notifications?cursor=forged", "/v1/notifications?limit=0", "/v1/notifications?status=sent", "/v1/notifications?unknown=1", "/v1/notifications?reference=", "/v1/notifications?requester="} {
		if status, _, answer := call(t, s, token, "GET", path, "", ""); status != 400 && status != 422 {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}

func TestNotificationWithManyRecipientsLinksToTheRest(t *testing.T) {
	t.Parallel()
	s, i, open := startHeld(t)
	open()
	id := raise(t, s, numbered("r", 150)...)
	n, err := s.Get(t.Context(), id)
	if err != nil || len(n.Recipients) != 100 || n.RecipientsNext == "" {
		t.Fatalf("%d recipients, next %q, %v", len(n.Recipients), n.RecipientsNext, err)
	}
	status, _, answer := call(t, s, i.token(t, notifyapi.Audience, "x", allScopes...), "GET", n.RecipientsNext, "", "")
	if items, _ := answer["items"].([]any); status != 200 || len(items) != 50 || answer["next_cursor"] != nil {
		t.Errorf("the rest: %d, %d items", status, len(items))
	}
}

func TestCancelEndsWaitingRecipientsAndRetryQueuesFailedOnes(t *testing.T) {
	t.Parallel()
	var bad sync.Map
	bad.Store("x", true)
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if _, isBad := bad.Load("x"); e.Verb == "RCPT" && isBad {
			return "550 5.1.1 No such user"
		}
		return ""
	})
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	ctx := context.Background()
	isConflict := func(err error) bool {
		var answer *notifyapi.Error
		return errors.As(err, &answer) && answer.Status == 409 && answer.Code == "conflict"
	}
	later := newMail("later@example.org")
	at := time.Now().Add(time.Hour)
	later.NotBefore = &at
	waiting, err := s.Create(ctx, "later", later)
	if err != nil {
		t.Fatal(err)
	}
	failed := s.until(t, raise(t, s, "a@example.org", "b@example.org"), notifyapi.StatusFailed, waitLimit)

	if n, err := s.Get(ctx, waiting.ID); err != nil || n.Status != notifyapi.StatusQueued || n.Recipients[0].NextAttemptAt.Before(at.Add(-time.Millisecond)) {
		t.Errorf("before its time: %+v, %v", n, err)
	}
	if _, err := s.Retry(ctx, waiting.ID); !isConflict(err) {
		t.Errorf("retry of what waits: %v", err)
	}
	byStatus := func(status notifyapi.Status, want uuid.UUID) {
		t.Helper()
		page, err := s.List(ctx, notifyapi.ListParams{Status: status})
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != want || page.Items[0].Status != status {
			t.Errorf("%s: %+v, %v", status, page.Items, err)
		}
	}
	byStatus(notifyapi.StatusQueued, waiting.ID)
	byStatus(notifyapi.StatusFailed, failed.ID)
	canceled, err := s.Cancel(ctx, waiting.ID)
	if err != nil || canceled.Status != notifyapi.StatusCanceled || canceled.Counts.Canceled != 1 || canceled.CompletedAt == nil {
		t.Errorf("canceled: %+v, %v", canceled, err)
	}
	for _, id := range []uuid.UUID{waiting.ID, failed.ID} {
		if _, err := s.Cancel(ctx, id); !isConflict(err) {
			t.Errorf("cancel of what is over: %v", err)
		}
	}
	byStatus(notifyapi.StatusCanceled, waiting.ID)
	bad.Delete("x")
	if _, err := s.Retry(ctx, failed.ID); err != nil {
		t.Fatal(err)
	}
	n := s.until(t, failed.ID, notifyapi.StatusCompleted, waitLimit)
	if n.Counts.Sent != 2 || n.Recipients[0].Attempts != 2 || n.Recipients[0].LastError != nil {
		t.Errorf("after the retry: %+v", n)
	}
	if _, err := s.Retry(ctx, failed.ID); !isConflict(err) {
		t.Errorf("retry of what was sent: %v", err)
	}
	for _, do := range []func() error{
		func() error { _, err := s.Cancel(ctx, uuid.New()); return err },
		func() error { _, err := s.Retry(ctx, uuid.New()); return err },
		func() error { _, err := s.Recipients(ctx, uuid.New(), "", 0, ""); return err },
		func() error { _, err := s.Attempts(ctx, failed.ID, uuid.New(), 0, ""); return err },
	} {
		var answer *notifyapi.Error
		if err := do(); !errors.As(err, &answer) || answer.Status != 404 {
			t.Errorf("of nothing: %v", err)
		}
	}
}

func TestLargeContentIsSentInFull(t *testing.T) {
	t.Parallel()
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	s := start(t, i, testConfig(newDatabase(t), i.url, smtp.Addr()))
	r := newMail(numbered("r", 20)...)
	r.Text = strings.Repeat("0123456789\n", 10000)
	html := "<p>" + strings.Repeat("abcdefghij ", 20000) + "</p>"
	r.HTML = &html
	n, err := s.Create(t.Context(), "large", r)
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
	for _, m := range smtp.Messages() {
		if strings.Count(m.Data, "0123456789\r\n") != 10000 || !strings.Contains(m.Data, "</p>") {
			t.Fatalf("a mail of %d bytes lacks something", len(m.Data))
		}
	}
}
