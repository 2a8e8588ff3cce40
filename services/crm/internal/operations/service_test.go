package operations

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
)

func TestRefusalsOfTheNotificationServiceBecomeErrors(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{404, `{"code":"not_found","detail":"x"}`, errs.CodeNotFound},
		{409, `{"code":"conflict","detail":"There is nothing to retry."}`, errs.CodeConflict},
		{400, `{"code":"invalid_cursor","detail":"x"}`, errs.CodeInvalidCursor},
		{401, `{"code":"invalid_token","detail":"x"}`, errs.CodeUnavailable},
		{422, `{"code":"validation_failed","detail":"x"}`, errs.CodeUnavailable},
		{500, `{"code":"internal","detail":"x"}`, errs.CodeUnavailable},
		{502, `<html>`, errs.CodeUnavailable},
		{200, `no json`, errs.CodeUnavailable},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		s := NewService(&notifyapi.Client{BaseURL: server.URL, Token: func(context.Context) (string, error) { return "token", nil }}, nil)
		_, err := s.Retry(t.Context(), uuid.New())
		if !errs.HasCode(err, c.want) {
			t.Errorf("%d %s: %v, want %s", c.status, c.body, err, c.want)
		}
		if e := errs.As(err); c.status == 409 && e.Message != "There is nothing to retry." {
			t.Errorf("the detail of a conflict is lost: %q", e.Message)
		}
		server.Close()
	}
}

func TestAbsentNotificationServiceIsUnavailableForAWhile(t *testing.T) {
	s := NewService(&notifyapi.Client{BaseURL: "http://127.0.0.1:1", Token: func(context.Context) (string, error) { return "token", nil }}, nil)
	_, err := s.Queue(t.Context())
	if e := errs.As(err); e == nil || e.Code != errs.CodeUnavailable || e.RetryAfter < 5*time.Second {
		t.Errorf("%v", err)
	}
}
