package email

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serverAt(t testing.TB, s *smtptest.Server) Server {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return Server{Host: host, Port: n, TLS: TLSNone}
}

func newPool(t testing.TB, change func(*Config), servers ...Server) *Pool {
	t.Helper()
	config := Config{
		Sender:  Sender{From: mail.Address{Name: "Fixdesk", Address: "fixdesk@example.com"}},
		Servers: servers, HELO: "client.example.com",
		Timeouts: timeouts(time.Minute), StopTimeout: time.Minute, MessagesPerConnection: 100, IdleTime: time.Minute,
		CircuitBase: time.Millisecond, CircuitCap: 20 * time.Millisecond, PaceStep: time.Second, Now: time.Now,
	}
	if change != nil {
		change(&config)
	}
	p := NewPool(config)
	t.Cleanup(p.Close)
	return p
}

// timeouts returns every phase the same time.
func timeouts(d time.Duration) Timeouts {
	return Timeouts{Connect: d, Greeting: d, Mail: d, Rcpt: d, Data: d, Block: d, Dot: d}
}

func aMail(to string) Mail {
	return Mail{
		ID: uuid.Must(uuid.NewV7()), To: to, Subject: "s", Text: "t", Domain: "example.com",
		Date: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
	}
}

// at answers verb, and only for the recipient to ("" is any), with reply.
func at(verb, to, reply string) func(smtptest.Event) string {
	return func(e smtptest.Event) string {
		recipient := e.To
		if e.Verb == "RCPT" {
			recipient = e.Arg
		}
		if e.Verb == verb && (to == "" || recipient == to) {
			return reply
		}
		return ""
	}
}

func TestOutcomeOfEachReply(t *testing.T) {
	tests := []struct {
		name    string
		hook    func(smtptest.Event) string
		outcome notifyapi.Outcome
		code    int
		reply   string
		open    bool // the circuit afterwards
		taken   int
	}{
		{"taken", nil, notifyapi.OutcomeSent, 250, "2.0.0 Ok: taken", false, 1},
		{"taken with another 2xx", at("DOT", "", "252 2.0.0 Queued"), notifyapi.OutcomeSent, 252, "2.0.0 Queued", false, 1},
		{"unknown address", at("RCPT", "", "550 5.1.1 No such user"), notifyapi.OutcomePermanent, 550, "5.1.1 No such user", false, 0},
		{"mailbox busy", at("RCPT", "", "450 4.2.0 Greylisted"), notifyapi.OutcomeTemporary, 450, "4.2.0 Greylisted", false, 0},
		{"several lines", at("RCPT", "", "450-4.2.0 First\r\n450 4.2.0 Second"), notifyapi.OutcomeTemporary, 450, "4.2.0 First 4.2.0 Second", false, 0},
		{"DATA refused", at("DATA", "", "451 4.3.0 Try later"), notifyapi.OutcomeTemporary, 451, "4.3.0 Try later", false, 0},
		{"DATA refused for good", at("DATA", "", "554 5.5.1 No valid recipients"), notifyapi.OutcomePermanent, 554, "5.5.1 No valid recipients", false, 0},
		{"content refused", at("DOT", "", "554 5.6.0 Looks like spam"), notifyapi.OutcomePermanent, 554, "5.6.0 Looks like spam", false, 0},
		{"content refused for now", at("DOT", "", "452 4.3.1 No room"), notifyapi.OutcomeTemporary, 452, "4.3.1 No room", false, 0},
		{"sender refused", at("MAIL", "", "550 5.7.1 Not you"), NotTried, 550, "5.7.1 Not you", true, 0},
		{"sender refused for now", at("MAIL", "", "451 4.3.0 Try later"), NotTried, 451, "4.3.0 Try later", true, 0},
		{"sender throttled", at("MAIL", "", "451 4.7.1 Slow down"), NotTried, 451, "4.7.1 Slow down", false, 0},
		{"closing at MAIL", at("MAIL", "", "421 4.3.2 Shutting down"), NotTried, 421, "4.3.2 Shutting down", true, 0},
		{"authentication wanted at MAIL", at("MAIL", "", "530 5.7.0 Must authenticate"), NotTried, 530, "5.7.0 Must authenticate", true, 0},
		{"closing at greeting", at("CONNECT", "", "421 4.3.2 Shutting down"), NotTried, 421, "", true, 0},
		{"no service", at("CONNECT", "", "554 5.7.1 Go away"), NotTried, 554, "", true, 0},
		{"EHLO refused", func(e smtptest.Event) string {
			if e.Verb == "EHLO" || e.Verb == "HELO" {
				return "550 Bad name"
			}
			return ""
		}, NotTried, 550, "", true, 0},
		{"closing at RCPT", at("RCPT", "", "421 4.3.2 Shutting down"), notifyapi.OutcomeTemporary, 421, "4.3.2 Shutting down", false, 0},
		{"closing at DATA", at("DATA", "", "421 4.3.2 Shutting down"), notifyapi.OutcomeTemporary, 421, "4.3.2 Shutting down", false, 0},
		{"closing after the message", at("DOT", "", "421 4.3.2 Shutting down"), notifyapi.OutcomeTemporary, 421, "4.3.2 Shutting down", false, 0},
		{"throttled at RCPT", at("RCPT", "", "450 4.7.0 Too many messages"), NotTried, 450, "4.7.0 Too many messages", false, 0},
		{"throttled after the message", at("DOT", "", "454 Throttling failure: Maximum sending rate exceeded."), NotTried, 454, "", false, 0},
		{"authentication wanted", at("RCPT", "", "530 5.7.0 Must authenticate"), notifyapi.OutcomeTemporary, 530, "5.7.0 Must authenticate", false, 0},
		{"broken at greeting", at("CONNECT", "", smtptest.Drop), NotTried, 0, "", true, 0},
		{"broken at MAIL", at("MAIL", "", smtptest.Drop), NotTried, 0, "", true, 0},
		{"broken at RCPT", at("RCPT", "", smtptest.Drop), notifyapi.OutcomeTemporary, 0, "", false, 0},
		{"broken at DATA", at("DATA", "", smtptest.Drop), notifyapi.OutcomeTemporary, 0, "", false, 0},
		{"broken after the message", at("DOT", "", smtptest.Drop), notifyapi.OutcomeUncertain, 0, "", false, 0},
		{"no reply after the message", at("DOT", "", "what?"), notifyapi.OutcomeUncertain, 0, "", false, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			srv := (&smtptest.Server{Hook: tc.hook}).Start(t, "")
			pool := newPool(t, func(c *Config) { c.CircuitBase, c.CircuitCap = time.Hour, time.Hour }, serverAt(t, srv))
			got := pool.Send(t.Context(), aMail("anna@example.org"))
			if got.Outcome != tc.outcome || got.Code != tc.code || tc.reply != "" && got.Reply != tc.reply {
				t.Errorf("got %+v, want %s %d %q", got, tc.outcome, tc.code, tc.reply)
			}
			if got.Reply == "" {
				t.Error("the reply is empty")
			}
			if open := pool.Status()[0].Open; open != tc.open {
				t.Errorf("circuit open = %v, want %v (%s)", open, tc.open, got.Reply)
			}
			if srv.Count("") != tc.taken {
				t.Errorf("the server took %d messages, want %d", srv.Count(""), tc.taken)
			}
		})
	}
}

func TestConnectionServesTheNextMailAfterARefusal(t *testing.T) {
	for _, verb := range []string{"RCPT", "DATA", "DOT"} {
		t.Run(verb, func(t *testing.T) {
			srv := (&smtptest.Server{Hook: at(verb, "bad@example.org", "550 5.1.1 No")}).Start(t, "")
			pool := newPool(t, nil, serverAt(t, srv))
			if r := pool.Send(t.Context(), aMail("bad@example.org")); r.Outcome != notifyapi.OutcomePermanent {
				t.Fatalf("bad: %+v", r)
			}
			if r := pool.Send(t.Context(), aMail("good@example.org")); r.Outcome != notifyapi.OutcomeSent {
				t.Fatalf("good: %+v", r)
			}
			if n := len(srv.Verbs("CONNECT")); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

func TestConversationCarriesManyMailsInFourStepsEach(t *testing.T) {
	srv := (&smtptest.Server{}).Start(t, "")
	pool := newPool(t, func(c *Config) { c.MessagesPerConnection = 3 }, serverAt(t, srv))
	for range 7 {
		if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
			t.Fatalf("%+v", r)
		}
	}
	if n := len(srv.Verbs("CONNECT")); n != 3 {
		t.Errorf("%d connections for 7 mails of at most 3 each, want 3", n)
	}
	if n := len(srv.Verbs("NOOP")) + len(srv.Verbs("RSET")); n != 0 {
		t.Errorf("%d needless round trips", n)
	}
}

func TestConnectionThatTheServerClosedMeanwhileIsReplaced(t *testing.T) {
	for _, how := range []string{smtptest.Drop, "421 4.4.2 Idle for too long"} {
		t.Run(how, func(t *testing.T) {
			var mails atomic.Int32
			srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
				if e.Verb == "MAIL" {
					if mails.Add(1) == 2 {
						return how
					}
				}
				return ""
			}}).Start(t, "")
			pool := newPool(t, nil, serverAt(t, srv))
			for range 2 {
				if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
					t.Fatalf("%+v", r)
				}
			}
			if pool.Status()[0].Open {
				t.Error("an idle connection that ended opened the circuit")
			}
		})
	}
}

func TestIdleConnectionIsClosedPolitely(t *testing.T) {
	quit := make(chan struct{})
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb == "QUIT" {
			close(quit)
		}
		return ""
	}}).Start(t, "")
	pool := newPool(t, func(c *Config) { c.IdleTime = time.Millisecond }, serverAt(t, srv))
	pool.Send(t.Context(), aMail("anna@example.org"))
	select {
	case <-quit:
	case <-time.After(4 * time.Minute):
		t.Fatal("the idle connection was kept")
	}
}

func TestEachPhaseHasItsOwnTimeout(t *testing.T) {
	for verb, tc := range map[string]struct {
		phase func(*Timeouts) *time.Duration
		want  notifyapi.Outcome
	}{
		"CONNECT": {func(t *Timeouts) *time.Duration { return &t.Greeting }, NotTried},
		"EHLO":    {func(t *Timeouts) *time.Duration { return &t.Greeting }, NotTried},
		"MAIL":    {func(t *Timeouts) *time.Duration { return &t.Mail }, NotTried},
		"RCPT":    {func(t *Timeouts) *time.Duration { return &t.Rcpt }, notifyapi.OutcomeTemporary},
		"DATA":    {func(t *Timeouts) *time.Duration { return &t.Data }, notifyapi.OutcomeTemporary},
		"DOT":     {func(t *Timeouts) *time.Duration { return &t.Dot }, notifyapi.OutcomeUncertain},
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
				if e.Verb == verb {
					<-release
				}
				return ""
			}}).Start(t, "")
			t.Cleanup(func() { close(release) })
			pool := newPool(t, func(c *Config) {
				c.Timeouts = timeouts(time.Hour)
				*tc.phase(&c.Timeouts) = 50 * time.Millisecond
			}, serverAt(t, srv))
			if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != tc.want {
				t.Errorf("got %+v, want %s", r, tc.want)
			}
		})
	}
}

func TestConversationMayLastLongerThanAnyOfItsPhases(t *testing.T) {
	const slow = 120 * time.Millisecond
	srv := (&smtptest.Server{Hook: func(smtptest.Event) string {
		<-time.After(slow)
		return ""
	}}).Start(t, "")
	pool := newPool(t, func(c *Config) { c.Timeouts = timeouts(4 * slow); c.Timeouts.Greeting = time.Minute }, serverAt(t, srv))
	begin := time.Now()
	if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
		t.Errorf("%+v", r)
	}
	if took := time.Since(begin); took < 4*slow {
		t.Errorf("took only %v: the control can't fail", took)
	}
}

func TestStopEndsAConversationAfterStopTimeoutAndBeginsNone(t *testing.T) {
	for verb, want := range map[string]notifyapi.Outcome{"RCPT": NotTried, "DOT": notifyapi.OutcomeUncertain} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			release := make(chan struct{})
			srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
				if e.Verb == verb && e.Session == 1 {
					stop()
					<-release
				}
				return ""
			}}).Start(t, "")
			t.Cleanup(func() { close(release) })
			pool := newPool(t, func(c *Config) { c.StopTimeout = 50 * time.Millisecond }, serverAt(t, srv))
			if r := pool.Send(ctx, aMail("anna@example.org")); r.Outcome != want {
				t.Errorf("got %+v, want %s", r, want)
			}
			if r := pool.Send(ctx, aMail("bert@example.org")); r.Outcome != NotTried {
				t.Errorf("after the stop: %+v", r)
			}
			if pool.Status()[0].Open {
				t.Error("the server is blamed for the stop")
			}
			if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent { // the control
				t.Errorf("without a stop: %+v", r)
			}
		})
	}
}

func TestConversationUnderWayAtTheStopIsFinished(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb == "RCPT" {
			stop()
		}
		return ""
	}}).Start(t, "")
	pool := newPool(t, nil, serverAt(t, srv))
	if r := pool.Send(ctx, aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
		t.Errorf("%+v", r)
	}
}

func TestPoolFailsOverByPriorityAndReturnsToTheFirstServer(t *testing.T) {
	down := make(chan struct{})
	first := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		select {
		case <-down:
			return ""
		default:
			return at("CONNECT", "", "421 4.3.2 Maintenance")(e)
		}
	}}).Start(t, "")
	second := (&smtptest.Server{}).Start(t, "")
	now := time.Now()
	var reported []string
	pool := newPool(t, func(c *Config) {
		c.OnTrouble = func(_, reason string) { reported = append(reported, reason) }
		c.OnRecovery = func(string) { reported = append(reported, "recovery") }
		c.CircuitBase, c.CircuitCap = time.Minute, time.Hour
		c.Now = func() time.Time { return now }
	}, serverAt(t, first), serverAt(t, second))
	send := func() {
		t.Helper()
		if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
			t.Fatalf("%+v", r)
		}
	}
	send()
	send()
	if first.Count("") != 0 || second.Count("") != 2 || len(first.Verbs("CONNECT")) != 1 {
		t.Fatalf("first took %d, second %d, first was asked %d times", first.Count(""), second.Count(""), len(first.Verbs("CONNECT")))
	}
	if !pool.UsableAt().IsZero() {
		t.Error("the pool says that it can't be used")
	}
	now = now.Add(2 * time.Minute) // the probe fails, and the mail goes to the second
	send()
	close(down)
	now = now.Add(5 * time.Minute)
	send()
	send()
	if first.Count("") != 2 || second.Count("") != 3 || pool.Status()[0].Open {
		t.Errorf("after its return first took %d, second %d, status %+v", first.Count(""), second.Count(""), pool.Status())
	}
	if len(reported) != 2 || reported[1] != "recovery" { // not the probe that failed
		t.Errorf("reported %q", reported)
	}
}

func TestFailuresOfSeveralRecipientsAreTheServersTrouble(t *testing.T) {
	for _, reply := range []string{smtptest.Drop, "421 4.3.2 Shutting down", "451 4.3.0 Local error", "530 5.7.0 Authenticate"} {
		for name, differ := range map[string]bool{"different recipients": true, "one recipient": false} {
			t.Run(reply+" for "+name, func(t *testing.T) {
				srv := (&smtptest.Server{Hook: at("RCPT", "", reply)}).Start(t, "")
				var logged []string
				pool := newPool(t, func(c *Config) {
					c.CircuitBase, c.CircuitCap = time.Hour, time.Hour
					c.OnTrouble = func(server, _ string) { logged = append(logged, server) }
				}, serverAt(t, srv))
				for i := range recipientsToOpen {
					if pool.Status()[0].Open || len(logged) > 0 {
						t.Fatalf("open after %d", i)
					}
					to := "anna@example.org"
					if differ {
						to = strconv.Itoa(i) + to
					}
					if r := pool.Send(t.Context(), aMail(to)); r.Outcome != notifyapi.OutcomeTemporary {
						t.Errorf("%+v", r)
					}
				}
				if pool.Status()[0].Open != differ {
					t.Errorf("open = %v, want %v", !differ, differ)
				}
				if (len(logged) == 1) != differ {
					t.Errorf("reported %q", logged)
				}
			})
		}
	}
}

func TestPanicWhileSendingReleasesPermitAndConnection(t *testing.T) {
	var down atomic.Bool
	srv := (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if down.Load() && e.Verb == "MAIL" {
			return "421 4.3.2 Maintenance"
		}
		return ""
	}}).Start(t, "")
	pool := newPool(t, nil, serverAt(t, srv))
	panics := func() (panicked bool) {
		defer func() { panicked = recover() != nil }()
		pool.config.Sender.DKIM = &DKIM{domain: "example.com", selector: "s", key: (*rsa.PrivateKey)(nil)}
		defer func() { pool.config.Sender.DKIM = nil }()
		pool.Send(t.Context(), aMail("anna@example.org"))
		return false
	}
	if !panics() {
		t.Fatal("sending did not panic")
	}
	if live := pool.servers[0].live; live != 0 {
		t.Errorf("%d connections are kept", live)
	}
	down.Store(true) // the next panic is in a probe
	if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != NotTried || !pool.Status()[0].Open {
		t.Fatalf("%+v", r)
	}
	down.Store(false)
	<-time.After(time.Until(pool.UsableAt()))
	if !panics() {
		t.Fatal("the probe did not panic")
	}
	if r := pool.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
		t.Errorf("after the probe's panic: %+v", r)
	}
}

func TestAuthenticatesByEachMechanism(t *testing.T) {
	certificate, pool := smtptest.Certificate(t)
	for _, mechanism := range []string{"plain", "login", "xoauth2", ""} {
		t.Run("auth "+mechanism, func(t *testing.T) {
			srv := (&smtptest.Server{
				TLS:  &tls.Config{Certificates: []tls.Certificate{certificate}},
				Auth: func(_, user, password string) bool { return user == "joe" && password == "s3cret" },
			}).Start(t, "")
			s := serverAt(t, srv)
			s.TLS, s.RootCAs, s.User, s.Password, s.Auth = TLSRequired, pool, "joe", "s3cret", authTypes[mechanism]
			good := newPool(t, nil, s)
			if r := good.Send(t.Context(), aMail("anna@example.org")); r.Outcome != notifyapi.OutcomeSent {
				t.Errorf("got %+v", r)
			}
			s.Password = "wrong-canary"
			bad := newPool(t, nil, s)
			r := bad.Send(t.Context(), aMail("anna@example.org"))
			if r.Outcome != NotTried || r.Code != 535 || strings.Contains(r.Reply, "canary") || !bad.Status()[0].Open {
				t.Errorf("with a wrong password: %+v, %+v", r, bad.Status())
			}
		})
	}
}

func TestMailIsNotSentWithoutTheRequiredTLS(t *testing.T) {
	certificate, roots := smtptest.Certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	tests := []struct {
		name   string
		server *smtptest.Server
		policy TLSPolicy
		trust  bool
		want   notifyapi.Outcome
	}{
		{"STARTTLS required and offered", &smtptest.Server{TLS: config}, TLSRequired, true, notifyapi.OutcomeSent},
		{"STARTTLS required, not offered", &smtptest.Server{}, TLSRequired, true, NotTried},
		{"STARTTLS with an unknown certificate", &smtptest.Server{TLS: config}, TLSRequired, false, NotTried},
		{"STARTTLS refused", &smtptest.Server{TLS: config, Hook: at("STARTTLS", "", "454 4.7.0 Not now")}, TLSRequired, true, NotTried},
		{"implicit TLS", &smtptest.Server{TLS: config, Implicit: true}, TLSImplicit, true, notifyapi.OutcomeSent},
		{"implicit TLS with an unknown certificate", &smtptest.Server{TLS: config, Implicit: true}, TLSImplicit, false, NotTried},
		{"opportunistic, not offered", &smtptest.Server{}, TLSOpportunistic, true, notifyapi.OutcomeSent},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := serverAt(t, tc.server.Start(t, ""))
			s.TLS = tc.policy
			if tc.trust {
				s.RootCAs = roots
			}
			pool := newPool(t, nil, s)
			r := pool.Send(t.Context(), aMail("anna@example.org"))
			if r.Outcome != tc.want || pool.Status()[0].Open != (tc.want == NotTried) {
				t.Errorf("got %+v, want %s", r, tc.want)
			}
		})
	}
}

func TestAddressBeyondASCIINeedsSMTPUTF8(t *testing.T) {
	with := (&smtptest.Server{Extensions: []string{"SMTPUTF8"}}).Start(t, "")
	without := (&smtptest.Server{}).Start(t, "")
	tests := []struct {
		name   string
		server *smtptest.Server
		to     string
		want   notifyapi.Outcome
		wire   string
		asked  bool
	}{
		{"offered", with, "jürgen@example.org", notifyapi.OutcomeSent, "jürgen@example.org", true},
		{"not offered", without, "jürgen@example.org", notifyapi.OutcomePermanent, "", false},
		{"an ASCII address does not ask for it", with, "anna@example.org", notifyapi.OutcomeSent, "anna@example.org", false},
		{"only the domain is international", without, "anna@bücher.example", notifyapi.OutcomeSent, "anna@xn--bcher-kva.example", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			pool := newPool(t, nil, serverAt(t, tc.server))
			r := pool.Send(t.Context(), aMail(tc.to))
			if r.Outcome != tc.want {
				t.Fatalf("got %+v, want %s", r, tc.want)
			}
			if tc.want == notifyapi.OutcomePermanent {
				if !strings.Contains(r.Reply, "SMTPUTF8") || pool.Status()[0].Open {
					t.Errorf("unclear: %+v", r)
				}
				return
			}
			messages := tc.server.Messages()
			last := messages[len(messages)-1]
			if last.To != tc.wire || strings.Contains(last.Params, "SMTPUTF8") != tc.asked {
				t.Errorf("on the wire: to %q, parameters %q", last.To, last.Params)
			}
		})
	}
}

func TestConcurrentSendersShareThePool(t *testing.T) {
	srv := (&smtptest.Server{}).Start(t, "")
	pool := newPool(t, func(c *Config) { c.MessagesPerConnection = 7 }, serverAt(t, srv))
	done := make(chan Result)
	const senders, each = 8, 25
	for range senders {
		go func() {
			for range each {
				done <- pool.Send(context.Background(), aMail("anna@example.org"))
			}
		}()
	}
	for range senders * each {
		if r := <-done; r.Outcome != notifyapi.OutcomeSent {
			t.Errorf("%+v", r)
		}
	}
	if srv.Count("") != senders*each {
		t.Errorf("%d taken, want %d", srv.Count(""), senders*each)
	}
	if srv.MostConnections() > senders+1 { // one may still be in QUIT
		t.Errorf("%d connections at a time", srv.MostConnections())
	}
}

func TestServerThatTakesFewConnectionsIsServedByThose(t *testing.T) {
	const allowed = 3
	srv := &smtptest.Server{}
	srv.Hook = func(e smtptest.Event) string {
		if e.Verb == "CONNECT" && srv.Connections() > allowed {
			return "421 4.7.0 Too many connections from you"
		}
		return ""
	}
	srv.Start(t, "")
	pool := newPool(t, func(c *Config) { c.CircuitBase, c.CircuitCap = time.Hour, time.Hour }, serverAt(t, srv))
	if r := pool.Send(t.Context(), aMail("first@example.org")); r.Outcome != notifyapi.OutcomeSent {
		t.Fatalf("%+v", r)
	}
	done := make(chan Result)
	const senders, each = 8, 20
	for range senders {
		go func() {
			for range each {
				done <- pool.Send(context.Background(), aMail("anna@example.org"))
			}
		}()
	}
	for range senders * each {
		if r := <-done; r.Outcome != notifyapi.OutcomeSent {
			t.Errorf("%+v", r)
		}
	}
	if pool.Status()[0].Open {
		t.Errorf("the circuit opened: %+v", pool.Status())
	}
	if refused := len(srv.Verbs("CONNECT")) - allowed; refused > senders {
		t.Errorf("%d connections were refused: the limit was not learnt", refused)
	}
}
