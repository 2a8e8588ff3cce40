package identity

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestFiveWrongPasswordsBlockAnAccountFor15Minutes(t *testing.T) {
	env := newTestEnv(t)
	_, _, other := env.replica(cheap)
	known := env.approved(RoleCustomer)
	for name, email := range map[string]string{"known": known.email, "unknown": "nobody@fixdesk.test"} {
		wrong := map[string]any{"email": strings.ToUpper(email), "password": "not the password"}
		for i := range 5 {
			a := env.callAt([]string{env.url, other}[i%2], "POST", "/v1/auth/login", "", wrong).want(t, 401, "invalid_credentials")
			if want := fmt.Sprintf(`"login-account";r=%d;t=`, 4-i); !strings.HasPrefix(a.header.Get("RateLimit"), want) {
				t.Errorf("%s: RateLimit: %s, want %s", name, a.header.Get("RateLimit"), want)
			}
		}
		a := env.callAt(other, "POST", "/v1/auth/login", "", wrong).want(t, 429, "rate_limited")
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil || wait < 14*60 || wait > 15*60 {
			t.Errorf("%s: Retry-After: %q", name, a.header.Get("Retry-After"))
		}
		if a.header.Get("RateLimit-Policy") != `"login-account";q=5;w=900, "login-address";q=20;w=60` {
			t.Errorf("%s: RateLimit-Policy: %s", name, a.header.Get("RateLimit-Policy"))
		}
	}
	env.tryLogin(known.email, goodPassword).want(t, 429, "rate_limited")
	known.call("GET", "/v1/me", nil).want(t, 200) // existing sessions stay valid
	env.clock.advance(15*time.Minute + time.Second)
	env.login(known.email, goodPassword)
}

func TestLoginWindowSlidesAndARightPasswordResetsIt(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	fail := func(status int) { env.tryLogin(c.email, "not the password").want(t, status) }
	for range 4 {
		fail(401)
	}
	env.login(c.email, goodPassword)
	fail(401)
	env.clock.advance(10 * time.Minute)
	for range 4 {
		fail(401)
	}
	fail(429)
	env.clock.advance(5*time.Minute + time.Second) // only the first is older than the window
	fail(401)
	fail(429)
}

func TestTwentyFailuresAMinuteBlockAClientAddress(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	const here, there = "192.0.2.1", "192.0.2.2"
	for i := range 20 {
		env.tryLogin(fmt.Sprintf("guess-%d@fixdesk.test", i), "not the password", "X-Forwarded-For", here).want(t, 401)
	}
	a := env.tryLogin(c.email, goodPassword, "X-Forwarded-For", here).want(t, 429, "rate_limited")
	if wait, _ := strconv.Atoi(a.header.Get("Retry-After")); wait < 1 || wait > 60 {
		t.Errorf("Retry-After: %d", wait)
	}
	env.tryLogin(c.email, goodPassword, "X-Forwarded-For", there).want(t, 200)
	env.clock.advance(61 * time.Second)
	env.tryLogin(c.email, goodPassword, "X-Forwarded-For", here).want(t, 200)
}

func TestConcurrentGuessesAreAnsweredUpToTheLimit(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	_, _, other := env.replica(cheap)
	answers := concurrently(40, func(i int) int {
		password := "not the password"
		if i%8 == 7 {
			password = goodPassword
		}
		a := env.callAt([]string{env.url, other}[i%2], "POST", "/v1/auth/login", "", map[string]any{"email": c.email, "password": password})
		return a.status
	})
	// A right password resets the count, so count the failures since the last.
	wrong, refused := 0, 0
	for _, status := range answers {
		switch status {
		case 401:
			wrong++
		case 429:
			refused++
		case 200:
		default:
			t.Errorf("status %d", status)
		}
	}
	succeeded := len(answers) - wrong - refused
	if wrong > 5*(succeeded+1) || refused == 0 {
		t.Errorf("%d guesses answered wrong, %d right, %d refused", wrong, succeeded, refused)
	}
}

func TestFiftyWrongGuessesAtOnceGetFiveAnswers(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	wrong := 0
	for _, a := range concurrently(50, func(int) answer { return env.tryLogin(c.email, "not the password") }) {
		if a.status == 401 {
			wrong++
		} else if a.status != 429 {
			t.Errorf("status %d", a.status)
		}
	}
	if wrong != 5 {
		t.Errorf("%d guesses were answered, want 5", wrong)
	}
	if n := env.count("select count(*) from audit_events where kind = 'login_failed' and object_id = $1", c.id); n != 5 {
		t.Errorf("%d failures in the audit", n)
	}
}

func TestConcurrentRightPasswordsAllSucceed(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for _, a := range concurrently(30, func(int) answer { return env.tryLogin(c.email, goodPassword) }) {
		a.want(t, 200)
	}
}

func TestWrongCurrentPasswordCountsAsFailedLogin(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	body := map[string]any{"current_password": "not the password", "new_password": "another lamp in the hallway"}
	for range 5 {
		a := c.call("POST", "/v1/me/password", body).want(t, 401, "invalid_credentials")
		if got := a.str("detail"); got != "The current password is wrong." {
			t.Errorf("quota %q", got)
		}
	}
	c.call("POST", "/v1/me/password", body).want(t, 429, "rate_limited")
	body["current_password"] = goodPassword
	c.call("POST", "/v1/me/password", body).want(t, 429, "rate_limited")
}

func TestHundredRegistrationsAnHourFromOneAddress(t *testing.T) {
	env := newTestEnv(t)
	register := func(from string) answer {
		return env.call("POST", "/v1/auth/register", "", map[string]any{
			"name": "Ada", "email": uuid.NewString() + "@fixdesk.test", "password": goodPassword,
		}, "X-Forwarded-For", from)
	}
	for range 100 {
		register("192.0.2.9").want(t, 201)
	}
	if a := register("192.0.2.9").want(t, 429, "rate_limited"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	register("192.0.2.10").want(t, 201)
	env.clock.advance(time.Hour + time.Second)
	register("192.0.2.9").want(t, 201)
}

func TestForgedProxyHeaderDoesNotMakeAnotherClient(t *testing.T) {
	env := newTestEnv(t)
	// The test's own connection is a trusted proxy: it appends the true client.
	for i := range 20 {
		env.tryLogin("nobody"+strconv.Itoa(i)+"@fixdesk.test", "not the password",
			"X-Forwarded-For", fmt.Sprintf("203.0.113.%d, 192.0.2.77", i)).want(t, 401)
	}
	env.tryLogin("unknown@fixdesk.test", "not the password", "X-Forwarded-For", "203.0.113.99, 192.0.2.77").want(t, 429)
}

func TestPurgeDeletesOnlyExpiredRows(t *testing.T) {
	env := newTestEnv(t)
	old := env.approved(RoleCustomer)
	env.call("POST", "/v1/auth/password/forgot", "", map[string]any{"email": old.email}).want(t, 202)
	env.tryLogin(old.email, "not the password").want(t, 401)
	env.clock.advance(SessionTTL + keptExpired + time.Second)
	fresh := env.login(old.email, goodPassword)
	env.tryLogin(old.email, "not the password").want(t, 401)
	if err := env.service.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"sessions": 1, "refresh_tokens": 1, "password_resets": 0, "rate_limits": 2} {
		if n := env.count("select count(*) from " + table); n != want {
			t.Errorf("%d rows left in %s, want %d", n, table, want)
		}
	}
	fresh.call("GET", "/v1/me", nil).want(t, 200)
	env.tryLogin(old.email, "not the password").want(t, 401)
}
