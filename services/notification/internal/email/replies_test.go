package email

import (
	"maps"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/dev/smtptest"
)

func TestRepliesAreCountedByClassAndCommand(t *testing.T) {
	t.Parallel()
	hooks := map[string]*func(smtptest.Event) string{
		"a@example.com": nil,
		"b@example.com": new(at("RCPT", "", "550 5.1.1 no such user")),
		"c@example.com": new(at("DOT", "", "451 4.3.0 later")),
		"d@example.com": new(at("DOT", "", smtptest.Drop)),
		"e@example.com": new(at("MAIL", "", "550 5.7.1 not from you")),
	}
	var hook atomic.Pointer[func(smtptest.Event) string]
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if h := hook.Load(); h != nil {
			return (*h)(e)
		}
		return ""
	}}).Start(t, "")
	pool := newPool(t, nil, serverAt(t, srv))
	for _, to := range []string{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"} {
		hook.Store(hooks[to])
		pool.Send(t.Context(), aMail(to))
	}
	want := map[Reply]int64{
		{"message", "2xx"}: 1, {"rcpt", "5xx"}: 1, {"message", "4xx"}: 1, {"message", "none"}: 1, {"mail", "5xx"}: 1,
	}
	status := pool.Status()[0]
	if !maps.Equal(status.Replies, want) {
		t.Errorf("got %v", status.Replies)
	}
	if status.Busy != 0 {
		t.Errorf("%d connections are in use", status.Busy)
	}
}
