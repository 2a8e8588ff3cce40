package outbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// asRole answers requests as if the bearer token were the caller's role.
func (o *testEnv) asRole(role, method, path string) (int, map[string]any, string) {
	o.Helper()
	api := httpapi.New(httpapi.Config{
		Title: "test", Version: "1", Logger: o.dispatcher.log, Registry: prometheus.NewRegistry(), Now: time.Now,
		Authenticate: func(ctx context.Context, bearer string, allow []string, _ string) (context.Context, error) {
			if !slices.Contains(allow, bearer) {
				return nil, errs.New(errs.Forbidden, errs.CodeForbidden, "The role is not allowed.")
			}
			return ctx, nil
		},
	})
	Mount(api, o.dispatcher)
	request := httptest.NewRequestWithContext(o.Context(), method, path, nil)
	request.Header.Set("Authorization", "Bearer "+role)
	recorder := httptest.NewRecorder()
	api.Handler().ServeHTTP(recorder, request)
	var body map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil {
		o.Fatalf("%s %s: %v in %s", method, path, err, recorder.Body)
	}
	return recorder.Code, body, recorder.Body.String()
}

func TestOnlyAdminsReadTheOutboxAndNeverTheFacts(t *testing.T) {
	o := newTestEnv(t)
	o.write(2)
	for _, role := range []string{"customer", "engineer"} {
		if status, _, _ := o.asRole(role, http.MethodGet, "/v1/outbox"); status != http.StatusForbidden {
			t.Errorf("%s gets %d", role, status)
		}
		if status, _, _ := o.asRole(role, http.MethodPost, "/v1/outbox/"+uuid.NewString()+"/retry"); status != http.StatusForbidden {
			t.Errorf("%s retries with %d", role, status)
		}
	}
	status, body, raw := o.asRole("admin", http.MethodGet, "/v1/outbox")
	if status != http.StatusOK || len(body["items"].([]any)) != 2 {
		t.Errorf("%d %v", status, body)
	}
	if strings.Contains(raw, "canary") || strings.Contains(raw, "ada@") || strings.Contains(raw, "Printer") {
		t.Errorf("the list has the facts: %s", raw)
	}
}

func TestOutboxIsPagedNewestFirst(t *testing.T) {
	o := newTestEnv(t)
	o.write(5)
	var ids []string
	path := "/v1/outbox?state=pending&limit=2"
	for cursor := ""; ; {
		_, body, _ := o.asRole("admin", http.MethodGet, path+cursor)
		for _, item := range body["items"].([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		next, more := body["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + next
		if status, _, _ := o.asRole("admin", http.MethodGet, "/v1/outbox?state=dead"+cursor); status != http.StatusBadRequest {
			t.Errorf("the cursor of another list gets %d", status)
		}
	}
	if len(ids) != 5 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("ids %v", ids)
	}
	if _, body, _ := o.asRole("admin", http.MethodGet, "/v1/outbox?state=dead"); len(body["items"].([]any)) != 0 {
		t.Error("pending entries among the dead")
	}
}

func TestDeadEntryIsListedAndPostedAgainOnRetry(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	o.service.script(always(http.StatusUnprocessableEntity, "validation_failed"))
	o.once()
	_, body, _ := o.asRole("admin", http.MethodGet, "/v1/outbox?state=dead")
	item := body["items"].([]any)[0].(map[string]any)
	if item["state"] != "dead" || item["dead_at"] == nil || !strings.Contains(item["last_error"].(string), "validation_failed") {
		t.Errorf("dead entry %v", item)
	}
	o.service.script(nil)
	if n, _ := o.once(); n != 0 {
		t.Error("a dead entry was claimed")
	}
	path := "/v1/outbox/" + item["id"].(string) + "/retry"
	if status, body, _ := o.asRole("admin", http.MethodPost, path); status != http.StatusOK || body["state"] != "pending" {
		t.Errorf("retry: %d %v", status, body)
	}
	o.run(o.dispatcher)
	o.eventually("posted again", func() bool { return o.count("done_at is not null") == 1 })
	for target, want := range map[string]int{
		path: http.StatusConflict,
		"/v1/outbox/" + uuid.NewString() + "/retry": http.StatusNotFound,
	} {
		if status, _, _ := o.asRole("admin", http.MethodPost, target); status != want {
			t.Errorf("%s: %d, want %d", target, status, want)
		}
	}
}

func TestPendingListsMailsThatAreNotPosted(t *testing.T) {
	o := newTestEnv(t)
	ticket := o.write(2)
	o.write(1)
	o.service.script(func(n int, _ post, w http.ResponseWriter) {
		if n == 1 {
			refuse(w, http.StatusBadRequest, "malformed_json")
			return
		}
		accept(w)
	})
	o.exec("update outbox set next_attempt_at = now() + interval '1 hour' where reference <> $1", ticket)
	o.exec("update outbox set next_attempt_at = now() + interval '1 hour' where id = (select max(id::text)::uuid from outbox where reference = $1)", ticket)
	o.once()
	waiting, err := Pending(t.Context(), o.q, ticket)
	if err != nil || len(waiting) != 2 {
		t.Fatalf("%d waiting, %v", len(waiting), err)
	}
	if waiting[0].State() != StateDead || waiting[1].State() != StatePending ||
		!slices.Equal(waiting[1].Recipients, []string{"ada@example.com"}) || !strings.Contains(waiting[1].Subject, "Printer on fire") {
		t.Errorf("waiting %+v", waiting)
	}
	o.service.script(nil)
	o.due()
	o.once()
	if waiting, err := Pending(t.Context(), o.q, ticket); err != nil || len(waiting) != 1 {
		t.Errorf("%d waiting after the post, %v", len(waiting), err)
	}
}
