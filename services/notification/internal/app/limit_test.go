package app_test

import (
	"net/http"
	"testing"

	"fixdesk/pkg/config"
	"fixdesk/pkg/notifyapi"
)

func TestAllTokensOfASubjectShareOneRateLimit(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url, "127.0.0.1:1")
	c.RateLimit, c.RateLimitNetwork = config.RateLimit{PerMinute: 1, Burst: 15}, config.RateLimit{PerMinute: 1, Burst: 5}
	s := start(t, i, c)
	answers := func(n int, token string) (ok, limited int) {
		for range n {
			switch status, header, _ := call(t, s, token, http.MethodGet, "/v1/stats", "", ""); {
			case header.Get("RateLimit") == "" || header.Get("RateLimit-Policy") == "":
				t.Fatalf("%d without the headers of a rate limit", status)
			case status == http.StatusTooManyRequests && header.Get("Retry-After") != "":
				limited++
			default:
				ok++
			}
		}
		return ok, limited
	}
	read, manage := i.token(t, notifyapi.Audience, "billing", notifyapi.ScopeRead), i.token(t, notifyapi.Audience, "billing", notifyapi.ScopeManage)
	if ok, _ := answers(10, read); ok != 10 {
		t.Errorf("%d of 10 requests with one token", ok)
	}
	if ok, limited := answers(10, manage); ok != 5 || limited != 5 {
		t.Errorf("with another token without the scope: %d answered, %d limited", ok, limited)
	}
	if ok, _ := answers(10, i.token(t, notifyapi.Audience, "ops", notifyapi.ScopeRead)); ok != 10 {
		t.Errorf("control: %d of 10 requests of another subject", ok)
	}
	if ok, limited := answers(10, "not.a.token"); ok != 5 || limited != 5 {
		t.Errorf("refused tokens: %d answered, %d limited", ok, limited)
	}
}
